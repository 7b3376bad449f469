#!/bin/bash
# bash {{ (folder ~ '/submit.sh') | quoted }}
# Submit the chain; each step starts when the one before has succeeded, all tasks of an array, and is cancelled if that
# has failed. A step whose result is there is left out, and so submitting again after a failure does what is missing.
set -euo pipefail
WORK={{ work | quoted }}

declare -A result=(
    [preprocess]=store/store.json [train-stage1]=stage1/run.json [extract-features]=features/features.json
    [train-stage2]=stage2/run.json [explain]=explanations/summary.json [evaluate]=evaluation/metrics.json
)
after=()
for step in {{ steps | join(' ') }}; do
    if [ "${#after[@]}" -eq 0 ] && [ -e "$WORK/${result[$step]}" ]; then
        echo "$step: done, $WORK/${result[$step]} is there"
        continue
    fi
    job=$(sbatch --parsable ${after[@]+"${after[@]}"} {{ folder | quoted }}/"$step.sbatch")
    echo "$step: job $job"
    after=("--dependency=afterok:$job" --kill-on-invalid-dep=yes)
done
[ "${#after[@]}" -eq 0 ] || echo "look at them with squeue --me; their logs are in" {{ folder | quoted }}
