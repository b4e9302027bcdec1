#!/bin/sh
# The rules for kernels that a reader can check: kernels are started by launch() alone, shared memory is declared by
# SHARED() alone (the emulator knows no other), sums have an order (no float atomics: no atomics at all so far), each
# family states its floor at its head.
set -u
cd "$(dirname "$0")/../../kernels/cuda" || exit 1
failed=0

none() { # PATTERN WHAT FILES…
    pattern=$1 what=$2
    shift 2
    if grep -nE -e "$pattern" "$@"; then
        echo "$what" >&2
        failed=1
    fi
}

others=$(ls ./*.cu ./*.cuh | grep -v launch.cuh)
# shellcheck disable=SC2086 # a list of words
none '<<<' 'start kernels by launch() of launch.cuh' $others
# shellcheck disable=SC2086
none '__shared__' 'declare shared memory by SHARED() or dynamic_shared() of launch.cuh' $others
# shellcheck disable=SC2086
none 'atomic[A-Z]|cooperative_groups|__cluster' 'sums have an order; the emulator runs one block at a time' $others
none 'cudaDeviceSynchronize|cudaMemcpy\(|cudaMemset\(' 'queue it on the stream' ./*.cu

for family in $(sed -n 's/^ *FAMILY(\([a-z_]*\)).*/\1/p' families.h); do
    if ! sed -n '1,/\*\//p' "$family.cu" | grep -qE 'Floor(: |, in )'; then
        echo "$family.cu: its first comment does not say its floor" >&2
        failed=1
    fi
done
exit $failed
