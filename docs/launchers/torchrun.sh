#!/bin/sh
# torchrun (pip install torch) starts the processes on each machine, for example on the second of two, with one each:
#   CIFAR_DISTRIBUTED_SECRET=… MASTER_ADDR=10.0.0.1 NNODES=2 NODE_RANK=1 NPROC=1 sh docs/launchers/torchrun.sh --set …
# On one machine the defaults do. What follows is for `cifar train`.
: "${CIFAR_DISTRIBUTED_SECRET:=$(openssl rand -hex 32)}"
export CIFAR_DISTRIBUTED_SECRET
exec torchrun --nnodes="${NNODES:-1}" --node-rank="${NODE_RANK:-0}" --nproc-per-node="${NPROC:-2}" \
  --master-addr="${MASTER_ADDR:-127.0.0.1}" --master-port="${MASTER_PORT:-23456}" \
  --no-python node bin/cifar.mjs train --distributed "$@"
