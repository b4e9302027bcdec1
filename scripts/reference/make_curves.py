"""Writes tests/fixtures/curves: run.yaml, what the Hugging Face Trainer logged with it, and its blocks and order.

usage: make_curves.py [--double] [--out DIR] [CASE …]

Each case runs in a process of its own (two for two ranks, joined by gloo); relative paths in run.yaml are relative to
the root of the repository. --double trains in float64 instead and prints how far the shipped curves are from that:
what rounding alone does to them. tests/fixtures/README.md describes the files.
"""
import argparse
import json
import os
import socket
import sys
from pathlib import Path

from common import CURVES, ROOT, check_versions, ids_sha256

check_versions()

import datasets  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

import clm  # noqa: E402

TINY = {"model_name_or_path": "gpt2_tiny", "train_file": "corpus.txt"}
BASE = {"block_size": 32, "do_train": "true", "max_steps": 50, "per_device_train_batch_size": 8,
        "learning_rate": "2e-3", "seed": 42}
END = {"logging_steps": 1, "save_strategy": "no", "report_to": "none", "loss_normalization": "hf"}
# name: (ranks, keys over BASE; None takes a key away)
CASES = {
    "text_seed42": (1, TINY),
    "text_seed7": (1, {**TINY, "seed": 7, "block_size": 24, "per_device_train_batch_size": 5}),
    "text_seed1234_data_seed99": (1, {**TINY, "seed": 1234, "data_seed": 99, "max_train_samples": 100}),
    "jsonl_ragged": (1, {**TINY, "train_file": "verses.jsonl", "block_size": 48}),
    "csv_quoted": (1, {**TINY, "train_file": "table.csv", "warmup_steps": "0.15"}),
    "odd_vocab": (1, {**TINY, "model_name_or_path": "gpt2_oddvocab"}),
    "head24_untied": (1, {**TINY, "model_name_or_path": "gpt2_untied", "adam_beta1": 0.8, "adam_beta2": "0.95",
                          "adam_epsilon": "1e-6"}),
    "options": (1, {**TINY, "model_name_or_path": "gpt2_options", "lr_scheduler_type": "constant"}),
    # 54 blocks in fours: 14 micro-batches, the last of 2 blocks; 5 updates an epoch, the last of 2 micro-batches
    "accumulation": (1, {**TINY, "max_train_samples": 54, "per_device_train_batch_size": 4,
                         "gradient_accumulation_steps": 3}),
    # 100 blocks in eights: 13 steps an epoch, the last of 4 blocks; ceil(3.8 * 13) = 50 steps
    "epochs_short_batch": (1, {**TINY, "max_train_samples": 100, "max_steps": None, "num_train_epochs": 3.8}),
    "drop_last": (1, {**TINY, "max_train_samples": 100, "dataloader_drop_last": "true"}),
    "cosine_warmup_decay_clip": (1, {**TINY, "lr_scheduler_type": "cosine", "warmup_steps": 10, "weight_decay": 0.1,
                                     "max_grad_norm": 0.3, "learning_rate": "5e-3"}),
    "label_smoothing_eval": (1, {**TINY, "validation_file": "validation.txt", "do_eval": "true",
                                 "label_smoothing_factor": 0.1, "eval_strategy": "steps", "eval_steps": 20,
                                 "max_eval_samples": 45, "per_device_eval_batch_size": 8}),
    "jsonl_validation_split": (1, {**TINY, "train_file": "verses.jsonl", "do_eval": "true",
                                   "validation_split_percentage": 7, "eval_strategy": "steps", "eval_steps": 25,
                                   "max_grad_norm": 0}),
    "text_no_linebreaks_eval": (1, {**TINY, "validation_file": "validation.txt", "do_eval": "true",
                                    "keep_linebreaks": "false", "max_train_samples": 120, "eval_strategy": "epoch"}),
    "bf16_file": (1, {**TINY, "model_name_or_path": "gpt2_bf16", "dtype": "float32"}),
    "f16_file": (1, {**TINY, "model_name_or_path": "gpt2_f16", "dtype": "float32"}),
    "llama": (1, {**TINY, "model_name_or_path": "llama_grouped", "max_steps": 20}),
    "llama_dynamic_eval": (1, {**TINY, "model_name_or_path": "llama_dynamic", "max_steps": 20, "validation_file": "validation.txt",
                               "do_eval": "true", "eval_strategy": "steps", "eval_steps": 10, "max_eval_samples": 20}),
    "mistral": (1, {**TINY, "model_name_or_path": "mistral_window", "max_steps": 20, "weight_decay": 0.1}),
    "qwen2": (1, {**TINY, "model_name_or_path": "qwen2_window", "max_steps": 20, "train_file": "verses.jsonl"}),
    "qwen3": (1, {**TINY, "model_name_or_path": "qwen3_norms", "max_steps": 20, "gradient_accumulation_steps": 2}),
    "gemma2": (2, {**TINY, "model_name_or_path": "gemma2_caps", "max_steps": 20, "per_device_train_batch_size": 4}),
    "lora_llama": (1, {**TINY, "model_name_or_path": "llama_grouped", "adapter_name_or_path": "llama_qv", "max_steps": 20,
                       "weight_decay": 0.1, "gradient_accumulation_steps": 2}),
    "lora_all_eval": (1, {**TINY, "model_name_or_path": "gemma2_caps", "adapter_name_or_path": "gemma2_all",
                          "max_steps": 20, "validation_file": "validation.txt", "do_eval": "true",
                          "eval_strategy": "steps", "eval_steps": 10, "max_eval_samples": 20, "max_grad_norm": 0.3,
                          "learning_rate": "5e-4"}),
    "lora_head": (1, {**TINY, "model_name_or_path": "llama_biases_linear", "adapter_name_or_path": "llama_head",
                      "max_steps": 20}),
    "lora_gpt2": (2, {**TINY, "adapter_name_or_path": "gpt2_fc", "max_steps": 20, "per_device_train_batch_size": 4}),
    # 50 blocks in fours over two ranks: 13 batches, 7 a rank; the 13th is filled up from the epoch's beginning and a
    # 14th made of its beginning
    "two_ranks": (2, {**TINY, "max_train_samples": 50, "per_device_train_batch_size": 4}),
    # the same with 4 updates an epoch, the last of one micro-batch a rank
    "two_ranks_accumulation": (2, {**TINY, "max_train_samples": 50, "per_device_train_batch_size": 4,
                                   "gradient_accumulation_steps": 2, "max_grad_norm": 0.3, "weight_decay": 0.1}),
    "two_ranks_jsonl": (2, {**TINY, "train_file": "verses.jsonl", "per_device_train_batch_size": 4, "seed": 7,
                            "lr_scheduler_type": "cosine", "warmup_steps": 5, "label_smoothing_factor": 0.1}),
}
DROP = ("_runtime", "_per_second")  # what differs from run to run


def write_yaml(name, out):
    keys = {**CASES[name][1]}
    keys["model_name_or_path"] = f"tests/fixtures/models/{keys['model_name_or_path']}"
    if "adapter_name_or_path" in keys:
        keys["adapter_name_or_path"] = f"tests/fixtures/adapters/{keys['adapter_name_or_path']}"
    for file in ("train_file", "validation_file"):
        if file in keys:
            keys[file] = f"tests/fixtures/data/{keys[file]}"
    keys = {**{k: v for k, v in BASE.items() if k not in keys}, **keys, **END, "output_dir": f"checkpoints/{name}"}
    out.mkdir(parents=True, exist_ok=True)
    (out / "run.yaml").write_text("".join(f"{k}: {v}\n" for k, v in keys.items() if v is not None))


def record_order(train, other):
    """The indices that the loader asks of the train set, batch by batch, in order of asking. Sets are told apart by size."""
    assert other is None or len(train) != len(other)
    asked = []
    get = datasets.Dataset.__getitems__

    def getitems(self, keys):
        if len(self) == len(train):
            asked.append(list(keys))
        return get(self, keys)

    datasets.Dataset.__getitems__ = getitems
    return asked


def run(name, out, double, rank, ranks, port):
    """One rank of one case; rank 0 writes."""
    os.chdir(ROOT)
    if ranks > 1:
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_WORLD_SIZE=str(ranks),
                          MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    script, args = clm.parse(out / "run.yaml")
    args.disable_tqdm = True
    args.ddp_backend = "gloo" if ranks > 1 else None
    trainer, lm, facts = clm.build(script, args, double)
    trainer.remove_callback(transformers.PrinterCallback)
    asked = record_order(trainer.train_dataset, trainer.eval_dataset)
    trainer.train()
    state = trainer.state
    per_epoch = len(trainer.get_train_dataloader())
    updates = max(1, -(-per_epoch // args.gradient_accumulation_steps))
    used = sum(min(args.gradient_accumulation_steps, per_epoch - s % updates * args.gradient_accumulation_steps)
               for s in range(state.global_step))
    orders = [asked[:used]]
    if ranks > 1:
        orders = [None] * ranks
        torch.distributed.all_gather_object(orders, asked[:used])
    if rank == 0:
        log = [{k: v for k, v in entry.items() if not k.endswith(DROP)} for entry in state.log_history]
        (out / "expected.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))
        if not double:
            splits = {"train": trainer.train_dataset}
            if trainer.eval_dataset is not None:
                splits["validation"] = trainer.eval_dataset
            facts["tokens"] = {k: facts["tokens"][k] for k in splits}
            facts["rows"] = {k: facts["rows"][k] for k in splits}
            for split, data in splits.items():
                rows = list(data["input_ids"])
                facts[split] = {"blocks": len(rows), "sha256": ids_sha256(rows), "first": rows[0], "last": rows[-1]}
            write_compact(out / "expected_blocks.json", {
                "ranks": ranks, "max_steps": state.max_steps, "micro_batches_per_epoch": per_epoch,
                "updates_per_epoch": updates, **facts, "batches": orders})
    if ranks > 1:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def write_compact(path, value):
    """One key a line, so that a diff says which one changed."""
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in value.items())
    path.write_text("{\n" + lines + "\n}\n")


def spawn(name, out, double):
    ranks = CASES[name][0]
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    children = []
    for rank in range(ranks):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                run(name, out, double, rank, ranks, port)
                code = 0
            except BaseException:
                import traceback
                traceback.print_exc()
            sys.stdout.flush()
            os._exit(code)
        children.append(pid)
    if any([os.waitpid(pid, 0)[1] for pid in children]):
        raise SystemExit(f"{name}: failed")


def furthest(name, out):
    """The largest relative difference of loss, grad_norm and eval_loss between two logs of a case."""
    worst = {}
    logs = [[json.loads(line) for line in (d / name / "expected.jsonl").open()] for d in (CURVES, out)]
    for a, b in zip(*logs, strict=True):
        for k in ("loss", "grad_norm", "eval_loss"):
            if k in a:
                worst[k] = max(worst.get(k, 0.0), abs(a[k] - b[k]) / max(abs(b[k]), 1e-30))
    return worst


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--out", type=Path, default=CURVES)
    parser.add_argument("case", nargs="*", default=list(CASES))
    options = parser.parse_args()
    if options.double and options.out == CURVES:
        raise SystemExit("--double compares: give it another --out")
    for name in options.case:
        out = (options.out / name).absolute()
        write_yaml(name, out)
        spawn(name, out, options.double)
        print(name, furthest(name, options.out) if options.out != CURVES else "", flush=True)


if __name__ == "__main__":
    main()
