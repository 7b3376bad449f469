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
# A task number beyond what the cluster allows is refused by sbatch, when steps before may have been submitted.
limit=$(scontrol show config 2> /dev/null | sed -n 's/^MaxArraySize *= *//p' || true)
for step in {{ steps | join(' ') }}; do
    file={{ folder | quoted }}/"$step.sbatch"
    last=$(sed -n 's/^#SBATCH --array=\(.*[-,]\)\{0,1\}\([0-9][0-9]*\).*$/\2/p' "$file")
    if [ -n "$limit" ] && [ -n "$last" ] && [ "$last" -ge "$limit" ]; then
        echo "$step: expected array tasks below $limit (MaxArraySize of this cluster), found task $last in $file;" \
            "lower --array there, or write the files anew with --resource $step.tasks=$((limit - 1))" >&2
        exit 1
    fi
done

after=()
for step in {{ steps | join(' ') }}; do
    if [ "${#after[@]}" -eq 0 ] && [ -e "$WORK/${result[$step]}" ]; then
        echo "$step: done, $WORK/${result[$step]} is there"
        continue
    fi
    job=$(sbatch --parsable ${after[@]+"${after[@]}"} {{ folder | quoted }}/"$step.sbatch")
    job=${job%%;*}  # a federation answers id;cluster
    echo "$step: job $job"
    after=("--dependency=afterok:$job" --kill-on-invalid-dep=yes)
done
[ "${#after[@]}" -eq 0 ] || echo "look at them with squeue --me; their logs are in" {{ folder | quoted }}
