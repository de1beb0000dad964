#!/bin/sh
# A Slurm array job: each task does a part of a run. The options are those of `maskmatch lab`:
#     sbatch --array=1-8 slurm.sh --profile standard
# The folder `results` must be one that all nodes share.
#SBATCH --job-name=maskmatch
#SBATCH --cpus-per-task=1
#SBATCH --requeue
#SBATCH --open-mode=append
maskmatch lab --jobs 1 --partition "hash:$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
    --results results --resume "$@"
code=$?
# Slurm itself requeues a task whose node fails. One that was killed goes on where it was, thrice.
if [ "$code" -gt 128 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 3 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
