"""Writes tests/fixtures/adapters: PEFT adapters beside tiny models of tests/fixtures/models, each with golden.safetensors
(logits, loss, every gradient of what trains), as make_models.py makes it for the models.

Adapters are saved by PEFT itself; A and B are far from zero. golden.safetensors names gradients as the file names tensors.

usage: make_adapters.py [NAME …]
"""
import shutil
import sys
import warnings

from common import FIXTURES, MODELS, check_versions, write_tensors

check_versions()

import torch  # noqa: E402
import transformers  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

import make_models  # noqa: E402

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
ADAPTERS = FIXTURES / "adapters"
# name: (model, LoraConfig)
CASES = {
    "llama_qv": ("llama_grouped", {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"]}),
    "llama_all": ("llama_biases_linear", {"r": 4, "lora_alpha": 8, "use_rslora": True, "target_modules": "all-linear"}),
    "llama_head": ("llama_biases_linear", {"r": 2, "lora_alpha": 4, "target_modules": ["o_proj", "down_proj", "k_proj"],
                                           "modules_to_save": ["lm_head", "model.norm"]}),
    "llama_embed": ("llama_biases_linear", {"r": 2, "lora_alpha": 4, "target_modules": r".*layers\.1\..*(gate|up)_proj",
                                            "modules_to_save": ["embed_tokens", "input_layernorm"]}),
    "gpt2_fc": ("gpt2_tiny", {"r": 3, "lora_alpha": 5, "target_modules": ["c_attn", "c_fc", "mlp.c_proj"],
                              "fan_in_fan_out": True, "rank_pattern": {"c_fc": 5, r"h\.1\.attn\.c_attn": 2},
                              "alpha_pattern": {"mlp.c_proj": 9}}),
    "qwen3_layers": ("qwen3_norms", {"r": 8, "lora_alpha": 8, "target_modules": ["q_proj", "k_proj", "v_proj", "up_proj"],
                                     "layers_to_transform": [1]}),
    "gemma2_all": ("gemma2_caps", {"r": 2, "lora_alpha": 3, "target_modules": "all-linear", "exclude_modules": ["o_proj"]}),
}


def base(name, dtype=torch.float32, attention="eager"):
    return AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=dtype, attn_implementation=attention).eval()


def trained_gradients(model, grads):
    """By the names of the adapter's file."""
    names = {id(p): n for n, p in model.named_parameters()}
    kept = get_peft_model_state_dict(model, state_dict=dict(model.named_parameters()))
    return {key: grads[names[id(p)]] for key, p in kept.items() if names.get(id(p)) in grads}


def golden(name):
    directory, seed = ADAPTERS / name, torch.Generator().manual_seed(5)
    model = PeftModel.from_pretrained(base(CASES[name][0]), directory, is_trainable=True).eval()
    exact = PeftModel.from_pretrained(base(CASES[name][0]), directory, is_trainable=True).double().eval()
    vocab = model.config.vocab_size
    batch = [torch.randint(vocab, (n,), generator=seed) for n in make_models.LENGTHS]
    logits32, loss32, grads32 = make_models.forward(model, batch, 0.0)
    logits, loss, grads = make_models.forward(exact, batch, 0.0)
    make_models.compare("logits", logits32, logits)
    make_models.compare("loss", loss32, loss)
    for key in grads:
        make_models.compare(key, grads32[key], grads[key])
    write_tensors(directory / "golden.safetensors", {
        "input_ids": torch.cat(batch).int(),
        "cu_seqlens": torch.tensor([0, *make_models.LENGTHS]).cumsum(0).int(),
        "logits": logits.float(), "loss": loss.reshape(1),
        **{f"grad.{key}": g.float() for key, g in trained_gradients(exact, grads).items()}})


def build(name, seed):
    model_name, options = CASES[name]
    directory = ADAPTERS / name
    shutil.rmtree(directory, ignore_errors=True)
    torch.manual_seed(seed)
    model = get_peft_model(base(model_name), LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **options))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.requires_grad:
                p.add_((0.3 if "lora_" in key else 0.02) * torch.randn(p.shape, generator=generator))
    model.peft_config["default"].base_model_name_or_path = f"tests/fixtures/models/{model_name}"
    model.save_pretrained(directory, save_embedding_layers=False)
    (directory / "README.md").unlink()
    golden(name)


def main():
    for seed, name in enumerate(CASES, 201):
        if not sys.argv[1:] or name in sys.argv[1:]:
            build(name, seed)


if __name__ == "__main__":
    main()
