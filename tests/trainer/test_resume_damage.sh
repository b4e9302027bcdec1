#!/bin/bash
# Whatever happens to a file of the newest checkpoint, the next good one is taken, said in one line, and nothing else
# is touched; with none left the run does not begin anew behind one's back. Argument: the path of hone.
. "$(dirname "$0")/../support/runs.sh"

cut_short() { truncate -s "$(($(stat -c %s "$1") * 2 / 3))" "$1"; }
flip() { # one bit in the middle
    local at byte
    at=$(($(stat -c %s "$1") / 2))
    byte=$(od -An -tu1 -j $at -N 1 "$1")
    printf "\\x$(printf %x $((byte ^ 4)))" | dd of="$1" bs=1 seek=$at conv=notrunc status=none
}
lose() { rm "$1"; }
grow() { printf x >>"$1"; }

train 1 whole; must 0 "unbroken"
equal "what it leaves" "$(checkpoints whole)" "checkpoint-12 checkpoint-4 checkpoint-8"
files=$(ls "$dir/whole/checkpoint-12")
equal "files of a checkpoint" "$(echo $files)" \
    "MANIFEST.json config.json generation_config.json model.safetensors optimizer.safetensors rng_state.json \
scheduler.json tokenizer.json tokenizer_config.json trainer_state.json training_args.json"
sums() { (cd "$dir/$1" && sha256sum checkpoint-4/* checkpoint-8/*); }
for file in $files; do
    for damage in cut_short flip lose grow; do
        [ $damage = flip ] || [ $file != tokenizer_config.json ] || continue
        name="$damage $file"
        rm -rf "$dir/broken"
        cp -r "$dir/whole" "$dir/broken"
        rm "$dir"/broken/*.*
        $damage "$dir/broken/checkpoint-12/$file"
        train 1 broken --resume_from_checkpoint true; must 0 "$name"
        says "$name" "warning: .*/checkpoint-12.*; it is now .*/corrupt-checkpoint-12"
        says "$name" "resumed from .*/checkpoint-8 at step 8 of 12"
        same "$name" whole broken
        equal "$name" "$(checkpoints broken)" "checkpoint-12 checkpoint-4 checkpoint-8 corrupt-checkpoint-12"
        equal "$name, the older ones" "$(sums broken)" "$(sums whole)"
    done
done

# Two of three; then all; then again.
rm -rf "$dir/broken"
cp -r "$dir/whole" "$dir/broken"
rm "$dir"/broken/*.*
flip "$dir/broken/checkpoint-12/model.safetensors"
lose "$dir/broken/checkpoint-8/rng_state.json"
train 1 broken --resume_from_checkpoint true; must 0 "two of three"
says "two of three" "resumed from .*/checkpoint-4 at step 4 of 12"
same "two of three" whole broken
rm "$dir"/broken/*.*
for step in 4 8 12; do flip "$dir/broken/checkpoint-$step/optimizer.safetensors"; done
for again in first second; do
    train 1 broken --resume_from_checkpoint true; must 1 "none left, $again start"
    says "none left, $again start" "hone: error: .*no good checkpoint is left.*to begin anew"
    equal "one line of error" "$(grep -c 'hone: error' "$dir/log")" 1
    [ ! -e "$dir/broken/model.safetensors" ] || fail "none left: the run began anew"
done

# By path: what is named must be good, and is not moved.
train 1 elsewhere --resume_from_checkpoint "$dir/whole/checkpoint-8"; must 0 "a path"
same "a path" whole elsewhere
equal "a path" "$(checkpoints elsewhere)" "checkpoint-12"
flip "$dir/whole/checkpoint-4/model.safetensors"
train 1 elsewhere2 --resume_from_checkpoint "$dir/whole/checkpoint-4/"; must 1 "a damaged path"
says "a damaged path" "hone: error: resume_from_checkpoint: the checkpoint is damaged: .*model.safetensors"
train 1 elsewhere2 --resume_from_checkpoint "$dir/whole/checkpoint-5"; must 1 "no such path"
says "no such path" "hone: error: resume_from_checkpoint: .*checkpoint-5: no such directory"
equal "and nothing moved" "$(checkpoints whole)" "checkpoint-12 checkpoint-4 checkpoint-8"
train 1 whole --resume_from_checkpoint true --max_steps 8; must 2 "beyond the end"
says "beyond the end" "is at step 12, beyond the 8 steps"
train 1 models --save_only_model --max_steps 4; must 0 "models only"
says "models only" "warning: save_only_model: .* cannot be resumed if it is killed"
train 1 none --save_only_model --max_steps 1 --save_strategy no; must 0 "nothing saved"
silent "nothing saved" "save_only_model"
train 1 models --resume_from_checkpoint true; must 2 "a model only"
says "a model only" "checkpoint-4 was saved with save_only_model: .*model_name_or_path"
finish
