#!/bin/bash
# A run that is stopped and resumed ends in the same bits, and has logged the same, as one that was never stopped: for
# each way to stop between and in the middle of epochs, log intervals, evaluations and saves. Argument: the path of
# hone.
. "$(dirname "$0")/../support/runs.sh"

# compare NAME RANKS STEPS [key value …]: a run that was lost after each of its checkpoints STEPS, and resumed
compare() {
    local name=$1 ranks=$2 stops=$3 stop later
    shift 3
    rm -rf "$dir/whole"
    train "$ranks" whole "$@"; must 0 "$name, unbroken"
    for stop in $stops; do
        # The schedule knows where the run ends, so max_steps is not made smaller: what came later is lost.
        rm -rf "$dir/broken"
        cp -r "$dir/whole" "$dir/broken"
        rm "$dir"/broken/*.*
        for later in "$dir"/broken/checkpoint-*; do
            [ "${later##*-}" -le "$stop" ] || rm -r "$later"
        done
        train "$ranks" broken --resume_from_checkpoint true "$@"; must 0 "$name, resumed"
        says "$name" "resumed from .*/checkpoint-$stop at step $stop of "
        silent "$name" 'may differ'
        same "$name, resumed at $stop" whole broken
    done
}

compare "plain" 1 "4 8 12"
for ranks in 1 2; do
    compare "$ranks ranks: logs and saves do not coincide" $ranks "8" --logging_steps 5
    compare "$ranks ranks: accumulation" $ranks "4" --gradient_accumulation_steps 3
    compare "$ranks ranks: evaluation between" $ranks "9" --eval_strategy steps --eval_steps 2 --save_steps 3
    compare "$ranks ranks: gradient checkpointing" $ranks "8" --gradient_checkpointing
    compare "$ranks ranks: momentum" $ranks "4" --optim sgd --optim_args momentum=0.9 --learning_rate 0.1
    compare "$ranks ranks: full determinism" $ranks "8" --full_determinism --gradient_accumulation_steps 2 \
        --max_train_samples 48
done
compare "epochs" 1 "12 20" --max_steps -1 --num_train_epochs 2.3 --logging_strategy epoch --eval_strategy epoch
compare "the reference's loss" 1 "8" --loss_normalization hf --gradient_accumulation_steps 3 --logging_steps 3
# the first evaluation is the best
worse="--eval_strategy steps --eval_steps 4 --metric_for_best_model loss --greater_is_better true"
compare "the best model" 1 "4" $worse --load_best_model_at_end --save_total_limit 2
says "the best model" 'loaded the best model, .*/broken/checkpoint-4 ' # found where it is now
compare "stopped early" 1 "4 8" $worse --early_stopping_patience 1
says "stopped early" 'done: 8 steps'
compare "all states on all ranks" 2 "8" --zero_stage 0
compare "tokens seen" 1 "8" --include_num_input_tokens_seen all --logging_steps 3
finish
