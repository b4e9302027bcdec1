#!/bin/bash
# hone eval is asked to stop in the middle of an evaluation that would take minutes: it ends within seconds with 75 and
# no result, on one rank and on two; asked a second time it ends at once. Argument: the path of hone.
. "$(dirname "$0")/../support/runs.sh"
for _ in $(seq 2000); do cat tests/fixtures/data/validation.txt; done >"$dir/much.txt"

# begin RANKS [key value …]: in the background, its evaluation under way; $pid.
begin() {
    local ranks=$1
    shift
    line=("$hone" eval --model_name_or_path tests/fixtures/models/gpt2_tiny --validation_file "$dir/much.txt"
        --block_size 16 --per_device_eval_batch_size 1 --disable_tqdm --num_threads 1 --output_dir "$dir/none" "$@")
    [ "$ranks" = 1 ] || line=(mpirun --oversubscribe --timeout 120 -np "$ranks" "${line[@]}")
    : >"$dir/log"
    "${line[@]}" >"$dir/result" 2>"$dir/log" </dev/null &
    pid=$!
    until grep -q 'task text-generation' "$dir/log" || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done
    sleep 0.5
}

# ended NAME STATUS
ended() {
    local began=$SECONDS
    wait $pid
    status=$?
    must "$2" "$1"
    [ $((SECONDS - began)) -lt 10 ] || fail "$1: the stop waits for the evaluation"
    [ ! -s "$dir/result" ] || fail "$1: there is a result"
}

for signal in TERM INT USR1; do
    set -m # else a job in the background has INT ignored
    begin 1
    set +m
    kill -$signal $pid
    ended $signal 75
    says $signal "SIG$signal: stopping after this batch"
    says $signal "stopped by SIG$signal before the end of the evaluation; the same command begins it anew"
    silent $signal "saved\|save"
done
begin 2
kill -USR1 $pid
ended "two ranks" 75
says "two ranks" "stopped by SIGUSR1 before the end of the evaluation"
[ "$(grep -c 'stopped by' "$dir/log")" = 1 ] || fail "two ranks speak"
begin 1 --per_device_eval_batch_size 20000 # a batch takes long
kill -TERM $pid
sleep 0.2
kill -TERM $pid
ended "twice" 143
begin 1 --max_eval_samples 8 --max_time 0.01 # which is of training
wait $pid
status=$?
must 0 "max_time"
grep -q '"eval_loss"' "$dir/result" || fail "max_time: no result"
finish
