"""The Hugging Face Trainer's side of scripts/gpu-check: GPT-2 with random weights and synthetic tokens on one GPU; one line
"ms_per_step tokens_per_second peak_mb versions" on stdout.

usage: bench_trainer_gpu.py --precision bf16|tf32|f32 [--batch 32] [--block 1024] [--steps 30] [--layers 12] [--hidden 768]
                            [--heads 12] [--vocab 50304] [--no_compile] [--cpu]

The same job as configs/bench/gpu_124m.yaml: no dropout, AdamW (torch's fused), clipping, with torch.compile. ms_per_step:
median of the steps after the first ten (or the first third of fewer). peak_mb: what torch had allocated at most.
--cpu and --no_compile: to try this program where there is no GPU.
"""
import argparse
import os
import statistics
import sys
import tempfile
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=["bf16", "tf32", "f32"], required=True)
    for name, default in [("batch", 32), ("block", 1024), ("steps", 30), ("layers", 12), ("hidden", 768), ("heads", 12),
                          ("vocab", 50304)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--no_compile", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"

    import torch
    import transformers
    from transformers import GPT2Config, GPT2LMHeadModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    transformers.utils.logging.set_verbosity_error()
    ends = []

    class Clock(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if not options.cpu:
                torch.cuda.synchronize()
            ends.append(time.perf_counter())

    torch.manual_seed(1)
    if options.precision != "f32" and not options.cpu:
        torch.set_float32_matmul_precision("high")
    model = GPT2LMHeadModel(GPT2Config(
        n_layer=options.layers, n_embd=options.hidden, n_head=options.heads, vocab_size=options.vocab,
        n_positions=options.block, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0))
    rows = torch.randint(0, options.vocab, (options.batch * 4, options.block))
    data = [{"input_ids": row, "labels": row} for row in rows]
    with tempfile.TemporaryDirectory() as out:
        args = TrainingArguments(
            output_dir=out, max_steps=options.steps, per_device_train_batch_size=options.batch, logging_steps=10,
            bf16=options.precision == "bf16", torch_compile=not options.no_compile, use_cpu=options.cpu,
            optim="adamw_torch" if options.cpu else "adamw_torch_fused", learning_rate=6e-4, weight_decay=0.1,
            report_to="none", disable_tqdm=True, save_strategy="no", dataloader_num_workers=0 if options.cpu else 2)
        trainer = Trainer(model=model, args=args, train_dataset=data, callbacks=[Clock()])
        trainer.remove_callback(PrinterCallback)  # stdout is for the result
        trainer.train()
    skip = min(10, len(ends) // 3)
    seconds = statistics.median(b - a for a, b in zip(ends[skip:], ends[skip + 1:]))
    peak = 0 if options.cpu else torch.cuda.max_memory_allocated() / 1e6
    tokens = options.batch * options.block / seconds
    print(f"{seconds * 1e3:.2f} {tokens:.0f} {peak:.0f} torch-{torch.__version__}/transformers-{transformers.__version__}")


if __name__ == "__main__":
    sys.exit(main())
