#!/bin/bash
# Every kind of file that hone reads, damaged in every way that files are: exit status 1 or 2, one line of error that names the
# file (or the key), no model made, nothing of what was there changed, and never a word of a sanitizer. Argument: the path of hone.
set -u
hone=$(realpath "$1")
[ -x "$hone" ] || { echo "no program at $1"; exit 1; }
cd "$(dirname "$0")/../.." || exit 1
dir=$(mktemp -d /dev/shm/hone-bad-XXXXXX 2>/dev/null || mktemp -d /tmp/hone-bad-XXXXXX)
trap 'chmod -R u+rwx "$dir"; rm -rf "$dir"' EXIT
export HONE_CACHE=$dir/cache
fixture=tests/fixtures/models/gpt2_tiny
failures=0 cases=0

fresh() { # a model and a text to train on that are right
    rm -rf "$dir/m" "$dir/out" "$dir/data"
    mkdir "$dir/data"
    cp -r "$fixture" "$dir/m"
    rm "$dir/m/golden.safetensors"
    head -c 4000 tests/fixtures/data/corpus.txt >"$dir/data/text.txt"
}
fail() { echo "FAILED: $1"; head -c 2000 "$dir/err"; failures=$((failures + 1)); }

# refused NAME PATTERN COMMAND …: the command fails as it should, with PATTERN in its one line
refused() {
    local name=$1 pattern=$2 before
    shift 2
    cases=$((cases + 1))
    before=$(cd "$dir" && find m data out -type f -exec cksum {} + 2>/dev/null | sort)
    "$hone" "$@" >"$dir/stdout" 2>"$dir/err" </dev/null
    status=$?
    [ "$status" = 1 ] || [ "$status" = 2 ] || fail "$name: status $status"
    [ "$(grep -c '^hone: error: ' "$dir/err")" = 1 ] || fail "$name: not one line of error"
    [ "$(sed -n '$s/^hone: error: .*/last/p' "$dir/err")" = last ] || fail "$name: something follows the error"
    grep -E '^hone: error: ' "$dir/err" | grep -qE -- "$pattern" || fail "$name: no /$pattern/ in the error"
    grep -qE 'Sanitizer|runtime error' "$dir/err" && fail "$name: a sanitizer speaks"
    [ "$before" = "$(cd "$dir" && find m data out -type f -exec cksum {} + 2>/dev/null | sort)" ] || fail "$name: files have changed"
    [ ! -e "$dir/out/model.safetensors" ] || fail "$name: a model was written"
}
train=(train "$dir/run.yaml")
cat >"$dir/run.yaml" <<YAML
model_name_or_path: $dir/m
train_file: $dir/data/text.txt
block_size: 16
max_steps: 2
per_device_train_batch_size: 2
save_steps: 1
report_to: none
disable_tqdm: true
output_dir: $dir/out
YAML

# damage FILE KIND
damage() {
    case $2 in
    empty) : >"$1" ;;
    directory) rm "$1" && mkdir "$1" ;;
    cut) truncate -s "$(($(stat -c %s "$1") / 2))" "$1" ;;
    list) printf '[1, 2]\n' >"$1" ;;
    number) printf '1e999' >"$1" ;;
    nul) printf '{"a\0": 1}' >"$1" ;;
    utf8) printf '{"a": "\xff"}' >"$1" ;;
    utf16) printf '\xff\xfe{\0}\0' >"$1" ;;
    bom) { printf '\xef\xbb\xbf'; cat "$1"; } >"$1.bom" && mv "$1.bom" "$1" ;;
    twice) printf '{"a": 1, "a": 2}' >"$1" ;;
    deep) printf '[%.0s' $(seq 600) >"$1" ;;
    esac
}

# ---- a model's directory ----
for file in config.json generation_config.json tokenizer.json tokenizer_config.json; do
    for kind in empty directory cut list number nul utf8 utf16 bom twice deep; do
        fresh
        damage "$dir/m/$file" $kind
        case $file in # the quickest command that reads it
        tokenizer*) refused "$file: $kind" "m/$file: " tokenize --model "$dir/m" x ;;
        *) refused "$file: $kind" "m/$file: " "${train[@]}" --dry_run ;;
        esac
    done
done
fresh; printf '{"<unk>": 3}' >"$dir/m/special_tokens_map.json"; rm "$dir/m/tokenizer_config.json"
"$hone" tokenize --model "$dir/m" x >/dev/null 2>&1 || fail "a special_tokens_map.json with names that mean nothing"
printf '{"eos_token": 3}' >"$dir/m/special_tokens_map.json"
refused "special_tokens_map.json: a number for a token" "special_tokens_map.json: " tokenize --model "$dir/m" x
for kind in empty directory cut list nul utf16; do
    fresh
    damage "$dir/m/model.safetensors" $kind
    refused "model.safetensors: $kind" "m/model.safetensors: " "${train[@]}"
    [ $kind = directory ] || # which is one without a model
        refused "inspect model.safetensors: $kind" "model.safetensors: " inspect "$dir/m/model.safetensors"
done
fresh; rm -r "$dir/m"; cp -r tests/fixtures/models/gpt2_sharded "$dir/m"
for kind in empty list twice cut; do
    cp tests/fixtures/models/gpt2_sharded/model.safetensors.index.json "$dir/m/"
    damage "$dir/m/model.safetensors.index.json" $kind
    refused "index: $kind" "model.safetensors.index.json: " "${train[@]}"
done
printf '{"weight_map": {"a": "../../etc/passwd"}}' >"$dir/m/model.safetensors.index.json"
refused "an index that points out of its directory" "index.json: " "${train[@]}"
cp tests/fixtures/models/gpt2_sharded/model.safetensors.index.json "$dir/m/"
rm "$dir/m/model-00002-of-00003.safetensors"
refused "a shard that is missing" "model-00002-of-00003.safetensors" "${train[@]}"

# ---- data ----
# data ENDING NAME PATTERN FORMAT
data() {
    fresh
    printf "$4" >"$dir/data/d.$1"
    refused "$1: $2" "$3" "${train[@]}" --train_file "$dir/data/d.$1"
}
for ending in txt jsonl json csv; do
    data $ending empty "data/d.$ending: " ''
    fresh; mkdir "$dir/data/d.$ending"
    refused "$ending: a directory" "data/d.$ending: " "${train[@]}" --train_file "$dir/data/d.$ending"
done
data txt "not UTF-8" 'data/d.txt: line 2' 'a\nb\xff'
data jsonl "cut" 'data/d.jsonl: line 2' '{"text": "a"}\n{"te'
data jsonl "a number" 'data/d.jsonl: line 1' '{"text": 3}'
data jsonl "half a surrogate" 'data/d.jsonl: line 1' '{"text": "\\ud800"}'
data jsonl "a key twice" 'data/d.jsonl: line 1' '{"text": "a", "text": "b"}'
data jsonl "not UTF-8" 'data/d.jsonl: line 1' '{"text": "\xc0\x80"}'
data jsonl "NUL" 'data/d.jsonl: line 1' '{"text": "a\0"}'
data jsonl "nested deep" 'data/d.jsonl: line 1' "{\"text\": $(printf '[%.0s' $(seq 600))"
data json "lists of lists" 'data/d.json: line 1' '[[1]]'
data csv "an open quote" 'data/d.csv: line 2' 'text\n"a'
data csv "a long row" 'data/d.csv: line 3' 'a,b\n1,2\n1,2,3\n'
data csv "two columns of one name" 'data/d.csv: line 1' 'a,a\n1,2\n'
data csv "not UTF-8" 'data/d.csv: line 2' 'text\na\xff\n'
data parquet "an ending that is not known" 'data/d.parquet: ' 'PAR1'
fresh; refused "a file that is missing" 'data/no.txt: ' "${train[@]}" --train_file "$dir/data/no.txt"
if [ "$(id -u)" != 0 ]; then # root may read everything
    fresh; chmod 0 "$dir/data/text.txt"
    refused "a file that may not be read" 'data/text.txt: ' "${train[@]}"
fi

# ---- the config ----
# config NAME PATTERN FORMAT: a whole file
config() {
    fresh
    printf -- "$3" >"$dir/data/c.yaml"
    refused "config: $1" "$2" train "$dir/data/c.yaml"
    [ "$status" = 2 ] || fail "config: $1: status $status, not 2"
}
config "a list" 'c.yaml' '- a\n- b\n'
config "not YAML" 'c.yaml:2' 'output_dir: [a\n'
config "not UTF-8" 'c.yaml' 'output_dir: "\xff"\n'
config "NUL" 'c.yaml' 'output_dir: a\0b\n'
config "a key twice" 'c.yaml:2' 'seed: 1\nseed: 2\n'
config "nested deep" 'c.yaml' "seed: $(printf '[%.0s' $(seq 3000))"
config "an alias of nothing" 'c.yaml' 'seed: *a\n'
config "a key that is none" 'learning_rate' 'learning_rat: 1\n'
config "a wrong type" 'c.yaml:1' 'max_steps: [1]\n'
config "a huge number" 'max_steps' 'max_steps: 99999999999999999999\n'
config "NaN" 'learning_rate' 'learning_rate: .nan\n'
fresh; refused "a config that is missing" 'no.yaml' train "$dir/data/no.yaml"
refused "a config that is a directory" 'data: ' train "$dir/data"
for option in "--learning_rate nan" "--seed -1" "--max_steps 1e400" "--block_size 0" "--num_threads 5000" "--lr_scheduler_kwargs {" \
    "--validation_split_percentage 0" "--report_to nothing" "--learning_rat 1" "--do_train false"; do
    set -- $option
    fresh; refused "option $option" "${1#--}|learning_rate" "${train[@]}" --dry_run "$@"
done

for overrides in n_layers=3 n_layer=x n_embd=1.5 tie_word_embeddings=2 model_type=llama; do
    fresh
    refused "overrides $overrides" 'config_overrides: .*(did you mean `n_layer`|must be|cannot be set)' train --model_type gpt2 \
        --config_overrides "$overrides" --tokenizer_name "$dir/m" --train_file "$dir/data/text.txt" --output_dir "$dir/out" --dry_run
    [ "$status" = 2 ] || fail "overrides $overrides: status $status, not 2"
done

# ---- the token cache: damaged, it is made again ----
fresh
caches() { ls "$dir/cache"/*.tokens; }
rm -rf "$dir/cache"
"$hone" "${train[@]}" --dry_run >"$dir/good" 2>"$dir/err" || fail "a dry run"
for kind in empty cut list nul; do
    damage "$(caches | head -1)" $kind
    "$hone" "${train[@]}" --dry_run >"$dir/stdout" 2>"$dir/err" || fail "token cache: $kind: status $?"
    cmp -s "$dir/good" "$dir/stdout" || fail "token cache: $kind: other samples"
done
rm -rf "$dir/cache"; printf x >"$dir/cache"
"$hone" "${train[@]}" --dry_run >"$dir/stdout" 2>"$dir/err" || fail "a file in the place of the cache's directory"
rm "$dir/cache"

# ---- a checkpoint that is named: refused, and left as it is ----
fresh
"$hone" "${train[@]}" --max_steps 1 >/dev/null 2>"$dir/err" || fail "a run of one step"
cp -r "$dir/out/checkpoint-1" "$dir/kept"
rm -rf "$dir/out"
for file in $(ls "$dir/kept"); do
    for kind in empty cut directory; do
        rm -rf "$dir/data/checkpoint-1"
        cp -r "$dir/kept" "$dir/data/checkpoint-1"
        damage "$dir/data/checkpoint-1/$file" $kind
        refused "checkpoint's $file: $kind" "checkpoint-1" "${train[@]}" --resume_from_checkpoint "$dir/data/checkpoint-1"
    done
done

# ---- variables of the environment that launchers and users set ----
fresh
for setting in OMP_NUM_THREADS=abc OMP_NUM_THREADS=99999999999999999999 OMP_NUM_THREADS=-1 OMP_NUM_THREADS= HONE_ISA= HONE_ISA=base \
    OMPI_COMM_WORLD_SIZE=abc OMPI_COMM_WORLD_SIZE=-3 SLURM_STEP_NUM_TASKS= HONE_SHM=maybe TMPDIR=/nonexistent; do
    env "$setting" "$hone" "${train[@]}" --dry_run >"$dir/stdout" 2>"$dir/err" || fail "$setting: status $?"
    cmp -s "$dir/good" "$dir/stdout" || fail "$setting: other samples"
    grep -qE 'Sanitizer|runtime error' "$dir/err" && fail "$setting: a sanitizer speaks"
done

# an instruction set is asked for on purpose: another one in its place would mislead
export HONE_ISA=none
refused "HONE_ISA=none" "HONE_ISA is .none.; it may be base, avx2 or avx512" "${train[@]}" --dry_run
[ "$status" = 2 ] || fail "HONE_ISA=none: status $status, not 2"
refused "HONE_ISA=none, pipeline" "HONE_ISA is .none." pipeline text-generation --model "$dir/m" x
[ "$status" = 2 ] || fail "HONE_ISA=none, pipeline: status $status, not 2"
unset HONE_ISA

echo "$cases refusals, $failures failures"
exit $((failures > 0))
