#!/bin/bash
# An output_dir: what is refused, what waits, what is kept and what is set aside; and a disk that is full. Argument:
# the path of hone.
. "$(dirname "$0")/../support/runs.sh"

# ---- in use ----
train 1 out; must 0 "a first run"
says "a first run" "model gpt2 with 23 thousand parameters, .*, 1 rank of"
before=$(model out)
train 1 out; must 2 "a second one"
says "a second one" "hone: error: .*/out is not empty; set resume_from_checkpoint: true .*overwrite_output_dir: true"
train 2 out; must 2 "a second one on two ranks"
equal "two ranks, said once" "$(grep -c 'is not empty' "$dir/log")" 1
equal "and nothing happened" "$(model out) $(checkpoints out)" "$before checkpoint-12 checkpoint-4 checkpoint-8"
train 1 out --overwrite_output_dir --seed 8 --save_steps 6; must 0 "afresh"
[ "$(model out)" != "$before" ] || fail "afresh: the old weights"
equal "afresh, older runs' checkpoints" "$(checkpoints out)" \
    "checkpoint-12 checkpoint-4 checkpoint-6 checkpoint-8 superseded-checkpoint-12"
train 1 out --resume_from_checkpoint true --seed 8 --save_steps 6 --max_steps 18; must 0 "and on"
says "and on" "resumed from .*/checkpoint-12 at step 12 of 18$"
# a job that is queued again has the same command: it goes on, and nothing of what was done is lost
train 1 out --resume_from_checkpoint true --overwrite_output_dir --seed 8 --save_steps 6 --max_steps 20; must 0 "both"
says "both" "resumed from .*/checkpoint-18 at step 18 of 20: resume_from_checkpoint wins over overwrite_output_dir"
mkdir "$dir/empty"
train 1 empty --resume_from_checkpoint true; must 0 "nothing to resume"
says "nothing to resume" "no checkpoint in .*/empty yet: the run begins"

# ---- rotation ----
train 1 kept --save_steps 2 --save_total_limit 2; must 0 "rotation"
equal "rotation" "$(checkpoints kept)" "checkpoint-10 checkpoint-12"
worst="--eval_strategy steps --eval_steps 2 --save_steps 2 --metric_for_best_model loss --greater_is_better true"
worst="$worst --load_best_model_at_end"
for limit in 1 2 3; do
    train 1 best$limit $worst --save_total_limit $limit; must 0 "the best, limit $limit"
    says "the best, limit $limit" "loaded the best model, .*/checkpoint-2 "
done
equal "the best, limit 1" "$(checkpoints best1)" "checkpoint-12 checkpoint-2"
equal "the best, limit 2" "$(checkpoints best2)" "checkpoint-12 checkpoint-2"
equal "the best, limit 3" "$(checkpoints best3)" "checkpoint-10 checkpoint-12 checkpoint-2"
equal "the best, whatever the limit" "$(model best1)" "$(model best3)"
# A best checkpoint that is damaged when the end comes: the weights of the last step, and a status that says so.
rm "$dir"/best3/*.*
printf x >>"$dir/best3/checkpoint-2/model.safetensors"
train 1 best3 $worst --resume_from_checkpoint "$dir/best3/checkpoint-12"; must 1 "a damaged best"
says "a damaged best" "hone: error: the best model, .*/checkpoint-2, cannot be loaded: .*model.safetensors"
equal "a damaged best" "$(model best3)" "$(sha256sum <"$dir/best3/checkpoint-12/model.safetensors")"

# ---- from an earlier step ----
train 1 earlier --save_steps 3; must 0 "four checkpoints"
train 1 earlier --save_steps 3 --resume_from_checkpoint "$dir/earlier/checkpoint-6"; must 0 "from an earlier one"
says "from an earlier one" \
    "checkpoint-9 is later than the checkpoint resumed from: it is now .*/superseded-checkpoint-9"
equal "from an earlier one" "$(checkpoints earlier)" \
    "checkpoint-12 checkpoint-3 checkpoint-6 checkpoint-9 superseded-checkpoint-12 superseded-checkpoint-9"
equal "to the same end" "$(model earlier)" "$before"
equal "logs cut back" "$(grep -c '"loss"' "$dir/earlier/runs/$(cat "$dir/earlier/runs/latest")/log.jsonl")" 12

# ---- one writer ----
command_line 1 held --max_steps 100000 --save_steps 100000 --logging_steps 500
"${line[@]}" >"$dir/holder" 2>&1 &
holder=$!
while [ ! -e "$dir/held/.hone.lock" ]; do sleep 0.02; done
( sleep 0.4; kill -USR1 $holder ) &
train 1 held --resume_from_checkpoint true --max_steps 100000 --max_time 2; must 75 "after the first"
wait $holder; equal "the first" $? 75
says "after the first" "is being written by host .*, pid $holder; waiting up to 30 s"
says "after the first" "resumed from .*/checkpoint-[0-9]+ at step"
if [ -n "${HONE_TEST_LONG:-}" ]; then # the refusal after 30 s; test_resume_locked.c has it in less
    "${line[@]}" --overwrite_output_dir >"$dir/holder" 2>&1 &
    holder=$!
    while [ ! -e "$dir/held/.hone.lock" ]; do sleep 0.02; done
    train 1 held --resume_from_checkpoint true; must 1 "while the first runs"
    says "while the first runs" "hone: error: .*is being written by host .*, pid $holder; wait for it to end"
    kill -USR1 $holder; wait $holder; equal "and nothing is lost" $? 75
fi

# ---- a place that cannot be written ----
printf x >"$dir/file"
train 1 file/out; must 1 "a file in the way"
says "a file in the way" "hone: error: .*file"
train 2 file/out; must 1 "a file in the way of two ranks"
equal "two ranks, said once" "$(grep -c 'hone: error\|rank 1: error' "$dir/log")" 1
mkdir "$dir/fixed" && chmod 555 "$dir/fixed"
if [ "$(id -u)" = 0 ]; then
    echo "root may write anywhere: a read-only output_dir is not tried"
else
    train 1 fixed; must 1 "a read-only directory"
    says "a read-only directory" "hone: error: .*fixed: cannot write here"
fi

# ---- a full disk ----
mkdir "$dir/small"
if mount -t tmpfs -o size=1m none "$dir/small" 2>/dev/null; then
    trap 'umount "$dir/small"; rm -rf "$dir"' EXIT
    for ranks in 1 2; do
        train $ranks small/out --save_steps 3; must 1 "no room for all, $ranks ranks"
        says "no room for all, $ranks ranks" "checkpoint-[0-9]* was not saved: .*No space left"
        says "no room for all, $ranks ranks" "'loss': .*'learning_rate': '0.0003333'" # trained to its end
        equal "no room for all, $ranks ranks: leftovers" "$(ls -A "$dir/small/out" | grep -E 'tmp|trash')" ""
        kept=$(ls -d "$dir"/small/out/checkpoint-* | head -1)
        for other in "$dir"/small/out/checkpoint-*; do [ "$other" = "$kept" ] || rm -r "$other"; done
        dd if=/dev/zero of="$dir/small/fill" bs=4k >"$dir/dd" 2>&1
        train $ranks small/out --save_steps 3 --resume_from_checkpoint true; must 1 "no room at all, $ranks ranks"
        says "no room at all, $ranks ranks" "hone: error: .*No space left"
        rm "$dir/small/fill"
        train $ranks small/out --save_steps 100 --save_total_limit 1 --resume_from_checkpoint true
        must 0 "room again, $ranks ranks"
        says "room again, $ranks ranks" "resumed from $kept"
        train $ranks unbroken$ranks --save_steps 100; must 0 "unbroken, $ranks ranks"
        equal "room again, $ranks ranks" "$(model small/out)" "$(model unbroken$ranks)"
        rm -r "$dir/small/out"
    done
else
    echo "no small file system can be mounted here: a full disk is not tried"
fi
finish
