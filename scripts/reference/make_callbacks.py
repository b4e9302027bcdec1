"""Writes tests/fixtures/callbacks: a trainer_state.json and a model card by transformers, from one made-up history."""
from types import SimpleNamespace

from common import FIXTURES, check_versions

check_versions()

from transformers.modelcard import TrainingSummary, extract_hyperparameters_from_trainer, parse_log_history  # noqa: E402
from transformers.trainer_callback import EarlyStoppingCallback, TrainerControl, TrainerState  # noqa: E402
from transformers.training_args import OptimizerNames, ParallelMode  # noqa: E402

OUT = FIXTURES / "callbacks"

HISTORY = [
    {"eval_loss": 5.5, "eval_accuracy": 0.03125, "eval_runtime": 0.5, "eval_samples_per_second": 90.0,
     "eval_steps_per_second": 12.0, "epoch": 0.25, "step": 2},
    {"loss": 4.5, "grad_norm": 1.4733468294143677, "learning_rate": 5e-05, "epoch": 0.5, "step": 4},
    {"eval_loss": 3.25, "eval_accuracy": 0.0625123456, "eval_runtime": 0.5, "eval_samples_per_second": 90.0,
     "eval_steps_per_second": 12.0, "epoch": 0.75, "step": 6},
    {"loss": float("nan"), "grad_norm": float("inf"), "learning_rate": 0.0, "epoch": 1.0,
     "num_input_tokens_seen": 2048, "step": 8},
    {"loss": 3.0, "grad_norm": 2.5e-07, "learning_rate": 1.25e-05, "epoch": 1.5, "step": 12},
    {"eval_loss": 3.9137654321, "eval_accuracy": 0.125, "eval_runtime": 0.5, "eval_samples_per_second": 90.0,
     "eval_steps_per_second": 12.0, "epoch": 1.5, "step": 12},
    {"train_runtime": 12.3456, "train_samples_per_second": 10.5, "train_steps_per_second": 0.972,
     "total_flos": 1956249600.0, "train_loss": 3.75, "epoch": 1.5, "step": 12},
]


def state():
    stopping = EarlyStoppingCallback(3, 0.5)
    stopping.early_stopping_patience_counter = 1
    s = TrainerState(epoch=1.5, global_step=12, max_steps=16, logging_steps=4, eval_steps=6, save_steps=6,
                     train_batch_size=8, num_train_epochs=2, num_input_tokens_seen=4096, total_flos=1956249600.0,
                     best_metric=3.25, best_global_step=6, best_model_checkpoint="out/checkpoint-6",
                     log_history=HISTORY)
    s.stateful_callbacks = {"TrainerControl": TrainerControl(should_save=True).state(),
                            "EarlyStoppingCallback": stopping.state()}
    s.save_to_json(OUT / "trainer_state.json")


def card():
    args = SimpleNamespace(
        learning_rate=5e-05, train_batch_size=8, eval_batch_size=4, seed=42, parallel_mode=ParallelMode.NOT_DISTRIBUTED,
        world_size=1, gradient_accumulation_steps=2, optim=OptimizerNames("adamw_torch_fused"), optim_args=None,
        adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-08, lr_scheduler_type=SimpleNamespace(value="cosine"),
        warmup_steps=3, max_steps=-1, num_train_epochs=2.0, fp16=False, label_smoothing_factor=0.1)
    _, lines, results = parse_log_history(HISTORY)
    summary = TrainingSummary(model_name="my-gpt2", tags=["generated_from_trainer"], license="mit", language="en",
                              finetuned_from="openai-community/gpt2", eval_results=results, eval_lines=lines,
                              hyperparameters=extract_hyperparameters_from_trainer(SimpleNamespace(args=args)))
    text = summary.to_model_card()
    (OUT / "README.md").write_text(text[:text.index("### Framework versions")], encoding="utf-8")


OUT.mkdir(exist_ok=True)
state()
card()
