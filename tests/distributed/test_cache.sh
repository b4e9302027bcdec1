#!/bin/bash
# One token cache for several ranks and several jobs: whoever makes it, makes it anew or finds it half made, all train
# on the same blocks and end with the same model. Argument: hone.
set -u
hone=$(realpath "$1")
[ -x "$hone" ] || { echo "no program at $1"; exit 1; }
fixtures=$(realpath "$(dirname "$0")/../fixtures")
dir=$(mktemp -d /tmp/hone-cache-XXXXXX)
trap 'rm -rf "$dir"' EXIT
export HONE_CACHE=$dir/cache OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
failures=0
fail() { echo "FAILED: $1"; cat "$dir"/*.log; failures=$((failures + 1)); }

for _ in $(seq 12); do cat "$fixtures/data/corpus.txt"; done >"$dir/text.txt" # so that making takes a moment
cat >"$dir/run.yaml" <<END
model_name_or_path: $fixtures/models/gpt2_tiny
train_file: $dir/text.txt
block_size: 48
max_steps: 2
per_device_train_batch_size: 2
save_strategy: no
report_to: none
disable_tqdm: true
num_threads: 1
END

# train NAME RANKS OPTIONS
train() {
    local name=$1 ranks=$2
    shift 2
    mpirun --oversubscribe --timeout 100 -np "$ranks" "$hone" train "$dir/run.yaml" --output_dir "$dir/$name" "$@" \
        >"$dir/$name.log" 2>&1
    echo $? >"$dir/$name.status"
}
# same NAMES: all ended well, with the same model; one file is in the cache, and nothing else.
same() {
    local name
    for name; do [ "$(cat "$dir/$name.status")" -eq 0 ] || fail "$name: status $(cat "$dir/$name.status")"; done
    [ "$(for name; do sha256sum <"$dir/$name/model.safetensors"; done | sort -u | wc -l)" -eq 1 ] ||
        fail "other models: $*"
    [ "$(ls "$dir/cache" | wc -l)" -eq 1 ] || fail "in the cache: $(ls "$dir/cache")"
}
number() { stat -c %i "$dir"/cache/*.tokens; } # another file has another

train first 3 # three ranks, no cache yet
before=$(number)
train found 3
[ "$(number)" = "$before" ] || fail "a cache that was right was made again"
grep -q cached "$dir/found.log" || fail "the cache was not found"
train anew 3 --overwrite_cache true
[ "$(number)" = "$before" ] && fail "overwrite_cache did not make it anew"
same first found anew

# jobs that start together: on nothing, then all of them overwriting what another has mapped
rm -r "$dir/cache"
for job in 1 2 3; do train "together$job" 2 & done; wait
for job in 1 2 3; do train "over$job" 2 --overwrite_cache true & done; wait
same together1 together2 together3 over1 over2 over3
exit $((failures > 0))
