#!/usr/bin/env bash
# Backs the stack up: models, runs and tracking, Prometheus' data, Grafana's data, the alert configuration.
# scripts/backup.sh [FOLDER]   (default backup/DATE)
set -euo pipefail
cd "$(dirname "$0")/.."
target="${1:-backup/$(date +%Y%m%d-%H%M%S)}"
umask 077
mkdir -p "$target"
target="$(cd "$target" && pwd)"

if command -v docker >/dev/null 2>&1 && docker compose ps -q 2>/dev/null | grep -q .; then
  for volume in checkpoints runs prometheus_data alertmanager_data grafana_data; do
    # A volume of another project, or one that was never used, is left out.
    docker volume inspect "cifar_$volume" >/dev/null 2>&1 || continue
    docker run --rm -v "cifar_$volume:/data:ro" -v "$target:/backup" alpine:3.22 tar czf "/backup/$volume.tar.gz" -C /data .
    echo "volume cifar_$volume -> $volume.tar.gz"
  done
else
  for folder in checkpoints runs; do
    [ -d "$folder" ] || continue
    tar czf "$target/$folder.tar.gz" -C "$folder" .
    echo "folder $folder -> $folder.tar.gz"
  done
fi
tar czf "$target/monitoring.tar.gz" monitoring config
(cd "$target" && sha256sum -- *.tar.gz >SHA256SUMS)
echo "backup in $target"
