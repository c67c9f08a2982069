#!/usr/bin/env bash
# The pipeline on SLURM: sbatch --nodes=4 --cpus-per-task=8 [--gpus-per-node=1] deploy/slurm.sh [arguments of `assay repro`]
# Run it in a clone with its .venv (`make install`) on a file system that all nodes share, with a default DVC remote.
# A job that meets its time limit, or is requeued, goes on where it ended: submit it again. Ray wants its nodes to itself.
#SBATCH --job-name=assay
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --requeue
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-.}"
export PATH="$PWD/.venv/bin:$PATH" RAY_USAGE_STATS_ENABLED=0
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300 # seconds: a shared file system may take long to load Ray from

command -v ray >/dev/null || { echo "error: $PWD/.venv has no Ray; \`make install\` there, and submit from there" >&2; exit 2; }

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head --lines=1)
# of its interfaces: its name may stand for a loopback address, as on Debian
address=$(srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" hostname --all-ip-addresses | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 20000)) # of no cluster that another job left behind
nodes=(--nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --kill-on-bad-exit=1)

# a job that was cancelled leaves Ray running where SLURM does not follow processes by their cgroup
srun "${nodes[@]}" ray stop --force >/dev/null 2>&1 || true # what then still runs is named below
# a task on each node starts Ray; that of the first also runs the pipeline, and with it all end
exec srun "${nodes[@]}" ray symmetric-run --address="$address:$port" --min-nodes="$SLURM_JOB_NUM_NODES" \
  --num-cpus="${SLURM_CPUS_PER_TASK:-1}" --disable-usage-stats -- \
  env RAY_ADDRESS="$address:$port" assay repro --on ray "$@"
