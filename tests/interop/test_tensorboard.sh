#!/bin/bash
# A real tensorboard reads the event files of a run that was stopped and resumed (scripts/reference/read_events.py): every logged number once, at
# its step. Runs where a Python has it: $HONE_PYTHON, else python3. Argument: the path of hone.
set -u
hone=$(realpath "$1")
python=${HONE_PYTHON:-python3}
cd "$(dirname "$0")/../.." || exit 1
[ -x "$hone" ] || { echo "no program at $1"; exit 1; }
if ! "$python" -c 'import tensorboard' 2>/dev/null; then
    echo "skipped: $python has no tensorboard (pip install tensorboard; HONE_PYTHON names another Python)"
    exit 0
fi
dir=$(mktemp -d /tmp/hone-tensorboard-XXXXXX)
trap 'rm -rf "$dir"' EXIT
export HONE_CACHE=$dir/cache

train() {
    "$hone" train tests/fixtures/curves/text_seed42/run.yaml --output_dir "$dir/out" --logging_dir "$dir/events" --report_to tensorboard \
        --do_eval true --validation_file tests/fixtures/data/validation.txt --eval_strategy steps --eval_steps 3 --max_eval_samples 8 \
        --block_size 16 --max_train_samples 40 --logging_steps 1 --save_strategy steps --save_steps 4 "$@" >"$dir/log" 2>&1 && return
    echo "FAILED: hone train $*"; tail -20 "$dir/log"
    exit 1
}
failures=0
read_events() { "$python" scripts/reference/read_events.py "$dir/events" "$1" || { echo "FAILED: $2"; failures=1; }; }

train --max_steps 10
read_events "$dir/out/checkpoint-8/trainer_state.json" "an unbroken run"
# steps 5 to 10 were seen already: a resume says again what comes after 4, and readers must forget the first telling
train --max_steps 10 --resume_from_checkpoint "$dir/out/checkpoint-4"
read_events "$dir/out/checkpoint-8/trainer_state.json" "a resumed run"
sed 's/"loss": [0-9.]*/"loss": 77/' "$dir/out/checkpoint-8/trainer_state.json" >"$dir/wrong.json"
"$python" scripts/reference/read_events.py "$dir/events" "$dir/wrong.json" >"$dir/log" && { echo "FAILED: a wrong loss was not noticed"; failures=1; }
exit $failures
