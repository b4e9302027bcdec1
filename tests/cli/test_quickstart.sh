#!/bin/bash
# The model that scripts/quickstart starts from: it loads, knows its text's held-out end as well as
# configs/quickstart/README.md says, and plays little; twenty steps of configs/quickstart.yaml teach it much of those.
# Argument: hone.
set -u
hone=$(realpath "$1")
[ -x "$hone" ] || { echo "no program at $1"; exit 1; }
cd "$(dirname "$0")/../.." || exit 1
dir=$(mktemp -d /tmp/hone-quickstart-XXXXXX)
trap 'rm -rf "$dir"' EXIT
export HONE_CACHE=$dir/cache
failures=0
fail() { echo "FAILED: $*"; cat "$dir/log"; failures=$((failures + 1)); }
# holds NAME CONDITION (of numbers, as awk has it)
holds() { awk "BEGIN { exit !($2) }" || fail "$1: $2"; }
loss_of() { sed -n 's/.*"eval_loss": *\([0-9.]*\).*/\1/p' "$1" | tail -1; }
stated() { sed -n "s/^| .$1. | \([0-9]\.[0-9]*\) .*/\1/p" configs/quickstart/README.md; } # of the shipped model


"$hone" eval --model_name_or_path configs/quickstart/model --validation_file configs/quickstart/revelation.txt \
    --block_size 192 >"$dir/bible.json" 2>"$dir/log" || fail "evaluation of the shipped model"
bible=$(loss_of "$dir/bible.json")
holds "the README's loss on revelation.txt" "(${bible:-99} - $(stated revelation.txt)) ^ 2 < 0.05 ^ 2"

"$hone" train configs/quickstart.yaml --max_steps 20 --warmup_steps 2 --eval_steps 20 --save_steps 0 --report_to none \
    --disable_tqdm true --output_dir "$dir/run" >"$dir/out" 2>"$dir/log" || fail "twenty steps"
mapfile -t plays < <(sed -n 's/.*"eval_loss": *\([0-9.]*\).*/\1/p' "$dir/run/trainer_state.json")
[ "${#plays[@]}" = 2 ] || fail "an evaluation before and one after, not ${#plays[@]}"
holds "the README's loss on plays" "(${plays[0]:-99} - $(stated shakespeare_validation.txt)) ^ 2 < 0.05 ^ 2"
holds "twenty steps teach it something" "${plays[1]:-99} < ${plays[0]:-0} - 0.5"

"$hone" train configs/quickstart/pretrain.yaml --train_file configs/quickstart/revelation.txt --max_steps 1 \
    --save_steps 0 --eval_strategy no --disable_tqdm true --output_dir "$dir/scratch" >"$dir/out" 2>"$dir/log" ||
    fail "a step of pretrain.yaml"
for file in config.json generation_config.json tokenizer.json tokenizer_config.json; do
    cmp "$dir/scratch/$file" "configs/quickstart/model/$file" || fail "pretrain.yaml makes another $file"
done

bytes=$(du -sb configs/quickstart | cut -f1)
holds "what is shipped stays small" "$bytes < 5000000"
[ "$failures" = 0 ] && echo "bible $bible, plays ${plays[*]}, $bytes bytes"
exit $((failures > 0))
