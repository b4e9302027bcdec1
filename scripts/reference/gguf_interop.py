"""Is a GGUF file that hone writes what others take for the model? usage: gguf_interop.py HONE DIR

For models of tests/fixtures: the Python package gguf reads every tensor, whose values are those of the directory in llama.cpp's
layout; transformers loads the file and computes the directory's logits; hone makes the directory of the file again, which
transformers loads with equal logits and equal ids of hostile texts.
"""
import json
import subprocess
import sys
from pathlib import Path

from common import FIXTURES, MODELS

import gguf
import numpy
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
hone, work = sys.argv[1], Path(sys.argv[2])
failures = 0
# name: what of the config transformers (5.23) does not read from a GGUF file; None: it reads too little for the same logits
CASES = {
    "gpt2_tiny": {"n_positions": 48}, "gpt2_untied": {"n_positions": 48}, "llama_grouped": {}, "mistral_window": None, "qwen3_norms": None,
    "gemma2_caps": {"query_pre_attn_scalar": 20, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    "llama_biases_linear": None, "llama_llama3": None,
}


def check(what, good):
    global failures
    if not good:
        failures += 1
        print(f"FAILED: {what}")


def convert(*arguments):
    subprocess.run([hone, "convert", *map(str, arguments), "--overwrite"], check=True, stderr=subprocess.DEVNULL)


def tensors(path):
    return {t.name: gguf.dequantize(t.data, t.tensor_type).reshape([int(n) for n in reversed(t.shape)])
            for t in gguf.GGUFReader(path).tensors}


def paired(weight, heads):
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def expected(name, value, config):
    """A tensor of the directory by its name there, as llama.cpp's converter lays it out."""
    kind, weight = config["model_type"], value.float().numpy()
    if kind == "gpt2" and weight.ndim == 2 and "wte" not in name and "wpe" not in name and "lm_head" not in name:
        return weight.T
    if kind in ("llama", "mistral") and ("q_proj" in name or "k_proj" in name):
        return paired(weight, config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"])
    return weight + 1 if kind == "gemma2" and "norm" in name else weight


def check_values(name, file, outtype):
    config = json.loads((MODELS / name / "config.json").read_text())
    found, stored = tensors(file), load_file(MODELS / name / "model.safetensors")
    architecture = "llama" if config["model_type"] == "mistral" else config["model_type"]
    kind = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == architecture)
    names = gguf.get_tensor_name_map(kind, 8)
    for key, value in stored.items():
        module, suffix = key.rsplit(".", 1)
        theirs = names.get_name(module)
        want = expected(key, value, config)
        have = found.pop(f"{theirs}.{suffix}", None)
        check(f"{name} as {outtype}: {key} is {theirs}", have is not None and have.shape == want.shape)
        if have is not None and have.shape == want.shape:
            error = numpy.abs(have - want).max() / max(numpy.abs(want).max(), 1e-9)
            check(f"{name} as {outtype}: {key} differs by {error}", error <= {"f32": 0, "f16": 5e-4, "bf16": 4e-3, "q8_0": 5e-3}[outtype])
    check(f"{name}: more tensors: {list(found)}", not [key for key in found if not key.startswith("rope_")])


def logits(model, ids):
    with torch.no_grad():
        return model.eval()(input_ids=ids).logits


def check_model(name, overrides):
    file, back = work / f"{name}.gguf", work / name
    for outtype in ("f16", "bf16", "q8_0", "f32"):
        convert(MODELS / name, file, "--outtype", outtype)
        check_values(name, file, outtype)
    convert(file, back)
    options = {"dtype": torch.float32, "attn_implementation": "eager"}
    ids = torch.arange(17).reshape(1, 17) * 7 % 300
    want = logits(AutoModelForCausalLM.from_pretrained(MODELS / name, **options), ids)
    again = logits(AutoModelForCausalLM.from_pretrained(back, **options), ids)
    check(f"{name}: the directory's logits after a round trip", (want - again).abs().max() <= 1e-5)
    if overrides is not None:  # what transformers reads from the file itself
        model = AutoModelForCausalLM.from_pretrained(work, gguf_file=file.name, **options, **overrides)
        check(f"{name}: transformers' logits of the file", (want - logits(model, ids)).abs().max() <= 1e-5)
    before, after = AutoTokenizer.from_pretrained(MODELS / name), AutoTokenizer.from_pretrained(back)
    for text in json.loads((FIXTURES / "tokenizer" / "gpt2_small" / "cases.json").read_text(encoding="utf-8")):
        check(f"{name}: ids of {text['text']!r}", before(text["text"])["input_ids"] == after(text["text"])["input_ids"])


for name, overrides in CASES.items():
    check_model(name, overrides)
print(f"{len(CASES)} models, {failures} failures")
sys.exit(failures > 0)
