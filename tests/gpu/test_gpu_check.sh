#!/bin/bash
# scripts/gpu-check without a GPU: it passes over a machine without one with status 77; its steps run on the emulated
# device at toy sizes and give the table; a step that fails makes it fail. Argument: the path of hone; hone-emulated and
# the rest lie beside it.
set -u
build=$(dirname "$1")
root=$(cd "$(dirname "$0")/../.." && pwd)
dir=$(mktemp -d /tmp/hone-test-gpu-check.XXXXXX)
trap 'rm -rf "$dir"' EXIT
failures=0

expect() { # what pattern
    grep -qE -- "$2" "$dir/out" && return
    echo "FAILED: $1: no line matches '$2'"
    failures=$((failures + 1))
}

status() { # what wanted
    [ "$got" = "$2" ] || { echo "FAILED: $1: status $got, not $2"; failures=$((failures + 1)); }
}

CUDA_VISIBLE_DEVICES='' "$root/scripts/gpu-check" >"$dir/out" 2>&1; got=$?
status "without a GPU" 77
expect "without a GPU" '^gpu-check: skipped: '
"$root/scripts/gpu-check" --nonsense >"$dir/out" 2>&1; got=$?
status "an unknown option" 2
expect "an unknown option" '^ *scripts/gpu-check \[options\]'

if [ ! -x "$build/hone-emulated" ] || [ ! -x "$build/bench_gpu_kernels_emulated" ]; then
    echo "the emulator was not built: the rest is skipped"
    exit $((failures > 0))
fi

precisions="bf16 tf32 f32" dtypes="float32 bfloat16 float16"
grep -q DTYPE_BF16 "$root/kernels/cuda/stream.cu" || precisions="tf32 f32" dtypes=float32 # not every family takes them
export HONE_GPU_CHECK_NAME="NVIDIA H100 80GB HBM3" HONE_GPU_CHECK_MS=0.0001 # the table as of a fast machine
HONE_GPU_CHECK_EMULATED=$build "$root/scripts/gpu-check" --python "$dir/none" --precisions "$precisions" \
    --parts "tests ranks sanitizer kernels throughput trainer all_reduce" >"$dir/out" 2>&1; got=$?
status "on the emulator" 0
expect heading '^hone [0-9.]+, commit '
expect heading '^2 x NVIDIA H100 80GB HBM3, compute capability 9.0, [1-9][0-9]* MB, driver for CUDA 1'
expect tests '^tests +sgd +ok '
expect ranks '^ranks +two ranks as one +(ok|skipped) '
expect trainer '^trainer +Hugging Face Trainer +skipped '
for precision in $precisions; do
    expect throughput "^throughput hone $precision +ok "
done
# 32 tokens in 0.1 us; (6 * 275456 + 6 * 32 * 16) FLOPs each; of 989.4, 494.7 and 66.9 TFLOP/s.
[ "$dtypes" = float32 ] || expect throughput "^hone +bf16 +2 +0.00 +320000000 +529.86 +53.6% +[1-9][0-9]* "
expect throughput "^hone +tf32 +2 +0.00 +320000000 +529.86 +107.1% +[1-9][0-9]* "
expect throughput "^hone +f32 +2 +0.00 +320000000 +529.86 +792.0% +[1-9][0-9]* "
for dtype in $dtypes; do expect kernels "^$dtype, T 38 = 2 x 19, "; done
for kernel in copy product linear_forward linear_cross_entropy attention_backward layer_norm_backward adamw; do
    expect kernels "^$kernel .* [0-9.]+%\$"
done
expect all_reduce '^all_reduce +4096 +[0-9.]+ +[0-9.]+$'
expect "the last line" '^gpu-check: all is well$'
[ $failures = 0 ] || cat "$dir/out"

# What fails is told, and its status: a program that ends badly, a kernel that does, a model that is not there.
mkdir "$dir/broken"
for file in "$build"/*; do ln -s "$(cd "$build" && pwd)/${file##*/}" "$dir/broken/"; done
rm -f "$dir/broken/test_cuda_sgd" "$dir/broken/hone-emulated"
printf '#!/bin/sh\necho a line that tells why\nexit 3\n' >"$dir/broken/test_cuda_sgd"
printf '#!/bin/sh\n[ "$1" != train ] || { echo out of order; exit 1; }\nexec "%s" "$@"\n' \
    "$(cd "$build" && pwd)/hone-emulated" >"$dir/broken/hone-emulated"
chmod +x "$dir/broken/test_cuda_sgd" "$dir/broken/hone-emulated"
HONE_GPU_CHECK_EMULATED=$dir/broken "$root/scripts/gpu-check" --parts "tests throughput" >"$dir/out" 2>&1; got=$?
status "with a broken test" 1
expect "with a broken test" '^tests +sgd +FAILED +status 3 '
expect "with a broken test" '^    \| a line that tells why$'
expect "with a broken test" '^tests +rope +ok '
expect "with a broken program" '^throughput hone f32 +FAILED'
expect "with a broken program" '^    \| out of order$'
expect "with a broken test" '^gpu-check: something FAILED$'
exit $((failures > 0))
