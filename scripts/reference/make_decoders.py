"""Writes tests/fixtures/models: tiny directories of Llama and its relatives, each with golden.safetensors, as make_models.py
does for GPT-2 (whose tokenizer they have). Where rotary positions depend on the longest text (dynamic, longrope) the three
sequences run in one batch, padded on the right, so that they see the text that hone sees; else each runs alone.

usage: make_decoders.py [NAME …]
"""
import json
import sys

from common import MODELS, check_versions, write_json

check_versions()

import torch  # noqa: E402
import transformers  # noqa: E402
from transformers import AutoTokenizer, Gemma2Config, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

import make_models  # noqa: E402

VOCAB = 320
BASE = {"vocab_size": VOCAB, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 48, "bos_token_id": VOCAB - 1, "eos_token_id": VOCAB - 1,
        "pad_token_id": None}
LONG = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 12}
FACTORS = {"short_factor": [1.0, 1.1, 1.3, 1.7], "long_factor": [1.0, 1.5, 2.5, 4.0]}
WIDE = {"hidden_size": 32}  # heads of 8: four pairs
# name: (config class, what differs from BASE)
CASES = {
    "llama_grouped": (LlamaConfig, {}),
    "llama_biases_linear": (LlamaConfig, {
        "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "num_key_value_heads": 4,
        "rope_parameters": {"rope_type": "linear", "factor": 2.5, "rope_theta": 5e3}}),
    "llama_dynamic": (LlamaConfig, {
        **WIDE, "max_position_embeddings": 12, "rope_parameters": {"rope_type": "dynamic", "factor": 3.0, "rope_theta": 1e4}}),
    "llama_yarn": (LlamaConfig, {
        **WIDE, "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e2, "beta_fast": 4.0,
                                    "original_max_position_embeddings": 12}}),
    "llama_yarn_options": (LlamaConfig, {
        **WIDE, "head_dim": 10, "rope_parameters": {
            "rope_type": "yarn", "factor": 4.0, "rope_theta": 1e2, "beta_fast": 8.0, "beta_slow": 2.0, "mscale": 0.7,
            "mscale_all_dim": 1.1, "original_max_position_embeddings": 40, "truncate": False}}),
    "llama_longrope": (LlamaConfig, {**WIDE, "rope_parameters": {**LONG, **FACTORS, "factor": 4.0}}),
    "llama_longrope_short": (LlamaConfig, {
        **WIDE, "rope_parameters": {**LONG, **FACTORS, "original_max_position_embeddings": 20, "attention_factor": 1.3}}),
    "llama_llama3": (LlamaConfig, {
        **WIDE, "head_dim": 12, "num_key_value_heads": 1,
        "rope_parameters": {"rope_type": "llama3", "factor": 8.0, "rope_theta": 5e2, "low_freq_factor": 1.0,
                            "high_freq_factor": 4.0, "original_max_position_embeddings": 24}}),
    "mistral_window": (MistralConfig, {"sliding_window": 5, "num_key_value_heads": 1, "rms_norm_eps": 1e-5}),
    "qwen2_window": (Qwen2Config, {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1,
                                   "tie_word_embeddings": True}),
    "qwen3_norms": (Qwen3Config, {"head_dim": 10, "attention_bias": True}),
    "gemma2_caps": (Gemma2Config, {"head_dim": 10, "query_pre_attn_scalar": 20, "sliding_window": 4,
                                   "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}),
}


def padded_forward(model, batch, smoothing):
    """Logits of the rows that are real, the loss over their shifted targets, its gradients."""
    width = max(len(ids) for ids in batch)
    ids = torch.stack([torch.cat([x, x.new_zeros(width - len(x))]) for x in batch])
    mask = torch.stack([(torch.arange(width) < len(x)).long() for x in batch])
    logits = [y[:len(x)] for x, y in zip(batch, model(input_ids=ids, attention_mask=mask).logits)]
    total, targets = 0.0, 0
    for x, y in zip(batch, logits):
        logp = torch.log_softmax(y[:-1], -1)
        total = total + (1 - smoothing) * -logp.gather(1, x[1:, None]).sum() - smoothing * logp.mean(-1).sum()
        targets += len(x) - 1
    loss = total / targets
    model.zero_grad()
    loss.backward()
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return torch.cat([y.detach() for y in logits]), loss.detach(), grads


def exact_pretrained(directory, dtype=None, attn_implementation=None):
    """Soft-capping is in eager attention alone."""
    return AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, attn_implementation="eager")


def build(name, seed):
    """Every parameter is far from its special initial value (0, 1), so that no term can be forgotten."""
    kind, options = CASES[name]
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(kind(**{**BASE, **options})).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, p in model.named_parameters():
            one = 1.0 if "norm" in key and kind is not Gemma2Config else 0.0
            p.copy_(one + (0.25 if "proj.weight" in key else 0.1) * torch.randn(p.shape, generator=generator))
    return model


def old_config(name):
    """The same as files of transformers 4 say it: rope_theta beside rope_scaling, no layer_types."""
    path = MODELS / name / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    rope["type"] = rope.pop("rope_type")
    config["rope_scaling"] = None if rope["type"] == "default" else rope
    config.pop("dtype")
    config.pop("layer_types", None)  # which layers slide is then the type's rule
    write_json(MODELS / name / "config_4.json", {**config, "torch_dtype": "float32", "transformers_version": "4.40.0"})


class Exact:
    from_pretrained = staticmethod(exact_pretrained)


def main():
    alone = make_models.forward
    make_models.AutoModelForCausalLM = Exact
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "gpt2_tiny")
    transformers.logging.set_verbosity_error()
    for seed, name in enumerate(CASES, 101):
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        rope = CASES[name][1].get("rope_parameters", {}).get("rope_type")
        make_models.forward = padded_forward if rope in ("dynamic", "longrope") else alone
        make_models.golden(make_models.save(name, build(name, seed), tokenizer))
        old_config(name)


if __name__ == "__main__":
    main()
