"""The Hugging Face Trainer's side of scripts/bench: one run, one line of JSON on stdout.

usage: bench_trainer.py --model small|124m|lora --dir MODEL_DIR (--tokens FILE | --train_file TEXT) [--steps 12] [--threads N]
                        [--ranks N] [--gradient_checkpointing] [--save_steps N]

Full fine-tuning in float32 with the model's own dropout, AdamW, as run_clm does it; lora: of an adapter of rank 8 on q and v. --tokens: ids as little-endian int32,
cut into blocks here; --train_file: text, through run_clm's processing (datasets), which is what a user waits for.
seconds_per_step: median of the steps after the first two. tokens_per_second: of all ranks. peak_rss_mb: the largest
resident set (of rank 0; peak_rss_sum_mb of all ranks). first_step_s: from the start of the process to the end of the
first step; the start is START_NS (`date +%s%N`) where the caller sets it, else the kernel's record.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

SHAPES = {"small": (128, 8), "124m": (256, 4), "lora": (256, 4)}  # block, batch of a rank


def process_start():
    """Seconds since the epoch at which this process (or the caller's command) began."""
    if "START_NS" in os.environ:
        return int(os.environ["START_NS"]) / 1e9
    ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=SHAPES, required=True)
    parser.add_argument("--dir", type=Path, required=True)
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument("--tokens", type=Path)
    data.add_argument("--train_file", type=Path)
    parser.add_argument("--steps", type=int, default=12, help="at least 3")
    parser.add_argument("--threads", type=int, default=1, help="of each rank")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--gradient_checkpointing", action="store_true")
    parser.add_argument("--save_steps", type=int, default=0)
    options = parser.parse_args()
    if options.steps < 3:
        parser.error("--steps: the first two are not timed, give at least 3")
    return options


def spread(ranks, start):
    """Starts this command once a rank; rank 0 keeps stdout. Status: the first that is not 0."""
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    children = []
    for rank in range(ranks):
        env = {**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks),
               "LOCAL_WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
               "START_NS": str(int(start * 1e9))}
        children.append(subprocess.Popen([sys.executable, *sys.argv], env=env))
    return next((code for code in [c.wait() for c in children] if code), 0)


def main():
    start = process_start()
    options = arguments()
    if options.ranks > 1 and "RANK" not in os.environ:
        return spread(options.ranks, start)
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(options.threads)
    from common import check_versions

    check_versions()
    import torch
    from transformers import (
        AutoModelForCausalLM,
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        default_data_collator,
    )
    from transformers.utils import logging

    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing. is deprecated")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    block, batch = SHAPES[options.model]
    ends = []

    class Clock(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            ends.append(time.time())

    with tempfile.TemporaryDirectory() as out:
        args = TrainingArguments(
            output_dir=out, max_steps=options.steps, per_device_train_batch_size=batch, logging_steps=10, use_cpu=True,
            report_to="none", disable_tqdm=True, gradient_checkpointing=options.gradient_checkpointing,
            save_strategy="steps" if options.save_steps else "no", save_steps=options.save_steps or 500,
            ddp_backend="gloo" if options.ranks > 1 else None)
        model = AutoModelForCausalLM.from_pretrained(options.dir, dtype=torch.float32)
        if options.model == "lora":
            from peft import LoraConfig, get_peft_model

            model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"],
                                                     task_type="CAUSAL_LM"))
        if options.tokens:
            ids = torch.from_file(str(options.tokens), dtype=torch.int32, size=options.tokens.stat().st_size // 4).long()
            rows = ids[: len(ids) // block * block].view(-1, block)
            train = [{"input_ids": row, "labels": row} for row in rows]
        else:
            import clm
            from transformers import AutoTokenizer

            raw = clm.load(clm.ScriptArguments(train_file=str(options.train_file)))
            train = clm.blocks(raw, AutoTokenizer.from_pretrained(options.dir), block)[0]["train"]
        trainer = Trainer(model=model, args=args, train_dataset=train, data_collator=default_data_collator,
                          callbacks=[Clock()])
        trainer.remove_callback(PrinterCallback)  # stdout is for the result
        trainer.train()

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    peaks = [peak]
    if options.ranks > 1:
        peaks = [None] * options.ranks
        torch.distributed.all_gather_object(peaks, peak)
    if int(os.environ.get("RANK", 0)) == 0:
        seconds = statistics.median(b - a for a, b in zip(ends[1:], ends[2:]))
        losses = [e["train_loss"] for e in trainer.state.log_history if "train_loss" in e]
        print(json.dumps({
            "trainer": "transformers", "model": options.model, "ranks": options.ranks, "threads": options.threads,
            "gradient_checkpointing": options.gradient_checkpointing, "steps": len(ends),
            "seconds_per_step": round(seconds, 5),
            "tokens_per_second": round(block * batch * options.ranks / seconds, 1),
            "peak_rss_mb": round(peak, 1), "peak_rss_sum_mb": round(sum(peaks), 1),
            "first_step_s": round(ends[0] - start, 3), "train_loss": losses[-1]}))
    if options.ranks > 1:
        torch.distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
