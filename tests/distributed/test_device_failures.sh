#!/bin/bash
# Ranks on emulated devices, a device each: one that is killed, stopped, hangs in an exchange or loses it ends all
# within seconds, with the rank, its host and the exchange. All cases at once: they mostly wait. Argument: hone, beside
# which hone-emulated lies where it was built.
set -u
hone=$(realpath "$(dirname "$1")")/hone-emulated
[ -x "$hone" ] || { echo "hone-emulated was not built: skipped"; exit 0; }
fixtures=$(realpath "$(dirname "$0")/../fixtures")
dir=$(mktemp -d /tmp/hone-device-failures-XXXXXX)
trap 'rm -rf "$dir"' EXIT
export HONE_CACHE=$dir/cache HONE_EMU_DEVICES=2 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
limit=60
touch "$dir/failed"
fail() { echo "FAILED: $name: $1"; cut -c1-300 log; echo failed >>"$dir/failed"; }

# start ENVIRONMENT OPTIONS: a long run in the background; ${pids[r]} are its ranks once steps are done. False: it has
# ended before.
start() {
    mkdir -p "$dir/$name" && cd "$dir/$name" || exit 1
    pids=() settings=$1
    shift
    # shellcheck disable=SC2086 # words
    env $settings mpirun --oversubscribe --timeout 100 -np 2 "$hone" train --device cuda --max_steps 1000000 \
        --model_name_or_path "$fixtures/models/gpt2_tiny" --train_file "$fixtures/data/verses.jsonl" --block_size 8 \
        --max_train_samples 40 --per_device_train_batch_size 1 --save_strategy no --report_to none --disable_tqdm \
        --num_threads 1 --output_dir out --overwrite_output_dir "$@" >log 2>&1 &
    mpirun=$! begin=$SECONDS
    until grep -q 'first step done' log; do kill -0 $mpirun 2>/dev/null || return 1; sleep 0.1; done
    for pid in $(cat /proc/$mpirun/task/*/children); do
        rank=$(tr '\0' '\n' <"/proc/$pid/environ" | sed -n 's/^OMPI_COMM_WORLD_RANK=//p')
        [ -z "$rank" ] || pids[rank]=$pid
    done
    begin=$SECONDS
    [ "${#pids[@]}" -eq 2 ]
}

# ended STATUS TEXT: so, in time, with this said.
ended() {
    wait $mpirun
    status=$?
    [ $status -eq "$1" ] || fail "status $status, wanted $1"
    [ $((SECONDS - begin)) -lt $limit ] || fail "took $((SECONDS - begin)) s"
    grep -q "$2" log || fail "not said: $2"
    grep -lqs "$dir/$name/[l]og" /proc/[0-9]*/cmdline && fail "a rank is left"
    return 0
}

exchange='in \(reduce-scatter of bucket [0-9]* of [0-9]*\|all-gather of weights\|all-reduce of the norm\)'
for killed in 0 1; do
    (name=killed$killed
    start A=1 || { fail "no ranks"; exit; }
    kill -KILL "${pids[killed]}"
    ended 137 "process rank $killed .*exited on signal 9") &
done
(name=stopped
for patience in 3 12 48; do # a loaded machine may not get on for seconds
    start A=1 --ddp_timeout $patience && break
    grep -q 'no rank has got on' log || break
done
[ "${#pids[@]}" -eq 2 ] || { fail "no ranks"; exit; }
kill -STOP "${pids[1]}"
ended 1 'error: no rank has got on for .*; rank 1 (.*) is in step [0-9]*, .*; ending all ranks (ddp_timeout)') &
(name=hangs
start HONE_EMU_NCCL_HANG=1:20 --ddp_timeout 8
ended 1 "error: no rank has got on for 8 s; rank 1 (.*) is in step [0-9]*, update, $exchange; ending all ranks") &
(name=lost0
start HONE_EMU_NCCL_FAIL=0:20
ended 1 "error: NCCL: .*remote process exited or there was a network error.* rank 0 ($(hostname))") &
(name=lost1
start HONE_EMU_NCCL_FAIL=1:20
ended 1 "error: NCCL: .*remote process exited or there was a network error.* rank 1 ($(hostname))") &
wait
exit $(($(wc -l <"$dir/failed") > 0))
