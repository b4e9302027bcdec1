#!/bin/bash
# SIGUSR1 in the middle of an evaluation that would take minutes, on two ranks: they leave it together, save the step
# and end with 75; the same command makes the evaluation and goes on. Argument: the path of hone.
. "$(dirname "$0")/../support/runs.sh"
evaluates="--eval_strategy steps --eval_steps 4"
for _ in $(seq 2000); do cat tests/fixtures/data/validation.txt; done >"$dir/much.txt"
train 2 whole $evaluates; must 0 "unbroken"
command_line 2 left $evaluates --validation_file "$dir/much.txt" --max_eval_samples 700000 --per_device_eval_batch_size 1
: >"$dir/log"
"${line[@]}" >"$dir/log" 2>&1 </dev/null &
pid=$!
until grep -q "'epoch': '0.4'" "$dir/log" || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done # after step 4
sleep 1
kill -USR1 $pid
began=$SECONDS
wait $pid
status=$?
must 75 "while it evaluates"
[ $((SECONDS - began)) -lt 10 ] || fail "the stop waits for the evaluation"
says "while it evaluates" "the evaluation of step 4 is left after [1-9][0-9]* of 350000 batches"
says "while it evaluates" "stopped at step 4 of 12 by SIGUSR1"
silent "while it evaluates" "eval_loss"
train 2 left $evaluates --resume_from_checkpoint true; must 0 "going on" # with a small one
same "going on" whole left
finish
