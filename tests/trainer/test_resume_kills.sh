#!/bin/bash
# kill -9 at any moment: a run that is killed again and again, and started again each time by the same command, ends
# in the same bits as one that was never killed. The moments are drawn from a seed; HONE_TEST_LONG=200 kills so often
# on each number of ranks. On two ranks it is mpirun that is killed, and sometimes the ranks too: those that are not
# must not write on. Argument: hone.
. "$(dirname "$0")/../support/runs.sh"
RANDOM=${HONE_TEST_SEED:-1}
options="--max_steps 24 --save_steps 2 --save_total_limit 2 --eval_strategy steps --eval_steps 5 --logging_steps 3"

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# The ranks of this test: mpirun gives them process groups of their own.
rank_pids() { pgrep -f -- "^$hone train .*--output_dir $dir/broken"; }

# killed RANKS MS: the run, of which after so long mpirun is killed, or all of it, or one rank; $status is 137 if it was
killed() {
    local pid seconds
    seconds=$(printf '%d.%03d' $(($2 / 1000)) $(($2 % 1000)))
    command_line "$1" broken $options --resume_from_checkpoint true
    if [ $((RANDOM % 3)) = 0 ]; then
        "${line[@]}" >"$dir/log" 2>&1 </dev/null &
        pid=$!
        sleep "$seconds"
        kill -9 $(rank_pids | tail -1) 2>/dev/null
        wait $pid 2>/dev/null
        status=$?
        return
    fi
    line=(timeout -s KILL "$seconds" "${line[@]}")
    { "${line[@]}" >"$dir/log" 2>&1 </dev/null; } 2>/dev/null
    status=$?
    [ $((RANDOM % 2)) = 0 ] || kill -9 $(rank_pids) 2>/dev/null
}

for ranks in 1 2; do
    begun=$(now_ms)
    train $ranks whole $options; must 0 "$ranks ranks, unbroken"
    takes=$(($(now_ms) - begun))
    kills=0 done=0
    while [ $kills -lt "${HONE_TEST_LONG:-12}" ] && [ $failures = 0 ]; do
        rm -rf "$dir/broken"
        for attempt in $(seq 6) last; do
            if [ $attempt = last ]; then
                train $ranks broken $options --resume_from_checkpoint true
            else
                killed $ranks $((1 + RANDOM % takes))
            fi
            silent "$ranks ranks, kill $kills" 'corrupt|damaged' # a rank whose peer was killed may well tell an error
            [ $status != 0 ] || { silent "$ranks ranks, the end after $kills kills" error; break; }
            [ $attempt = last ] || [ $status = 137 ] || fail "$ranks ranks, kill $kills: status $status"
            kills=$((kills + 1))
        done
        must 0 "$ranks ranks, after $kills kills"
        same "$ranks ranks, after $kills kills" whole broken
        equal "$ranks ranks, what is left" "$(checkpoints broken)" "checkpoint-22 checkpoint-24"
        done=$((done + 1))
    done
    echo "$ranks ranks: killed $kills times, finished $done times, a run takes $takes ms"
    rm -rf "$dir/whole"
done
finish
