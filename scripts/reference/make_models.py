"""Writes tests/fixtures/models: tiny GPT-2 directories as save_pretrained makes them, each with golden.safetensors.

Golden values come from transformers in float64 on the very weights of the file, rounded to float32 once; the script
stops when transformers' own float32 is further than 1e-4 (relative to the largest value of the tensor) from them.
tests/fixtures/README.md describes the tensors.
"""
import json
import shutil

from common import DATA, MODELS, check_versions, write_json, write_tensors

check_versions()

import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel, GPT2Tokenizer  # noqa: E402

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
LENGTHS = [8, 1, 17]
POSITIONS = 48
SMOOTHING = 0.1


def train_tokenizer(vocab_size):
    """Byte-level BPE over corpus.txt; <|endoftext|> takes the last id, as in the real GPT-2."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=vocab_size - 1, initial_alphabet=alphabet, show_progress=False)
    text = (DATA / "corpus.txt").read_text(encoding="utf-8")
    t.train_from_iterator(text.splitlines(keepends=True), trainer)
    model = json.loads(t.to_str())["model"]
    vocab, merges = model["vocab"], [tuple(m) for m in model["merges"]]
    assert len(vocab) == vocab_size - 1, len(vocab)
    vocab["<|endoftext|>"] = vocab_size - 1
    tokenizer = GPT2Tokenizer(vocab=vocab, merges=merges, model_max_length=POSITIONS)
    sample = text[:20000]
    assert tokenizer(sample)["input_ids"] == t.encode(sample).ids
    return tokenizer


def build(vocab_size, seed, **options):
    """A GPT-2 whose every parameter is far from its initial special value (0, 1), so that no term can be forgotten."""
    config = dict(vocab_size=vocab_size, n_positions=POSITIONS, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
                  bos_token_id=vocab_size - 1, eos_token_id=vocab_size - 1)
    torch.manual_seed(seed)
    model = GPT2LMHeadModel(GPT2Config(**{**config, **options})).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            one = 1.0 if ".ln_" in name and name.endswith("weight") else 0.0
            p.copy_(one + 0.1 * torch.randn(p.shape, generator=generator))
    return model


def forward(model, batch, smoothing):
    """Logits of each sequence run alone; the loss over all shifted targets; its gradients."""
    logits = [model(input_ids=ids[None]).logits[0] for ids in batch]
    total, targets = 0.0, 0
    for ids, y in zip(batch, logits):
        logp = torch.log_softmax(y[:-1], -1)
        nll = -logp.gather(1, ids[1:, None])
        total = total + (1 - smoothing) * nll.sum() - smoothing * logp.mean(-1).sum()
        targets += len(ids) - 1
    loss = total / targets
    model.zero_grad()
    loss.backward()
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return torch.cat([y.detach() for y in logits]), loss.detach(), grads


def compare(name, a, b):
    scale = b.abs().max().item() or 1.0
    error = (a.double() - b.double()).abs().max().item() / scale
    if "c_attn.bias" not in name and not error <= 1e-4:  # the key third of that bias has gradient 0: only rounding is left
        raise SystemExit(f"{name}: float32 is {error} away from float64")


def golden(directory, with_gradients=True, with_smoothing=False):
    batch_seed = torch.Generator().manual_seed(5)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
    vocab = model.config.vocab_size
    batch = [torch.randint(vocab, (n,), generator=batch_seed) for n in LENGTHS]
    exact = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="sdpa").double()
    out = {
        "input_ids": torch.cat(batch).int(),
        "cu_seqlens": torch.tensor([0, *LENGTHS]).cumsum(0).int(),
    }
    for prefix, smoothing in [("", 0.0)] + ([("smoothed.", SMOOTHING)] if with_smoothing else []):
        logits32, loss32, grads32 = forward(model, batch, smoothing)
        logits, loss, grads = forward(exact.eval(), batch, smoothing)
        compare("logits", logits32, logits)
        compare("loss", loss32, loss)
        for name in grads:
            compare(name, grads32[name], grads[name])
        if not prefix:
            out["logits"] = logits.float()
        out[prefix + "loss"] = loss.reshape(1)  # float64
        if with_gradients:
            out.update({f"{prefix}grad.{name}": g.float() for name, g in grads.items()})
    write_tensors(directory / "golden.safetensors", out)


def save(name, model, tokenizer, **options):
    directory = MODELS / name
    shutil.rmtree(directory, ignore_errors=True)
    model.save_pretrained(directory, **options)
    tokenizer.save_pretrained(directory)
    again = AutoTokenizer.from_pretrained(directory)
    text = (DATA / "validation.txt").read_text(encoding="utf-8")
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    return directory


def noprefix(model, tokenizer):
    """As the first GPT-2 files on the Hub: no "transformer." in names, mask buffers inside, a 4.x config, old tokenizer
    files (merges as "a b", vocab.json and merges.txt beside)."""
    directory = MODELS / "gpt2_noprefix"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    state = {k.removeprefix("transformer."): v for k, v in model.state_dict().items() if k != "lm_head.weight"}
    for i in range(model.config.n_layer):
        state[f"h.{i}.attn.bias"] = torch.tril(torch.ones(POSITIONS, POSITIONS)).view(1, 1, POSITIONS, POSITIONS)
        state[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    save_file({k: v.contiguous() for k, v in state.items()}, directory / "model.safetensors", {"format": "pt"})
    c = model.config
    write_json(directory / "config.json", {
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.0,
        "bos_token_id": c.bos_token_id, "embd_pdrop": 0.0, "eos_token_id": c.eos_token_id, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": POSITIONS, "n_embd": c.n_embd, "n_head": c.n_head,
        "n_layer": c.n_layer, "n_positions": POSITIONS, "resid_pdrop": 0.0, "summary_activation": None,
        "summary_first_dropout": 0.1, "summary_proj_to_labels": True, "summary_type": "cls_index",
        "summary_use_proj": True, "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        "vocab_size": c.vocab_size})
    saved = json.loads(tokenizer.backend_tokenizer.to_str())
    saved["model"]["merges"] = [" ".join(pair) for pair in saved["model"]["merges"]]  # the older spelling
    write_json(directory / "tokenizer.json", saved)
    write_json(directory / "tokenizer_config.json", {"model_max_length": POSITIONS})
    write_json(directory / "vocab.json", saved["model"]["vocab"])
    (directory / "merges.txt").write_text("\n".join(["#version: 0.2", *saved["model"]["merges"]]) + "\n")
    text = (DATA / "validation.txt").read_text(encoding="utf-8")
    assert AutoTokenizer.from_pretrained(directory)(text)["input_ids"] == tokenizer(text)["input_ids"]
    return directory


def same_weights(directory, model):
    loaded = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in model.state_dict().items()), directory


def main():
    tokenizer = train_tokenizer(320)
    tiny = build(320, 1, n_embd=32, n_head=4, n_layer=2)
    golden(save("gpt2_tiny", tiny, tokenizer), with_smoothing=True)
    for name, dtype in (("gpt2_bf16", torch.bfloat16), ("gpt2_f16", torch.float16)):
        low = GPT2LMHeadModel(tiny.config)
        low.load_state_dict(tiny.state_dict())
        golden(save(name, low.to(dtype), tokenizer), with_gradients=False)
    same_weights(noprefix(tiny, tokenizer), tiny)

    odd = build(389, 2, n_embd=48, n_head=2, n_layer=2, n_inner=29)
    golden(save("gpt2_oddvocab", odd, train_tokenizer(389)))
    options = build(320, 3, n_embd=24, n_head=3, n_layer=2, n_inner=40, activation_function="gelu",
                    layer_norm_epsilon=1e-6, scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True)
    golden(save("gpt2_options", options, tokenizer))
    relu = build(320, 4, n_embd=17, n_head=1, n_layer=1, n_inner=33, activation_function="relu",
                 layer_norm_epsilon=1e-3, scale_attn_weights=False)
    golden(save("gpt2_relu_unscaled", relu, tokenizer))
    same_weights(save("gpt2_sharded", relu, tokenizer, max_shard_size="8KB"), relu)
    untied = build(320, 6, n_embd=24, n_head=1, n_layer=1, tie_word_embeddings=False)
    golden(save("gpt2_untied", untied, tokenizer))
    assert "lm_head.weight" in load_file(MODELS / "gpt2_untied" / "model.safetensors")


if __name__ == "__main__":
    main()
