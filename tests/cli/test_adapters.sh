#!/bin/bash
# Adapters from outside: LoRA runs on one rank and two, resume and rotation, evaluation, merging, and what is refused. Argument: the path
# of hone.
set -u
hone=$(realpath "$1")
cd "$(dirname "$0")/../.." || exit 1
dir=$(mktemp -d /tmp/hone-adapters-XXXXXX)
trap 'rm -rf "$dir"' EXIT
export HONE_CACHE=$dir/cache OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }
run() { "$hone" "$@" >"$dir/out" 2>"$dir/err" </dev/null; status=$?; }
# expect NAME STATUS PATTERN FILE-OF-THE-PATTERN: about the last `run`
expect() {
    if [ "$status" != "$2" ] || ! grep -qE -- "$3" "$dir/$4"; then
        fail "$1: status $status, wanted $2 and /$3/ in $4"; head -20 "$dir/out" "$dir/err"
    fi
}
models=tests/fixtures/models adapters=tests/fixtures/adapters data=tests/fixtures/data
job="--model_name_or_path $models/llama_grouped --train_file $data/corpus.txt --block_size 32 --per_device_train_batch_size 4
     --learning_rate 5e-3 --max_steps 12 --save_steps 4 --report_to none"
lora="--use_peft --lora_r 4 --lora_dropout 0.1 --lora_modules_to_save lm_head"

run train $job $lora --output_dir "$dir/a"
expect "a run" 0 'LoRA: .* train \([0-9.]+%\), in 4 layers' err
for file in adapter_config.json adapter_model.safetensors tokenizer.json README.md checkpoint-12/adapter_model.safetensors \
            checkpoint-12/optimizer.safetensors; do
    [ -s "$dir/a/$file" ] || fail "no $file"
done
[ -e "$dir/a/model.safetensors" ] || [ -e "$dir/a/config.json" ] && fail "the frozen model was written"
run inspect "$dir/a/adapter_model.safetensors"
expect "names are PEFT's" 0 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight +F32 +\[4, 24\]' out
[ "$(grep -c lora_ "$dir/out")" = 8 ] && grep -q ' base_model.model.lm_head.weight ' "$dir/out" || fail "not A and B of 4 layers and the head"
run inspect "$dir/a/checkpoint-12/optimizer.safetensors"
[ "$(grep -c exp_avg_sq "$dir/out")" = 9 ] || fail "the optimizer has states of other weights"

# a run that was stopped in between ends with the same bits
run train $job $lora --output_dir "$dir/b" --save_total_limit 2
rm -r "$dir/b/checkpoint-12" "$dir"/b/adapter_*
run train $job $lora --output_dir "$dir/b" --save_total_limit 2 --resume_from_checkpoint true
expect "resuming" 0 'checkpoint-8' err
cmp -s "$dir/a/adapter_model.safetensors" "$dir/b/adapter_model.safetensors" || fail "a resumed adapter has other bits"

# ranks share the frozen weights; full determinism gives the same bits for one rank and two
same="--full_determinism --max_train_samples 96"
run train $job $lora $same --output_dir "$dir/one"
mpirun --oversubscribe -np 2 "$hone" train $job $lora $same --per_device_train_batch_size 2 --output_dir "$dir/two" >"$dir/out" 2>"$dir/err" ||
    { fail "two ranks"; cat "$dir/err"; }
cmp -s "$dir/one/adapter_model.safetensors" "$dir/two/adapter_model.safetensors" || fail "two ranks make another adapter than one"

# going on from it, evaluating it, merging it: the merged model is the same one
valid="--validation_file $data/validation.txt --block_size 32 --report_to none --max_eval_samples 8"
loss() { sed -n 's/.*"eval_loss": \([0-9.]*\).*/\1/p' "$dir/out"; }
run eval --model_name_or_path "$dir/a" $valid; expect "eval of an adapter's directory" 0 eval_loss out; adapted=$(loss)
run eval --model_name_or_path $models/llama_grouped --adapter_name_or_path "$dir/a" $valid
[ "$(loss)" = "$adapted" ] || fail "the same adapter has another loss beside its model"
run eval --model_name_or_path $models/llama_grouped $valid
[ "$(loss)" != "$adapted" ] || fail "the adapter changes nothing"
run merge --model "$dir/a" --output "$dir/merged"
expect "merge" 0 'largest difference of logits before and after: [0-9.]+e-0[678] ' out
run eval --model_name_or_path "$dir/merged" $valid
awk -v a="$adapted" -v b="$(loss)" 'BEGIN { exit !(b && (a - b) ^ 2 < 1e-10) }' || fail "merged: loss $(loss), not $adapted"
run train $job --adapter_name_or_path "$dir/a" --output_dir "$dir/on" --max_steps 2
expect "going on from an adapter" 0 'LoRA: ' err
run merge --model $models/llama_grouped --adapter "$dir/a" --output "$dir/merged"; expect "a directory that is in use" 2 'is not empty' err
run merge --model $models/llama_grouped --output "$dir/x";                         expect "nothing to merge" 2 'no --adapter is given' err
run merge --model $models/llama_grouped --adapter $adapters/qwen3_layers --output "$dir/x"; expect "another model's adapter" 1 'wrong shape: .*q_proj.lora_B' err
run merge --model $models/gpt2_tiny --adapter $adapters/llama_qv --output "$dir/x"; expect "no layer of it" 2 'none of the model.s layers' err
run merge --model $models/llama_grouped --adapter "$dir/a" --adapter $adapters/llama_qv --output "$dir/x"
expect "two, one of which trains the head" 1 'cannot be used with another' err
run merge --model $models/llama_grouped --adapter $adapters/llama_qv --adapter $adapters/llama_qv --output "$dir/twice" --dtype float16
expect "two adapters at once" 0 'merged into 4 layers' out
run inspect "$dir/twice"; expect "written as asked" 0 'total .*, F16 ' out

# answers: beside the model, by its own directory and merged into the model they are the same ones; two adapters are added up
answer() { "$hone" pipeline text-generation "$@" --do_sample false --max_new_tokens 8 "In the beginning" 2>"$dir/err"; }
plain=$(answer --model $models/llama_grouped)
beside=$(answer --model $models/llama_grouped --adapter $adapters/llama_qv)
"$hone" merge --model $adapters/llama_qv --output "$dir/qv" >"$dir/out" 2>&1 || fail "merging"
[ -n "$beside" ] && [ "$beside" != "$plain" ] || fail "an adapter changes no answer: $beside"
[ "$beside" = "$(answer --model $adapters/llama_qv)" ] || fail "an adapter's directory answers otherwise"
[ "$beside" = "$(answer --model "$dir/qv")" ] || fail "the merged model answers otherwise"
[ "$(answer --model $models/llama_grouped --adapter $adapters/llama_qv --adapter $adapters/llama_qv)" != "$beside" ] || fail "a second adapter changes nothing"

# what cannot be, by name
run train $job --lora_r 8 --output_dir "$dir/x";                       expect "a key without use_peft" 2 'lora_r.*has no effect without use_peft' err
run train $job $lora --adapter_name_or_path $adapters/llama_qv --output_dir "$dir/x"; expect "two sources" 2 'lora_r.*remove one of the two' err
run train $job --use_peft --lora_target_modules q_proj,query --output_dir "$dir/x"; expect "a module that is not there" 2 '`query`.* q_proj k_proj' err
run train $job --use_peft --peft_config '{"r": 4}' --output_dir "$dir/x"; expect "a member that is a key" 2 'is the key lora_r' err
run train $job --use_peft --peft_config '{"init_lora_weights": "pissa"}' --output_dir "$dir/x"; expect "another start" 1 'pissa' err
run train $job --use_dora true --output_dir "$dir/x";                  expect "DoRA" 2 'use_dora' err
run train $job --dtype bfloat16 --output_dir "$dir/x";                 expect "dtype of what trains" 2 'dtype.*frozen' err
run train $job --adapter_name_or_path "$dir" --output_dir "$dir/x";    expect "no adapter" 1 'has no adapter_config.json' err
run train $job --use_peft --lora_target_modules all-linear --peft_config '{"exclude_modules": ["down_proj"], "rank_pattern": {"q_proj": 3}}' \
    --output_dir "$dir/y" --max_steps 1
expect "all-linear" 0 'in 12 layers' err
run train $job --use_peft --lora_target_modules '.*layers\.1\..*_proj' --output_dir "$dir/z" --max_steps 1; expect "a pattern" 0 'in 7 layers' err
[ $failures = 0 ] && echo "all passed"
exit $((failures > 0))
