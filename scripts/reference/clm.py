"""The run_clm example script's job, from a run.yaml in hone's flat form: the same arguments, data and Trainer.

Reproduces transformers' examples/pytorch/language-modeling/run_clm.py: the text column, tokenization, grouping by maps of
1,000 examples, the dropped remainder, the split when there is no validation file, the accuracy metric (computed here,
as the `evaluate` package would need the network). Keys that only hone has are taken out first.
"""
import tempfile
from dataclasses import dataclass
from itertools import chain
from typing import Optional

import datasets
import torch
import yaml
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
    default_data_collator,
    set_seed,
)

HONE_KEYS = {"loss_normalization", "device", "task", "num_threads"}


@dataclass
class ScriptArguments:
    """The script's keys that the cases use, with its defaults."""

    model_name_or_path: Optional[str] = None
    adapter_name_or_path: Optional[str] = None  # hone's: the PEFT adapter that trains
    dtype: Optional[str] = None
    train_file: Optional[str] = None
    validation_file: Optional[str] = None
    max_train_samples: Optional[int] = None
    max_eval_samples: Optional[int] = None
    block_size: Optional[int] = None
    validation_split_percentage: Optional[int] = 5
    keep_linebreaks: bool = True


def parse(path):
    """Scalars stay text (BaseLoader) and get their types from the arguments' fields, as on a command line."""
    keys = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    line = [part for k, v in keys.items() if k not in HONE_KEYS for part in ("--" + k, v)]
    return HfArgumentParser((ScriptArguments, TrainingArguments)).parse_args_into_dataclasses(line + ["--use_cpu"])


def load(script):
    """The raw splits. A cache made for this run only, so that nothing is left over from another version of a file."""
    files = {"train": script.train_file}
    if script.validation_file:
        files["validation"] = script.validation_file
    kind = script.train_file.split(".")[-1]
    options = {}
    if kind == "txt":
        kind, options["keep_linebreaks"] = "text", script.keep_linebreaks
    if kind == "jsonl":
        kind = "json"
    with tempfile.TemporaryDirectory() as cache:
        def read(split=None):
            return datasets.load_dataset(kind, data_files=files, split=split, cache_dir=cache, keep_in_memory=True,
                                         **options)

        raw = read()
        if "validation" not in raw:
            percent = script.validation_split_percentage
            raw["validation"] = read(f"train[:{percent}%]")
            raw["train"] = read(f"train[{percent}%:]")
    return raw


def blocks(raw, tokenizer, block_size):
    """Tokenizes and groups; returns the blocks and, for the tests, the number of tokens before grouping."""
    columns = list(raw["train"].features)
    column = "text" if "text" in columns else columns[0]
    keep = dict(batched=True, load_from_cache_file=False, keep_in_memory=True)
    tokenized = raw.map(lambda e: tokenizer(e[column]), remove_columns=columns, **keep)

    def group_texts(examples):
        joined = {k: list(chain(*examples[k])) for k in examples}
        total = len(joined["input_ids"])
        if total < block_size:
            raise ValueError(f"block_size of {block_size} is too big - use a value <={total}")
        total = total // block_size * block_size
        result = {k: [t[i : i + block_size] for i in range(0, total, block_size)] for k, t in joined.items()}
        result["labels"] = result["input_ids"].copy()
        return result

    return tokenized.map(group_texts, **keep), {k: sum(map(len, v["input_ids"])) for k, v in tokenized.items()}


def metrics(predictions):
    labels = predictions.label_ids[:, 1:].reshape(-1)
    chosen = predictions.predictions[:, :-1].reshape(-1)
    return {"accuracy": float((chosen == labels).mean())}


def build(script, args, double=False):
    """(trainer, blocks, facts about the data). double: the model in float64, to see how far rounding carries."""
    set_seed(args.seed)
    raw = load(script)
    config = AutoConfig.from_pretrained(script.model_name_or_path)
    tokenizer = AutoTokenizer.from_pretrained(script.model_name_or_path)
    dtype = script.dtype if script.dtype in ("auto", None) else getattr(torch, script.dtype)
    model = AutoModelForCausalLM.from_pretrained(script.model_name_or_path, config=config, dtype=dtype)
    if script.adapter_name_or_path:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, script.adapter_name_or_path, is_trainable=True)
    if double:
        model = model.double()
    assert len(tokenizer) <= model.get_input_embeddings().weight.shape[0]  # the script would resize
    block_size = min(script.block_size or min(1024, config.max_position_embeddings), tokenizer.model_max_length)
    lm, tokens = blocks(raw, tokenizer, block_size)
    facts = {"block_size": block_size, "rows": {k: len(v) for k, v in raw.items()}, "tokens": tokens}
    if script.max_train_samples is not None:
        lm["train"] = lm["train"].select(range(min(len(lm["train"]), script.max_train_samples)))
    if script.max_eval_samples is not None:
        lm["validation"] = lm["validation"].select(range(min(len(lm["validation"]), script.max_eval_samples)))
    trainer = Trainer(
        model=model,
        args=args,
        train_dataset=lm["train"],
        eval_dataset=lm["validation"] if args.do_eval else None,
        processing_class=tokenizer,
        data_collator=default_data_collator,
        compute_metrics=metrics if args.do_eval else None,
        preprocess_logits_for_metrics=(lambda logits, labels: (logits[0] if isinstance(logits, tuple) else logits)
                                       .argmax(dim=-1)) if args.do_eval else None,
    )
    return trainer, lm, facts
