#!/usr/bin/env bash
# Puts a backup of scripts/backup.sh back. Stop the stack first. Refuses damaged backups and folders that are in use.
# scripts/restore.sh FOLDER [--force]
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 1 ] || { echo "usage: scripts/restore.sh FOLDER [--force]" >&2; exit 2; }
source="$(cd "$1" && pwd)"
force="${2:-}"
(cd "$source" && sha256sum --check --quiet SHA256SUMS) || { echo "the backup is damaged: nothing was restored" >&2; exit 1; }

if command -v docker >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
  for volume in checkpoints runs prometheus_data alertmanager_data grafana_data; do
    [ -f "$source/$volume.tar.gz" ] || continue
    docker volume create "cifar_$volume" >/dev/null
    docker run --rm -v "cifar_$volume:/data" -v "$source:/backup:ro" alpine:3.22 \
      sh -c "rm -rf /data/..?* /data/.[!.]* /data/* && tar xzf /backup/$volume.tar.gz -C /data"
    echo "restored volume cifar_$volume"
  done
else
  for folder in checkpoints runs; do
    [ -f "$source/$folder.tar.gz" ] || continue
    if [ -d "$folder" ] && [ -n "$(ls -A "$folder")" ] && [ "$force" != --force ]; then
      echo "$folder is not empty: move it away, or use --force to put the backup over it" >&2
      exit 1
    fi
    mkdir -p "$folder"
    tar xzf "$source/$folder.tar.gz" -C "$folder"
    echo "restored folder $folder"
  done
fi
tar xzf "$source/monitoring.tar.gz"
echo "restored from $source"
