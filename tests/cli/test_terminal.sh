#!/bin/bash
# Where mpirun has a terminal its ranks draw a bar on it, as a single process does; where its stderr is a file or a
# pipe, lines. `script` plays the terminal. Argument: hone.
set -u
hone=$(realpath "$1")
[ -x "$hone" ] || { echo "no program at $1"; exit 1; }
command -v script >/dev/null || { echo "skipped: no script(1)"; exit 0; }
cd "$(dirname "$0")/../.." || exit 1
dir=$(mktemp -d /tmp/hone-terminal-XXXXXX)
trap 'rm -rf "$dir"' EXIT
export HONE_CACHE=$dir/cache OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
failures=0
train="$hone train --model_name_or_path tests/fixtures/models/gpt2_tiny --train_file tests/fixtures/data/corpus.txt \
    --block_size 16 --max_steps 20 --save_steps 0 --overwrite_output_dir --output_dir $dir/run"
bar=$'\r\033\\[K.*it/s' # in place, and taken away
shows() { # NAME FILE yes|no
    if grep -q "$bar" "$2"; then drawn=yes; else drawn=no; fi
    [ "$drawn" = "$3" ] || { echo "FAILED: $1: a bar? $drawn"; head -c 3000 "$2" | cat -v; failures=$((failures + 1)); }
    grep -q "done: 20 steps" "$2" || { echo "FAILED: $1 did not end well"; failures=$((failures + 1)); }
}
ranks="mpirun --oversubscribe -np 2"

on_terminal() { script -qec "$1" "$2" </dev/null >/dev/null; } # COMMAND LOG

on_terminal "$train" "$dir/one";                        shows "a terminal" "$dir/one" yes
on_terminal "$ranks $train" "$dir/two";                 shows "mpirun's terminal" "$dir/two" yes
on_terminal "$ranks $train 2>$dir/file" /dev/null;      shows "mpirun's stderr in a file" "$dir/file" no
on_terminal "$ranks $train 2>&1 | cat" "$dir/cat";      shows "mpirun's stderr in a pipe" "$dir/cat" no
$ranks sh -c "exec $train 2>$dir/own.\$OMPI_COMM_WORLD_RANK" >/dev/null; shows "a rank's own file" "$dir/own.0" no
exit $((failures > 0))
