# Runs of `hone train` for the tests of resuming: sourced by tests/trainer/test_resume*.sh with the program as $1. A
# model small enough that a run of a dozen steps takes a tenth of a second, from scratch, with dropout 0.1 (GPT-2's
# default).
set -u
hone=$(realpath "$1")
[ -x "$hone" ] || { echo "no program at $1"; exit 1; }
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
# in memory where there is one: syncing there costs nothing
dir=$(mktemp -d /dev/shm/hone-resume-XXXXXX 2>/dev/null || mktemp -d /tmp/hone-resume-XXXXXX)
trap 'rm -rf "$dir"' EXIT
export HONE_CACHE=$dir/cache OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# what killed ranks leave goes with the directory
export OMPI_MCA_orte_tmpdir_base=$dir OMPI_MCA_btl_vader_backing_directory=$dir
failures=0

cat >"$dir/run.yaml" <<'YAML'
model_type: gpt2
tokenizer_name: tests/fixtures/models/gpt2_tiny
config_overrides: n_embd=24,n_layer=2,n_head=3,n_positions=32,vocab_size=320,bos_token_id=319,eos_token_id=319
train_file: tests/fixtures/data/corpus.txt
validation_file: tests/fixtures/data/validation.txt
block_size: 16
max_train_samples: 40
max_eval_samples: 8
per_device_train_batch_size: 4
max_steps: 12
learning_rate: 3e-3
warmup_steps: 3
logging_steps: 1
save_strategy: steps
save_steps: 4
report_to: none
disable_tqdm: true
seed: 7
YAML

fail() { # what is wrong; the last run's log follows
    echo "FAILED: $1"
    tail -n "${2:-15}" "$dir/log"
    failures=$((failures + 1))
}

# command RANKS OUT [key value …]: sets the array `line`.
command_line() {
    local ranks=$1 out=$2
    shift 2
    line=("$hone" train "$dir/run.yaml" --output_dir "$dir/$out" "$@")
    [ "$ranks" = 1 ] || line=(mpirun --oversubscribe --timeout 120 -np "$ranks" "${line[@]}")
}

# train RANKS OUT [key value …]: $status; what it said is in $dir/log.
train() {
    command_line "$@"
    "${line[@]}" >"$dir/log" 2>&1 </dev/null
    status=$?
}

# must STATUS NAME: about the last `train`
must() { [ "$status" = "$1" ] || fail "$2: status $status, wanted $1"; }
# says NAME PATTERN: the last run's log has a line with it
says() { grep -qE -- "$2" "$dir/log" || fail "$1: nothing says /$2/"; }
silent() { grep -qE -- "$2" "$dir/log" && fail "$1: something says /$2/"; }

model() { sha256sum <"$dir/$1/model.safetensors"; }
# trainer_state.json without clocks
history() {
    grep -vE '"[a-z_]*(runtime|_per_second|communication_[a-z]*)"|best_model_checkpoint' "$dir/$1/trainer_state.json"
}
# same NAME A B: the finished runs in A and B ended in the same bits, and logged the same
same() {
    [ "$(model "$2")" = "$(model "$3")" ] || fail "$1: the weights differ"
    if ! diff <(history "$2") <(history "$3") >"$dir/diff"; then
        fail "$1: trainer_state.json differs"
        head -20 "$dir/diff"
    fi
}
# checkpoints OUT: the names that have to do with checkpoints, joined by spaces
checkpoints() { (cd "$dir/$1" && echo $(ls -A | grep checkpoint)); }
equal() { [ "$2" = "$3" ] || fail "$1: '$2', wanted '$3'"; }

finish() { # the test's exit status
    [ "$failures" = 0 ] && echo "all passed"
    exit $((failures > 0))
}
