#!/bin/bash
# Two nodes of eight GPUs under Slurm:
#   sbatch docs/launch/slurm.sh yamls/roberta_large.yaml data.store=s3://bucket/shards runs=/shared/runs
#SBATCH --job-name=prefinetune
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@120 # before the time is over: the run saves a checkpoint and stops, the same job goes on from it
set -euo pipefail

export PATH="$PWD/.venv/bin:$PATH"
export GPUS="${SLURM_GPUS_ON_NODE:-8}"
export MASTER_ADDR="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"
export MASTER_PORT="$((20000 + SLURM_JOB_ID % 20000))"

# One launcher a node; it starts a process a GPU.
srun bash -c 'exec composer -n "$GPUS" --world_size "$((GPUS * SLURM_NNODES))" --node_rank "$SLURM_NODEID" \
  --master_addr "$MASTER_ADDR" --master_port "$MASTER_PORT" recipe/train.py "$@"' composer "$@"
