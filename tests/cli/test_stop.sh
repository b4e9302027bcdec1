#!/bin/bash
# Stopping one process on request, end to end: each way to ask, at each moment of a run; the same command again then
# ends in the bits of a run that was never stopped. Argument: the path of hone.
. "$(dirname "$0")/../support/stops.sh"

unbroken 1
at_the_first_step USR1 1 "USR1 to one process"
at_the_first_step TERM 1 "TERM to one process"
begin 1; await_ready $pid; kill -USR1 $pid
ended 75 "before the first step"; says "before the first step" "stopped at step [0-9]"; again "before the first step"
begin 1 --save_steps 20; await 'saved'; kill -USR1 $pid; kill -USR1 $pid
ended 75 "twice, while saving"; again "twice, while saving"
begin 1 --eval_strategy steps --eval_steps 100 --max_eval_samples 700 --per_device_eval_batch_size 1
await eval_loss; sleep 0.05; kill -TERM $pid
ended 75 "while evaluating"
begin 1; await "saved .*checkpoint-$steps"; kill -USR1 $pid 2>/dev/null
ended 0 "at the very end"; again "at the very end"
begin 1 --max_time 0.2 --max_steps 1000000
ended 75 "max_time"; says "max_time" "max_time is over"

# Ctrl-C on a terminal
if command -v script >/dev/null; then
    rm -rf "$dir/out"
    command_line 1 out "${keys[@]}" --max_steps 1000000
    terminal "${line[@]}"; must 75 "Ctrl-C"; says "Ctrl-C" "SIGINT: stopping after this step"
fi
finish
