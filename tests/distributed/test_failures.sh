#!/bin/bash
# One rank's failure ends all with its message, told once, within seconds, and leaves no process: the program under mpirun. Argument: hone.
set -u
hone=$(realpath "$1")
[ -x "$hone" ] || { echo "no program at $1"; exit 1; }
fixtures=$(realpath "$(dirname "$0")/../fixtures")
dir=$(mktemp -d /tmp/hone-failures-XXXXXX)
trap 'rm -rf "$dir"' EXIT
export HONE_CACHE=$dir/cache OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
failures=0
fail() { echo "FAILED: $1"; cat "$dir/log"; failures=$((failures + 1)); }
limit=30
left() { grep -lqs "$dir/[r]un.yaml" /proc/[0-9]*/cmdline && fail "$1: a rank is left"; }

# Two hosts are two directories: relative paths mean other files in each.
for host in a b; do
    mkdir "$dir/$host"
    cp -r "$fixtures/models/gpt2_tiny" "$dir/$host/model"
    head -30 "$fixtures/data/verses.jsonl" >"$dir/$host/data.jsonl"
done
cat >"$dir/run.yaml" <<END
model_name_or_path: model
train_file: data.jsonl
block_size: 32
max_steps: 3
per_device_train_batch_size: 2
save_strategy: no
report_to: none
disable_tqdm: true
num_threads: 1
output_dir: $dir/out
overwrite_output_dir: true
END
mpi="mpirun --oversubscribe --timeout 60"

# expect NAME STATUS TEXT: the last run had this status, said this once, and nothing else that is an error.
expect() {
    [ "$status" -eq "$2" ] || fail "$1: status $status, wanted $2"
    [ "$(grep -c -F -- "$3" "$dir/log")" -eq 1 ] || fail "$1: not said once: $3"
    [ "$(grep -c 'hone:.*error:' "$dir/log")" -eq 1 ] || fail "$1: not one line of error"
    [ "$seconds" -lt "$limit" ] || fail "$1: took $seconds s"
    left "$1"
}
# both RANK 1'S OPTIONS
both() {
    local begin=$SECONDS
    $mpi -np 1 -wdir "$dir/a" "$hone" train "$dir/run.yaml" : -np 1 -wdir "$dir/b" "$hone" train "$dir/run.yaml" "$@" >"$dir/log" 2>&1
    status=$? seconds=$((SECONDS - begin))
}

# what they were given
both --learning_rate 1e-4
expect "another config" 2 'rank 1: error: `learning_rate` is 0.0001 here and 5e-05 on rank 0; all ranks must be given the same config'
both --lerning_rate 1e-4
expect "a config that one finds wrong" 2 'unknown key `lerning_rate`'
cp "$dir/b/model/model.safetensors" "$dir/model"
printf '\x40' | dd of="$dir/b/model/model.safetensors" bs=1 seek=$(($(stat -c %s "$dir/model") - 1)) conv=notrunc 2>/dev/null
both
expect "other parameters" 2 'the parameters must be the same on all ranks; rank 1 ('
head -c 1000 "$dir/model" >"$dir/b/model/model.safetensors"
both
expect "a truncated model" 1 'rank 1: error: model/model.safetensors'
mv "$dir/model" "$dir/b/model/model.safetensors"

# data
head -29 "$dir/a/data.jsonl" >"$dir/b/data.jsonl"
both
expect "other data" 2 'the data must be the same on all ranks; rank 1 ('
echo '{"text": ' >>"$dir/b/data.jsonl"
both
expect "broken data" 1 'rank 1: error: data.jsonl: line 3'
cp "$dir/a/data.jsonl" "$dir/b/data.jsonl"

# NaN is everybody's
begin=$SECONDS
(cd "$dir/a" && $mpi -np 2 "$hone" train "$dir/run.yaml" --learning_rate 1e36 --max_steps 8) >"$dir/log" 2>&1
status=$? seconds=$((SECONDS - begin))
expect "NaN" 1 'lower learning_rate, or set on_nan: skip'

# start OPTIONS: a long run in the background; ${pids[r]} are its ranks once steps are done
start() {
    (cd "$dir/a" && exec $mpi -np 2 "$hone" train "$dir/run.yaml" --max_steps 1000000 "$@") >"$dir/log" 2>&1 &
    mpirun=$!
    for _ in $(seq 600); do grep -q 'first step done' "$dir/log" && break; sleep 0.1; done
    pids=()
    for pid in $(cat /proc/$mpirun/task/*/children); do
        rank=$(tr '\0' '\n' <"/proc/$pid/environ" | sed -n 's/^OMPI_COMM_WORLD_RANK=//p')
        [ -z "$rank" ] || pids[rank]=$pid
    done
    [ "${#pids[@]}" -eq 2 ] || { fail "ranks of mpirun are not found"; exit 1; }
    begin=$SECONDS
}
finish() { wait $mpirun; status=$? seconds=$((SECONDS - begin)); }

for rank in 0 1; do
    start
    kill -KILL "${pids[rank]}"
    finish
    [ "$status" -eq 137 ] || fail "rank $rank is killed: status $status"
    grep -q "process rank $rank .*exited on signal 9" "$dir/log" || fail "rank $rank is killed: mpirun does not say so"
    [ "$seconds" -lt "$limit" ] || fail "rank $rank is killed: took $seconds s"
    left "rank $rank is killed"
done

start --ddp_timeout 2
kill -STOP "${pids[1]}"
finish
[ "$status" -eq 1 ] || fail "a stuck rank: status $status"
grep -q 'error: no rank has got on for .*; rank 1 (.*) is in step [0-9]*, .*; ending all ranks (ddp_timeout)' "$dir/log" || fail "a stuck rank is not named"
[ "$seconds" -lt "$limit" ] || fail "a stuck rank: took $seconds s"
left "a stuck rank"
exit $((failures > 0))
