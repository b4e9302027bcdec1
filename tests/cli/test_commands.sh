#!/bin/bash
# The program's outside: help, versions, unknown names, exit statuses, `args`, `env`, `inspect`. Argument: the path of hone.
set -u
hone=$(realpath "$1")
[ -x "$hone" ] || { echo "no program at $1"; exit 1; }
dir=$(mktemp -d /tmp/hone-cli-XXXXXX)
trap 'rm -rf "$dir"' EXIT
failures=0
# expect NAME STATUS PATTERN FILE-OF-THE-PATTERN: about the last `run`
run() { "$hone" "$@" >"$dir/out" 2>"$dir/err" </dev/null; status=$?; }
expect() {
    if [ "$status" != "$2" ] || ! grep -qE -- "$3" "$dir/$4"; then
        echo "FAILED: $1: status $status, wanted $2 and /$3/ in $4"; cat "$dir/out" "$dir/err" | head -20
        failures=$((failures + 1))
    fi
}
quiet() { [ -s "$dir/$1" ] && { echo "FAILED: something on std$1"; head -5 "$dir/$1"; failures=$((failures + 1)); }; }

run --version;            expect "version" 0 '^hone [0-9]+\.[0-9]+\.[0-9]+$' out; quiet err
run help;                 expect "help lists the commands" 0 '^ +args ' out; quiet err
run --help;               expect "--help is help" 0 '^ +inspect ' out
run help args;            expect "help of a command" 0 '^hone args' out
run args --help;          expect "--help of a command" 0 '^hone args' out
run;                      expect "no command" 2 '^hone: error: a command is missing' err; quiet out
run serve;                expect "a command of a later version" 2 '`hone serve` is not part of this version; ' err; quiet out
run argz;                 expect "a misspelt command" 2 'did you mean `hone args`' err
run entirely-else;        expect "an unknown command" 2 'hone help' err
run help serve;           expect "help of a missing command" 2 'not part of this version' err

run args;                 expect "args lists keys" 0 '^  learning_rate +float +5e-05 +Peak' out; quiet err
run args learning-rate;   expect "one key" 0 '^default +5e-05$' out
run args torch_compile;   expect "a refused key says why" 0 '^state +refused: .*remove it' out
run args warmup_ratio;    expect "an old name" 0 'old name  of warmup_steps' out
run args learning_rat;    expect "a misspelt key" 2 'did you mean `learning_rate`' err
run args --jsom;          expect "an unknown option" 2 'unknown option `--jsom`' err
run args --json;          expect "args as JSON" 0 '"name": "learning_rate"' out
grep -q '"default": 5e-05' "$dir/out" || { echo "FAILED: JSON default"; failures=$((failures + 1)); }
run args seed --json;     expect "one key as JSON" 0 '"name": "seed"' out
[ "$(grep -c '"name"' "$dir/out")" = 1 ] || { echo "FAILED: one key gives one object"; failures=$((failures + 1)); }

run env;                  expect "env is JSON" 0 '"instruction_set": "' out
grep -q '"threads": [1-9]' "$dir/out" || { echo "FAILED: env tells threads"; failures=$((failures + 1)); }
grep -q '"bfloat16_widened_gflops": [0-9]' "$dir/out" || { echo "FAILED: env tells rates of products"; failures=$((failures + 1)); }
run env x;                expect "env takes nothing" 2 'takes nothing' err

# {"a": F32 [2]} with its 8 bytes; then the same cut short
header='{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  '
{ printf "\\x$(printf %x ${#header})\\0\\0\\0\\0\\0\\0\\0"; printf '%s' "$header"; printf '\0\0\200\77\0\0\0\100'; } >"$dir/model.safetensors"
run inspect "$dir/model.safetensors"; expect "inspect a file" 0 '^  a +F32 +\[2\]$' out; quiet err
run inspect "$dir";       expect "inspect a directory" 0 '^total 2 elements, F32 2$' out
run inspect "$dir" --json; expect "inspect as JSON" 0 '"elements": 2' out
head -c 20 "$dir/model.safetensors" >"$dir/cut.safetensors"
run inspect "$dir/cut.safetensors"; expect "a cut file" 1 '^hone: error: .*cut\.safetensors' err
[ "$(wc -l <"$dir/err")" = 1 ] || { echo "FAILED: one line"; failures=$((failures + 1)); }
run inspect "$dir/absent"; expect "an absent file" 1 'no such file' err
run inspect;              expect "no path" 2 'takes one path' err

cd "$(dirname "$0")/../.." || exit 1
model=tests/fixtures/models/gpt2_tiny
run tokenize --model $model --decode 1 2; expect "ids after a flag are texts" 0 '"\\""' out
[ "$(wc -l <"$dir/out")" = 2 ] || { echo "FAILED: two texts, two lines"; failures=$((failures + 1)); }
run tokenize hi --model $model; expect "options after a text" 2 'options stand before the texts' err
run train absent.yaml;    expect "a config that is not there" 2 '^hone: error: config: absent.yaml: no such file' err
run train "$dir";         expect "a config that is a directory" 2 'directory' err

# A run outlives the reader of its log; where stderr is closed no file that it writes takes its place.
export HONE_CACHE=$dir/cache
train=(train --model_name_or_path $model --train_file tests/fixtures/data/corpus.txt --block_size 8 --max_train_samples 8
    --max_steps 3 --save_steps 1)
"$hone" "${train[@]}" --output_dir "$dir/reader" 2>&1 >/dev/null | head -n 1 >"$dir/out"
status=${PIPESTATUS[0]};  expect "a log without a reader" 0 '^hone: (task|computing)' out
"$hone" "${train[@]}" --output_dir "$dir/closed" <&- >&- 2>&-; status=$?
: >"$dir/err"
grep -rlE 'hone: (task|saved|done)' "$dir/closed" "$dir/cache" >"$dir/out"
[ $status$(wc -l <"$dir/out") = 00 ] || { echo "FAILED: everything closed: $status"; cat "$dir/out"; failures=$((failures + 1)); }
cmp "$dir/reader/model.safetensors" "$dir/closed/model.safetensors" || failures=$((failures + 1))

"$hone" args >/dev/full 2>"$dir/err"; status=$?; expect "a full stdout is a failure" 1 'stdout' err
exit $((failures > 0))
