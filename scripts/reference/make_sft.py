"""Writes what TRL's SFTTrainer makes of conversations, prompts, instructions and texts, for the tests of `task: sft`:

    tests/fixtures/data/chats.jsonl, prompts.jsonl, instructions.jsonl, lines.jsonl   rows, from corpus.txt
    tests/fixtures/models/llama_chat   a tiny Llama whose tokenizer has ChatML's tokens and template
    tests/fixtures/data/marked.jinja   the same template with generation marks
    tests/fixtures/data/sft.json       what SFTTrainer prepares of them under options: counts, hashes, some examples
    tests/fixtures/curves/sft_*        run.yaml and what SFTTrainer logged with it, as make_curves.py does for Trainer

usage: make_sft.py [CASE …]   (cases of curves; none: everything)
"""
import json
import random
import sys
import warnings

from common import CURVES, DATA, MODELS, ROOT, check_versions, ids_sha256, write_json

check_versions()
warnings.filterwarnings("ignore")

import datasets  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
import yaml  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM  # noqa: E402
from trl import SFTConfig, SFTTrainer  # noqa: E402

TEMPLATE = """{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' %}MARK{{ message.content + '<|im_end|>' }}END{{ '\\n' }}
{%- else %}{{ message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
"""
SPLIT = ("Speak of", "What says", "Read on:", "Who is it:")
CHAT = {"model_name_or_path": "tests/fixtures/models/llama_chat"}
BASE = {"max_steps": 16, "per_device_train_batch_size": 4, "learning_rate": "2e-3", "seed": 42, "max_length": 64}
END = {"logging_steps": 1, "save_strategy": "no", "report_to": "none", "loss_normalization": "hf"}
# name: keys over BASE
CURVE_CASES = {
    "sft_chats": {**CHAT, "train_file": "chats.jsonl", "validation_file": "chats_held_out.jsonl", "do_eval": "true",
                  "eval_strategy": "steps", "eval_steps": 8, "per_device_eval_batch_size": 3},
    "sft_assistant": {**CHAT, "train_file": "chats.jsonl", "assistant_only_loss": "true",
                      "chat_template_path": "tests/fixtures/data/marked.jinja", "gradient_accumulation_steps": 2},
    "sft_prompts": {**CHAT, "train_file": "prompts.jsonl", "shuffle_dataset": "true", "seed": 7},
    "sft_packed": {**CHAT, "train_file": "chats.jsonl", "packing": "true", "max_length": 128, "per_device_train_batch_size": 2},
    "sft_packed_prompts": {**CHAT, "train_file": "prompts.jsonl", "packing": "true", "packing_strategy": "bfd_split",
                           "max_length": 40, "validation_file": "prompts_held_out.jsonl", "do_eval": "true",
                           "eval_strategy": "steps", "eval_steps": 16, "per_device_eval_batch_size": 3,
                           "gradient_accumulation_steps": 2},
    # counts all labels in training, like the Trainer
    "sft_gpt2": {"model_name_or_path": "tests/fixtures/models/gpt2_tiny", "train_file": "lines.jsonl", "max_length": 32,
                 "task": "sft", "packing": "true", "packing_strategy": "wrapped"},
    "sft_gpt2_prompts": {"model_name_or_path": "tests/fixtures/models/gpt2_tiny", "train_file": "prompts.jsonl",
                         "max_length": 48, "completion_only_loss": "false", "validation_file": "prompts_held_out.jsonl",
                         "do_eval": "true", "eval_strategy": "steps", "eval_steps": 8, "per_device_eval_batch_size": 4},
}
# what is prepared: file, options
PREPARED = [
    ("chats.jsonl", {}), ("chats.jsonl", {"max_length": 30}), ("chats.jsonl", {"max_length": 30, "truncation_mode": "keep_end"}),
    ("chats.jsonl", {"assistant_only_loss": True, "chat_template_path": "marked.jinja"}),
    ("chats.jsonl", {"packing": True, "max_length": 128}),
    ("chats.jsonl", {"packing": True, "max_length": 50, "packing_strategy": "bfd_split", "shuffle_dataset": True, "seed": 3}),
    ("prompts.jsonl", {}), ("prompts.jsonl", {"completion_only_loss": False}), ("prompts.jsonl", {"max_length": 20}),
    ("prompts.jsonl", {"packing": True, "max_length": 64, "packing_strategy": "wrapped"}),
    ("prompt_chats.jsonl", {}), ("prompt_chats.jsonl", {"max_length": 40}),
    ("lines.jsonl", {"max_length": None}), ("lines.jsonl", {"eos_token": "<|endoftext|>", "shuffle_dataset": True}),
]


def speeches():
    for part in (DATA / "corpus.txt").read_text(encoding="utf-8").split("\n\n"):
        speaker, _, said = part.partition(":\n")
        if said and len(said) < 70:
            yield speaker, said


def write_rows():
    draw, said = random.Random(1), list(speeches())

    def chat(i):
        messages = [{"role": "system", "content": f"You are {said[i][0]}."}] if i % 3 == 0 else []
        for j in range(i, i + 1 + i % 2):
            messages += [{"role": "user", "content": f"{draw.choice(SPLIT)} {said[j][0]}"},
                         {"role": "assistant", "content": said[j][1]}]
        return messages

    def prompt(i):
        return {"prompt": f"{said[i][0]}:" + draw.choice(["", " ", "\n"]), "completion": draw.choice(["", " "]) + said[i][1]}

    chats = [chat(i) for i in range(len(said) - 1)]
    files = {
        "chats": [{"messages": c} for c in chats[:40]], "chats_held_out": [{"messages": c} for c in chats[40:50]],
        "prompts": [prompt(i) for i in range(40)], "prompts_held_out": [prompt(i) for i in range(40, 50)],
        "prompt_chats": [{"prompt": c[:-1], "completion": c[-1:]} for c in chats[:20]],
        "lines": [{"text": a + ": " + b} for a, b in said[:60]],
    }
    for name, rows in files.items():
        (DATA / f"{name}.jsonl").write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")


def write_model():
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "gpt2_tiny")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = TEMPLATE.replace("MARK", "").replace("END", "")
    marks = TEMPLATE.replace("MARK", "{% generation %}").replace("END", "{% endgeneration %}")
    (DATA / "marked.jinja").write_text(marks)
    torch.manual_seed(11)
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, max_position_embeddings=128, bos_token_id=None, pad_token_id=None,
                         eos_token_id=tokenizer.eos_token_id)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for key, p in model.named_parameters():
            p.copy_(("norm" in key) + (0.25 if "proj.weight" in key else 0.1) * torch.randn(p.shape))
    model.save_pretrained(MODELS / "llama_chat")
    tokenizer.save_pretrained(MODELS / "llama_chat")


def rows_of(name):
    return datasets.Dataset.from_list([json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()])


def trainer_of(directory, train, evaluation=None, **options):
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    args = SFTConfig(output_dir="/tmp/make_sft", report_to="none", bf16=False, gradient_checkpointing=False, use_cpu=True,
                     disable_tqdm=True, **options)
    return SFTTrainer(model=model, args=args, train_dataset=rows_of(train), processing_class=tokenizer,
                      eval_dataset=rows_of(evaluation) if evaluation else None)


def prepared():
    cases = []
    for file, options in PREPARED:
        given = dict(options)
        if "chat_template_path" in given:
            given["chat_template_path"] = str(DATA / given["chat_template_path"])
        rows = trainer_of(MODELS / "llama_chat", file, **given).train_dataset
        ids, labels = list(rows["input_ids"]), list(rows["labels"])
        lengths = list(rows["seq_lengths"]) if "seq_lengths" in rows.column_names else [[len(x)] for x in ids]
        cases.append({"file": file, "options": options, "count": len(ids), "ids": ids_sha256(ids), "labels": ids_sha256(labels),
                      "seq_lengths": ids_sha256(lengths), "first": {"ids": ids[0], "labels": labels[0]}})
    (DATA / "sft.json").write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")


def curve(name):
    keys = {**{k: v for k, v in BASE.items() if k not in CURVE_CASES[name]}, **CURVE_CASES[name]}
    out = CURVES / name
    out.mkdir(parents=True, exist_ok=True)
    shown = {k: f"tests/fixtures/data/{v}" if k.endswith("_file") else v for k, v in keys.items()}
    (out / "run.yaml").write_text("".join(f"{k}: {v}\n" for k, v in {**shown, **END, "output_dir": f"checkpoints/{name}"}.items()))
    values = {k: yaml.safe_load(str(v)) if not isinstance(v, str) or not k.endswith("path") else v for k, v in keys.items()}
    values["learning_rate"] = float(values["learning_rate"])
    if "chat_template_path" in values:
        values["chat_template_path"] = str(ROOT / values["chat_template_path"])
    values.pop("task", None)
    trainer = trainer_of(ROOT / values.pop("model_name_or_path"), values.pop("train_file"), values.pop("validation_file", None),
                         logging_steps=1, save_strategy="no", **values)
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    keep = ("loss", "grad_norm", "learning_rate", "epoch", "step", "eval_loss", "train_loss", "total_flos")
    log = [{k: v for k, v in entry.items() if k in keep} for entry in trainer.state.log_history]
    (out / "expected.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))
    print(name, log[0], log[-1], flush=True)


def main():
    torch.set_num_threads(1)
    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    if not sys.argv[1:]:
        write_rows()
        write_model()
        prepared()
    for name in sys.argv[1:] or CURVE_CASES:
        curve(name)


if __name__ == "__main__":
    main()
