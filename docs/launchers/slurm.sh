#!/bin/bash
# sbatch docs/launchers/slurm.sh --set …    from the clone, in a folder that all nodes see
#SBATCH --job-name=cifar
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --requeue
#SBATCH --open-mode=append
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))
CIFAR_DISTRIBUTED_SECRET=$(openssl rand -hex 32)
export MASTER_ADDR MASTER_PORT CIFAR_DISTRIBUTED_SECRET
# A job that Slurm has started again goes on from its last checkpoint, in the folder that it has for itself.
exec srun --kill-on-bad-exit=1 node bin/cifar.mjs train --distributed --resume auto \
  --set "training.threads=${SLURM_CPUS_PER_TASK:-1}" --set "training.checkpoint_dir=checkpoints/slurm-$SLURM_JOB_ID" "$@"
