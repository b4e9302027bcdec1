#!/bin/bash
# device: auto, the default: a GPU where one works on every rank, else the CPU, which is said in one line; never an
# error. And who does not compute on a GPU opens no library of it. Argument: the path of hone, beside which
# hone-emulated lies where it was built.
. "$(dirname "$0")/../support/runs.sh"
plain=$hone
once() { [ "$(grep -c "$2" "$dir/log")" = 1 ] || fail "$1: \"$2\" is not said once"; }
at_most="--max_steps 2 --save_strategy no --num_threads 1"

# the program alone, then with a library beside it that is none: it is not opened where there is no driver
mkdir "$dir/bin"
cp "$plain" "$dir/bin/hone"
hone=$dir/bin/hone
train 1 out $at_most; must 0 "no library"; says "no library" ", cpu/[a-z0-9]*, 1 rank"
echo none >"$dir/bin/libhone_cuda.so"
train 1 out $at_most --overwrite_output_dir; must 0 "a library that is none"
says "a library that is none" ", cpu/[a-z0-9]*, 1 rank"; once "a library that is none" "computing on the CPU: "
train 2 out $at_most --overwrite_output_dir; must 0 "two ranks"
once "two ranks" "computing on the CPU: rank 0 ("
train 1 out $at_most --overwrite_output_dir --device cpu; must 0 "cpu"
silent "cpu" "computing on the CPU"
train 1 out $at_most --overwrite_output_dir --device cuda; must 2 "cuda without a GPU"

touched() { LD_DEBUG=libs "$hone" "$@" 2>&1 </dev/null | grep -ci "cuda\|nccl\|cublas"; }
[ "$(touched --version)" = 0 ] || fail "hone --version looks for CUDA"
[ "$(touched help)" = 0 ] || fail "hone help looks for CUDA"
[ "$(touched train "$dir/run.yaml" --output_dir "$dir/out" $at_most --overwrite_output_dir --device cpu)" = 0 ] ||
    fail "device: cpu looks for CUDA"

hone=$(dirname "$plain")/hone-emulated
[ -x "$hone" ] || finish
train 1 out $at_most --overwrite_output_dir; must 0 "a device"
says "a device" ", cuda, 1 rank"; silent "a device" "computing on the CPU"
train 1 out $at_most --overwrite_output_dir --device cpu; must 0 "a device, and cpu"
says "a device, and cpu" ", cpu/[a-z0-9]*, 1 rank"
export HONE_EMU_DEVICES=0
train 1 out $at_most --overwrite_output_dir; must 0 "no device"
says "no device" ", cpu/[a-z0-9]*, 1 rank"; once "no device" "computing on the CPU: "
export HONE_EMU_DEVICES=1
command_line 1 out $at_most --overwrite_output_dir
for blind in 0 1; do # the rank that has none
    mpirun --oversubscribe --timeout 120 -np 1 env HONE_EMU_DEVICES=$blind "${line[@]}" \
        : -np 1 env HONE_EMU_DEVICES=$((1 - blind)) "${line[@]}" >"$dir/log" 2>&1
    status=$?
    must 0 "one of two ranks without a device"
    says "one of two ranks" ", cpu/[a-z0-9]*, 2 ranks"; once "one of two ranks" "computing on the CPU: rank $blind ("
done
"$hone" pipeline text-generation --model tests/fixtures/models/gpt2_tiny --max_new_tokens 2 "a" >"$dir/log" 2>&1
status=$?; must 0 "pipeline"
finish
