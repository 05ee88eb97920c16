#!/bin/bash
# One shard set by many Slurm tasks: task K makes share K of N, whoever makes the last shard finishes the set.
#
#     MODEL=runs/ddpm OUT=runs/synthetic PER_CLASS=5000 sbatch examples/slurm_array.sh [FLAGS OF synthaug generate]
#
# OUT must be a folder that all nodes see, or a URL like s3://bucket/synthetic. A task that was killed is given again
# alone (sbatch --array=3 ...): finished shards stay, and shares do not change as long as N does not.
#SBATCH --job-name=synthaug
#SBATCH --array=0-15
#SBATCH --gpus=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=synthaug-%A-%a.log
set -euo pipefail

N=${N:-16} # must equal the number of tasks in --array above

exec synthaug generate --model "${MODEL:?a checkpoint, or ddpm}" --per-class "${PER_CLASS:?images of each class}" \
  --out "${OUT:?folder or URL of the set}" --shards "$SLURM_ARRAY_TASK_ID/$N" "$@"
