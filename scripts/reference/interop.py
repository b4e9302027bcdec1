"""Do hone and the Hugging Face libraries read each other's files? Run by tests/interop/test_transformers.sh.

usage: interop.py HONE LOGITS_PROGRAM DIRECTORY

Trains a few steps from fixtures with HONE into DIRECTORY, then
  with safetensors and tokenizers: every file opens, tensors are finite, metadata's format is pt, the copied tokenizer.json opens
    and encodes as the original;
  with transformers too: from_pretrained of the result and of every checkpoint-N finds no tensor missing, unexpected or of another
    shape, and has hone's logits; AutoTokenizer opens the directory; models that save_pretrained wrote (shards, bf16, f16, an untied
    head) have the same logits in hone, and hone's shards in transformers.
  with peft too: it opens the adapters that hone trained, without a tensor missing or left over, and their logits are those of the
    model that `hone merge` makes.
Prints a line a check; status 1 when one fails. Any version of the libraries will do.
"""
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", TRANSFORMERS_VERBOSITY="error")

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
HONE, PROGRAM, WORK = (Path(p).resolve() for p in sys.argv[1:4])
TOLERANCE = 1e-5  # of the largest logit
failed = []


def check(name, ok, what=""):
    print(("ok      " if ok else "FAILED  ") + name + (f": {what}" if what and not ok else ""), flush=True)
    if not ok:
        failed.append(name)


def run(*command):
    env = {**os.environ, "HONE_CACHE": str(WORK / "cache")}
    done = subprocess.run([str(c) for c in command], cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        words = " ".join(map(str, command))
        raise SystemExit(f"{words}: status {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def train(model, name, *options):
    out = WORK / name
    run(HONE, "train", FIXTURES / "curves" / "text_seed42" / "run.yaml", "--model_name_or_path", FIXTURES / "models" / model,
        "--output_dir", out, "--max_steps", 4, "--save_strategy", "steps", "--save_steps", 2, "--block_size", 16,
        "--max_train_samples", 32, "--report_to", "none", *options)
    return out


def hone_logits(model):
    from safetensors.numpy import load_file

    out = WORK / "logits.safetensors"
    run(PROGRAM, "logits", model, WORK / "tokens.safetensors", out)
    return load_file(out)["logits"]


def check_files(directory, source):
    import numpy
    from safetensors import safe_open
    from tokenizers import Tokenizer

    files = sorted(directory.rglob("*.safetensors"))
    check(f"{directory.name}: there are model files", any(f.name.startswith("model") for f in files))
    for file in files:
        with safe_open(file, "numpy") as f:
            tensors = {k: f.get_tensor(k) for k in f.keys()}
            good = tensors and all(numpy.isfinite(t).all() for t in tensors.values() if t.dtype.kind == "f")
            check(f"{file.relative_to(WORK)} opens", good and (f.metadata() or {}).get("format") == "pt", str(f.metadata()))
    text = "In the beginning, naïve 𝄞 tokens — 12345\n\n<|endoftext|> again"
    for file in sorted(directory.rglob("tokenizer.json")):
        have, want = Tokenizer.from_file(str(file)), Tokenizer.from_file(str(source / "tokenizer.json"))
        check(f"{file.relative_to(WORK)} encodes as the original", have.encode(text).ids == want.encode(text).ids)
    for file in sorted(directory.rglob("*.json")):
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            check(f"{file.relative_to(WORK)} is JSON", False, str(error))


def write_tokens():
    from safetensors.numpy import load_file, save_file

    golden = load_file(FIXTURES / "models" / "gpt2_tiny" / "golden.safetensors")
    save_file({k: golden[k] for k in ("input_ids", "cu_seqlens")}, WORK / "tokens.safetensors")
    return golden["input_ids"], golden["cu_seqlens"]


def their_logits(model, tokens):
    import torch

    ids, cu = tokens
    ids = torch.tensor(ids, dtype=torch.long)
    with torch.no_grad():
        return torch.cat([model.eval()(input_ids=ids[None, a:b]).logits[0] for a, b in zip(cu[:-1], cu[1:])]).float().numpy()


def same(name, ours, theirs):
    worst = abs(ours - theirs).max() / abs(theirs).max()
    check(f"{name}: logits are equal", worst <= TOLERANCE, f"{worst:.3g} of the largest apart")


def check_loading(directory, tokens):
    """transformers opens what hone wrote."""
    import torch
    from transformers import AutoModelForCausalLM

    name = directory.relative_to(WORK)
    model, info = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
    problems = {k: sorted(map(str, v)) for k, v in info.items() if v}
    check(f"{name}: from_pretrained finds every tensor and no other", not problems, str(problems))
    same(f"{name}, as transformers loads it", hone_logits(directory), their_logits(model, tokens))
    return model


def check_tokenizer(directory, source):
    from transformers import AutoTokenizer

    ours, theirs = AutoTokenizer.from_pretrained(directory), AutoTokenizer.from_pretrained(source)
    text = "In the beginning\n  was <|endoftext|> naïve 𝄞"
    good = ours(text)["input_ids"] == theirs(text)["input_ids"] and ours.eos_token_id == theirs.eos_token_id
    check(f"{directory.relative_to(WORK)}: AutoTokenizer opens it", good and len(ours) == len(theirs))


def check_reverse(tokens):
    """hone opens what save_pretrained wrote."""
    import torch
    from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    cases = {
        "sharded": dict(config=dict(), dtype=torch.float32, size="30KB"),
        "bf16_sharded": dict(config=dict(), dtype=torch.bfloat16, size="15KB"),
        "f16": dict(config=dict(n_head=1), dtype=torch.float16, size="1GB"),
        "untied": dict(config=dict(tie_word_embeddings=False, activation_function="gelu"), dtype=torch.float32, size="1GB"),
    }
    for name, case in cases.items():
        config = GPT2Config(vocab_size=320, n_positions=48, n_embd=24, n_layer=2, n_head=3, bos_token_id=319, eos_token_id=319)
        for key, value in case["config"].items():
            setattr(config, key, value)
        model = GPT2LMHeadModel(config)
        for p in model.parameters():
            torch.nn.init.normal_(p, std=0.2)
        directory = WORK / f"theirs_{name}"
        model.to(case["dtype"]).save_pretrained(directory, max_shard_size=case["size"])
        shards = len(list(directory.glob("model*.safetensors")))
        check(f"{directory.name}: {shards} files", (shards > 1) == ("sharded" in name))
        again = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
        same(f"{directory.name}, as hone loads it", hone_logits(directory), their_logits(again, tokens))


def check_adapter(model, name, tokens, *options):
    """peft opens what hone trained."""
    import torch
    from peft import PeftModel
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM

    out, base = train(model, name, "--use_peft", *options), FIXTURES / "models" / model
    for directory in (out, *sorted(out.glob("checkpoint-*"))):
        merged = WORK / f"{name}_{directory.name}_merged"
        run(HONE, "merge", "--model", base, "--adapter", directory, "--output", merged)
        adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), directory)
        kept = adapted.state_dict()
        with safe_open(directory / "adapter_model.safetensors", "pt") as f:
            def place(key):
                head, part = key.rsplit(".", 1)
                return next((k for k in (f"{head}.default.{part}", f"{head}.modules_to_save.default.{part}") if k in kept), None)

            wrong = [key for key in f.keys() if place(key) is None or not torch.equal(kept[place(key)], f.get_tensor(key))]
            check(f"{directory.relative_to(WORK)}: peft takes every tensor", not wrong, str(wrong[:3]))
        same(f"{directory.relative_to(WORK)}, merged", hone_logits(merged), their_logits(adapted, tokens))
        check_tokenizer(directory, base)


def main():
    WORK.mkdir(parents=True, exist_ok=True)
    tokens = write_tokens()
    models = FIXTURES / "models"
    runs = {name: models / name for name in ("gpt2_tiny", "gpt2_untied", "gpt2_bf16")}
    for name, source in runs.items():
        check_files(train(name, name), source)
    if importlib.util.find_spec("transformers") is None or importlib.util.find_spec("torch") is None:
        print("transformers is not installed: its part is left out")
        return 1 if failed else 0
    from transformers import logging

    logging.disable_progress_bar()
    for name, source in runs.items():
        for directory in (WORK / name, *sorted((WORK / name).glob("checkpoint-*"))):
            check_loading(directory, tokens)
            check_tokenizer(directory, source)
    early, late = (hone_logits(WORK / "gpt2_tiny" / f"checkpoint-{step}") for step in (2, 4))
    check("two updates move the logits", abs(early - late).max() > 1000 * TOLERANCE * abs(late).max())
    shards = WORK / "ours_sharded"
    run(PROGRAM, "save", WORK / "gpt2_tiny", shards, 30000)
    shutil.copy(WORK / "gpt2_tiny" / "config.json", shards)
    check("ours_sharded: several files", len(list(shards.glob("model-*.safetensors"))) > 1)
    check_loading(shards, tokens)
    check_reverse(tokens)
    if importlib.util.find_spec("peft") is None:
        print("peft is not installed: its part is left out")
        return 1 if failed else 0
    check_adapter("gpt2_tiny", "lora_gpt2", tokens, "--lora_target_modules", "c_attn,mlp.c_proj", "--lora_r", 3)
    check_adapter("llama_grouped", "lora_llama", tokens, "--lora_target_modules", "all-linear", "--use_rslora",
                  "--learning_rate", "1e-2")
    check_adapter("llama_biases_linear", "lora_head", tokens, "--lora_modules_to_save", "lm_head,embed_tokens",
                  "--peft_config", '{"rank_pattern": {"layers.1.self_attn.q_proj": 2}}')
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
