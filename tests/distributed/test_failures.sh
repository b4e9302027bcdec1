#!/bin/bash
# One rank's failure ends all with its message, told once, within seconds, and leaves no process: the program under
# mpirun. All cases run at once: they mostly wait. Argument: hone.
set -u
hone=$(realpath "$1")
[ -x "$hone" ] || { echo "no program at $1"; exit 1; }
fixtures=$(realpath "$(dirname "$0")/../fixtures")
dir=$(mktemp -d /tmp/hone-failures-XXXXXX)
trap 'rm -rf "$dir"' EXIT
export HONE_CACHE=$dir/cache OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
mpi="mpirun --oversubscribe --timeout 100"
limit=60
touch "$dir/failed"
fail() { echo "FAILED: $1"; cat log; echo failed >>"$dir/failed"; }

# prepare NAME: a run's directory, entered. Two hosts are two directories in it: relative paths mean other files in
# each.
prepare() {
    mkdir "$dir/$1" && cd "$dir/$1" || exit 1
    for host in a b; do
        mkdir $host
        cp -r "$fixtures/models/gpt2_tiny" $host/model
        head -30 "$fixtures/data/verses.jsonl" >$host/data.jsonl
    done
    cat >run.yaml <<END
model_name_or_path: model
train_file: data.jsonl
block_size: 32
max_steps: 3
per_device_train_batch_size: 2
save_strategy: no
report_to: none
disable_tqdm: true
num_threads: 1
output_dir: $PWD/out
END
}

# ended NAME STATUS: with that status, in time, all of it.
ended() {
    [ "$status" -eq "$2" ] || fail "$1: status $status, wanted $2"
    [ "$seconds" -lt $limit ] || fail "$1: took $seconds s"
    grep -q 'stopping after this step' log && fail "$1: a rank that is ended by the launcher promises a save"
    grep -lqs "$PWD/[r]un.yaml" /proc/[0-9]*/cmdline && fail "$1: a rank is left"
}

# both NAME STATUS TEXT RANK 1'S OPTIONS: it ends with this status, says this once, and nothing else that is an error.
both() {
    local begin=$SECONDS name=$1 wanted=$2 text=$3
    shift 3
    $mpi -np 1 -wdir $PWD/a "$hone" train $PWD/run.yaml : \
        -np 1 -wdir $PWD/b "$hone" train $PWD/run.yaml "$@" >log 2>&1
    status=$? seconds=$((SECONDS - begin))
    ended "$name" "$wanted"
    [ "$(grep -c -F -- "$text" log)" -eq 1 ] || fail "$name: not said once: $text"
    [ "$(grep -c 'hone:.*error:' log)" -eq 1 ] || fail "$name: not one line of error"
}

# ---- what the ranks were given ----
(prepare nobatch
    printf 'validation_file: data.jsonl\nmax_eval_samples: 2\nper_device_eval_batch_size: 8\n' >>run.yaml
    printf 'eval_strategy: epoch\ndataloader_drop_last: true\n' >>run.yaml
    both "an evaluation without a batch" 2 "nothing to evaluate: 2 examples are no batch of 8"
    grep -q 'first step' log && fail "an evaluation without a batch: told after training") &
(prepare config
both "another config" 2 \
    'rank 1: error: `learning_rate` is 0.0001 here and 5e-05 on rank 0; all ranks must be given the same config' \
    --learning_rate 1e-4) &
(prepare key
both "a config that one rank finds wrong" 2 'unknown key `lerning_rate`' --lerning_rate 1e-4) &
(prepare parameters
last=$(($(stat -c %s b/model/model.safetensors) - 1))
printf '\x40' | dd of=b/model/model.safetensors bs=1 seek=$last conv=notrunc 2>/dev/null
both "other parameters" 2 'the parameters must be the same on all ranks; rank 1 (') &
(prepare model
head -c 1000 a/model/model.safetensors >b/model/model.safetensors
both "a truncated model" 1 'rank 1: error: model/model.safetensors') &
(prepare data
head -29 a/data.jsonl >b/data.jsonl
both "other data" 2 'the data must be the same on all ranks; rank 1 (') &
(prepare broken
echo '{"text": ' >>b/data.jsonl
both "broken data" 1 'rank 1: error: data.jsonl: line 3') &
(prepare missing
rm b/data.jsonl
both "no data" 1 'rank 1: error: data.jsonl: no such file') &
(prepare nan
sed -i 's/^max_steps.*/max_steps: 8\nlearning_rate: 1e36/' run.yaml
both "NaN, which all ranks find" 1 'lower learning_rate, or set on_nan: skip') &

# ---- in the middle ----
# start OPTIONS: a long run in the background; ${pids[r]} are its ranks once steps are done. False: it has ended.
start() {
    pids=()
    (cd a && exec $mpi -np 2 "$hone" train "$dir/$name/run.yaml" --max_steps 1000000 "$@") >log 2>&1 &
    mpirun=$!
    until grep -q 'first step done' log; do kill -0 $mpirun 2>/dev/null || return 1; sleep 0.1; done
    for pid in $(cat /proc/$mpirun/task/*/children); do
        rank=$(tr '\0' '\n' <"/proc/$pid/environ" | sed -n 's/^OMPI_COMM_WORLD_RANK=//p')
        [ -z "$rank" ] || pids[rank]=$pid
    done
    begin=$SECONDS
    [ "${#pids[@]}" -eq 2 ]
}
finish() { wait $mpirun; status=$? seconds=$((SECONDS - begin)); }

for killed in 0 1; do
    (name=killed$killed
    prepare $name
    start || { fail "$name: no ranks"; exit; }
    kill -KILL "${pids[killed]}"
    finish
    ended "rank $killed is killed" 137
    grep -q "process rank $killed .*exited on signal 9" log ||
        fail "rank $killed is killed: mpirun does not say so") &
done
(name=stuck
prepare $name
for patience in 3 12 48; do # a loaded machine may not get on for seconds
    start --ddp_timeout $patience --overwrite_output_dir && break
    grep -q 'no rank has got on' log || break
done
[ "${#pids[@]}" -eq 2 ] || { fail "$name: no ranks"; exit; }
kill -STOP "${pids[1]}"
finish
ended "a stuck rank" 1
grep -q 'error: no rank has got on for .*; rank 1 (.*) is in step [0-9]*, .*; ending all ranks (ddp_timeout)' log ||
    fail "a stuck rank is not named") &
wait
exit $(($(wc -l <"$dir/failed") > 0))
