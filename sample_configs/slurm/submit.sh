#!/bin/bash
# bash sample_configs/slurm/submit.sh
# Submit the whole chain; each step starts when the one before it has succeeded. Prints the job of each step.
set -euo pipefail

after=""
for step in preprocess train-stage1 extract-features train-stage2; do
    job=$(sbatch --parsable $after "sample_configs/slurm/$step.sbatch")
    echo "$step: job $job"
    after="--dependency=afterok:$job"
done
