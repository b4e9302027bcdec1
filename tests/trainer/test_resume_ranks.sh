#!/bin/bash
# A checkpoint goes on on another number of ranks: the same optimizer state and data position, said that bits may
# differ, the same losses but for rounding. An update has 12 samples on 1, 2 and 3 ranks. Argument: the path of hone.
. "$(dirname "$0")/../support/runs.sh"
split() { case $1 in 1) echo 3;; 2) echo 2 --per_device_train_batch_size 3;; 3) echo 1;; esac; } # accumulation, batch
options() { echo --max_train_samples 36 --save_steps 6 --gradient_accumulation_steps $(split "$1"); }

# Pairs of "loss" and "grad_norm" by step that differ by more than rounding does.
values() { grep -E '"(loss|grad_norm|train_loss)"' "$dir/$1/trainer_state.json"; }
far() {
    paste <(values "$1") <(values "$2") | awk '
        { a = $2 + 0; b = $4 + 0; d = a > b ? a - b : b - a; if ($1 != $3 || d > 1e-5 * a) print }
        END { if (NR < 25) print NR " values" }'
}

for ranks in 1 2 3; do
    train $ranks whole$ranks $(options $ranks); must 0 "$ranks ranks"
done
for pair in "2 1" "2 3" "1 2" "3 2"; do
    set -- $pair
    rm -rf "$dir/broken"
    cp -r "$dir/whole$1" "$dir/broken"
    rm -r "$dir"/broken/*.* "$dir/broken/checkpoint-12"
    train $2 broken $(options $2) --resume_from_checkpoint true; must 0 "$1 to $2 ranks"
    says "$1 to $2 ranks" "resumed from .*/checkpoint-6 at step 6 of 12"
    says "$1 to $2 ranks" "made on $1 ranks?, .* this is $2 ranks?, .* bits may differ"
    silent "$1 to $2 ranks" 'samples are repeated'
    equal "$1 to $2 ranks, losses that are not near" "$(far whole$1 broken)" ""
    equal "$1 to $2 ranks, losses that are not near" "$(far whole$2 broken)" ""
done

# Full determinism: not near, but the same, whatever the ranks.
for ranks in 1 2; do
    train $ranks exact$ranks $(options $ranks) --full_determinism; must 0 "$ranks ranks, full determinism"
done
cp -r "$dir/exact2" "$dir/exact"
rm -r "$dir"/exact/*.* "$dir/exact/checkpoint-12"
train 3 exact $(options 3) --full_determinism --resume_from_checkpoint true; must 0 "full determinism, 2 to 3 ranks"
silent "full determinism, 2 to 3 ranks" 'may differ'
equal "full determinism, 2 to 3 ranks, and an unbroken run on 1" "$(model exact)" "$(model exact1)"

# Other threads are other cores, and the same bits.
rm -r "$dir"/broken
cp -r "$dir/whole1" "$dir/broken"
rm -r "$dir"/broken/*.* "$dir/broken/checkpoint-12"
train 1 broken $(options 1) --resume_from_checkpoint true --num_threads 1; must 0 "one thread"
same "one thread" whole1 broken

# Another number of samples an update is not passed over.
train 1 whole1 $(options 1) --max_steps 20 --per_device_train_batch_size 2 --resume_from_checkpoint true
must 0 "smaller updates"
says "smaller updates" "an update had 12 samples when the checkpoint was made, and has 6 now"
finish
