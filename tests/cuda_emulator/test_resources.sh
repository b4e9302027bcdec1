#!/bin/sh
# No kernel spills registers; and registers, stack and shared memory of each are those of the committed table (resources.txt),
# where nvcc and architecture are those of the table. Where a change means to change them: copy the new table, which is in
# the build folder (cuda/resources.txt), over the old one, so that it shows in the diff.
#   test_resources.sh BUILD/hone
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=$(dirname "$1")
set -- "$build"/cuda/*.o.resources
if [ ! -f "$1" ] || [ ! -f "$build/libhone_cuda.so" ]; then
    echo "libhone_cuda.so was not built: skipped"
    exit 0
fi
nvcc=$(sed -n 's/^HONE_NVCC:[A-Z]*=//p' "$build/CMakeCache.txt")
version=$("$nvcc" --version | sed -n 's/.*release [0-9.]*, V\([0-9.]*\).*/\1/p')
new=$build/cuda/resources.txt
{ echo "# nvcc $version"; cat "$@"; } >"$new"
if grep -v 'spills=0 ' "$new" | grep -v '^#'; then
    echo "these kernels spill registers" >&2
    exit 1
fi
for table in "$here/resources.txt" "$new"; do # nvcc and architectures
    { sed -n 1p "$table"; sed -n 's/.* \(sm_[0-9a-z]*\) registers=.*/\1/p' "$table" | sort -u; } >"$new.$(basename "$(dirname "$table")")"
done
if ! cmp -s "$new.cuda_emulator" "$new.cuda"; then
    echo "the table is of another nvcc or architecture: not compared"
    exit 0
fi
diff -u "$here/resources.txt" "$new"
