"""Writes tests/fixtures/gguf: small GGUF files as llama.cpp's converter lays models out, made with the Python package gguf, and
what transformers makes of them (logits). Their tokenizers are those of tests/fixtures/tokenizer, whose cases.json tells the ids.

blocks.gguf             a tensor of random blocks of every type that hone reads; blocks.safetensors: the same as gguf.dequantize has it
llama_smollm.gguf       Llama, byte-level BPE split as SmolLM's, matrices of eight types, tied head, a chat template
llama_sentencepiece.gguf  Llama with llama3's rotary factors, SentencePiece BPE: scores and no merges, F16
gemma2_sentencepiece.gguf  Gemma 2, SentencePiece BPE whose tokens merge in the order of their ids, BF16
"""
import json

from common import FIXTURES, ROOT, check_versions, write_tensors

check_versions()

import gguf  # noqa: E402
import numpy  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from gguf import GGMLQuantizationType as Type  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
GGUF, TOKENIZERS, SEEDS = FIXTURES / "gguf", FIXTURES / "tokenizer", ROOT / "tests" / "fuzz" / "seeds" / "gguf"
TYPES = [Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q4_K, Type.Q5_K, Type.Q6_K]
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
HIDDEN, INNER, HEADS, KV_HEADS, LAYERS = 32, 64, 4, 2, 1


def blocks():
    """Any bits, but scales that are numbers: a NaN's bits are nobody's promise."""
    generator = numpy.random.default_rng(7)
    writer, golden = gguf.GGUFWriter(GGUF / "blocks.gguf", "blocks"), {}
    scales = {Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0], Type.Q4_K: [0, 2],
              Type.Q5_K: [0, 2], Type.Q6_K: [208]}
    for kind in TYPES:
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        rows, per_row = 3, 256 // elements
        if kind in scales:
            data = generator.integers(0, 256, (rows, per_row, size), dtype=numpy.uint8)
            for at in scales[kind]:
                half = (generator.standard_normal((rows, per_row)) * 10.0 ** generator.integers(-6, 3, (rows, per_row)))
                data[:, :, at:at + 2] = half.astype(numpy.float16)[..., None].view(numpy.uint8)
            data = data.reshape(rows, -1)
        else:
            data = gguf.quantize(generator.standard_normal((rows, 256)).astype(numpy.float32), kind)
        writer.add_tensor(kind.name, data, raw_dtype=None if kind in (Type.F32, Type.F16) else kind)
        golden[kind.name] = torch.from_numpy(gguf.dequantize(data, kind).astype(numpy.float32).copy())
    eights = generator.standard_normal((3, 256)).astype(numpy.float32)
    eights[0, :32] = 0
    golden["from"] = torch.from_numpy(eights)
    golden["to.Q8_0"] = torch.from_numpy(gguf.quantize(eights, Type.Q8_0).copy())
    finish(writer)
    write_tensors(GGUF / "blocks.safetensors", golden)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tokens_of(name, rows):
    """Texts and types by id; rows that have no token are [PADn], as llama.cpp has it."""
    data = json.loads((TOKENIZERS / name / "tokenizer.json").read_text(encoding="utf-8"))
    texts, types = [f"[PAD{i}]" for i in range(rows)], [UNUSED] * rows
    for text, i in data["model"]["vocab"].items():
        texts[i], types[i] = text, BYTE if data["model"]["byte_fallback"] and text.startswith("<0x") else NORMAL
    for token in data["added_tokens"]:
        texts[token["id"]], types[token["id"]] = token["content"], CONTROL if token["special"] else USER_DEFINED
    if data["model"]["unk_token"]:
        types[texts.index(data["model"]["unk_token"])] = UNKNOWN
    return data, texts, types


def put_tokenizer(writer, name, rows, **ids):
    data, texts, types = tokens_of(name, rows)
    merges = data["model"]["merges"]
    byte_level = not data["model"]["byte_fallback"]
    writer.add_tokenizer_model("gpt2" if byte_level else "llama")
    writer.add_token_list(texts)
    writer.add_token_types(types)
    if byte_level:
        writer.add_tokenizer_pre(name)
        writer.add_token_merges([" ".join(pair) for pair in merges])
    else:
        first = {}
        for i, pair in enumerate(merges):
            first.setdefault("".join(pair), i)
        writer.add_token_scores([-float(first.get(text, len(merges) + i)) for i, text in enumerate(texts)])
    for key, text in ids.items():
        writer.add_uint32(f"tokenizer.ggml.{key}_token_id", texts.index(text))
    return len(texts)


def paired(weight, heads):
    """llama.cpp's permute: rows i and i + half a head become neighbours."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def put_model(writer, rows, types, norm_offset, norms, pair, head_dim, seed):
    generator = numpy.random.default_rng(seed)

    def add(name, shape, kind, heads=0):
        weight = (generator.standard_normal(shape) * 0.25).astype(numpy.float32)
        if kind is None:
            weight, kind = 1 + 0.4 * weight + norm_offset, Type.F32
        if kind in (Type.F16, Type.BF16):
            weight = gguf.dequantize(gguf.quantize(weight, kind), kind).astype(numpy.float32).reshape(shape)
        if heads and pair:
            weight = paired(weight, heads)
        data = gguf.quantize(weight.astype(numpy.float32), kind) if kind != Type.F32 else weight.astype(numpy.float32)
        writer.add_tensor(name, data, raw_dtype=None if kind in (Type.F32, Type.F16) else kind)

    add("token_embd.weight", (rows, HIDDEN), types[0])
    for i in range(LAYERS):
        add(f"blk.{i}.attn_q.weight", (HEADS * head_dim, HIDDEN), types[1], HEADS)
        add(f"blk.{i}.attn_k.weight", (KV_HEADS * head_dim, HIDDEN), types[2], KV_HEADS)
        add(f"blk.{i}.attn_v.weight", (KV_HEADS * head_dim, HIDDEN), types[3])
        add(f"blk.{i}.attn_output.weight", (HIDDEN, HEADS * head_dim), types[4])
        add(f"blk.{i}.ffn_gate.weight", (INNER, HIDDEN), types[5])
        add(f"blk.{i}.ffn_up.weight", (INNER, HIDDEN), types[6])
        add(f"blk.{i}.ffn_down.weight", (HIDDEN, INNER), types[7])
        for name in norms:
            add(f"blk.{i}.{name}.weight", (HIDDEN,), None)
    add("output_norm.weight", (HIDDEN,), None)


def start(name, architecture, head_dim):
    writer = gguf.GGUFWriter(GGUF / f"{name}.gguf", architecture)
    writer.add_name(name)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(head_dim)
    return writer


def golden(name, rows, config=None):
    """Logits of two texts; config: what transformers does not read from the file."""
    model = AutoModelForCausalLM.from_pretrained(GGUF, gguf_file=f"{name}.gguf", dtype=torch.float32, attn_implementation="eager",
                                                 **(config or {})).eval()
    ids = torch.randint(rows, (2, 17), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    write_tensors(GGUF / f"{name}.safetensors", {
        "input_ids": ids.reshape(-1).int(), "cu_seqlens": torch.tensor([0, 17, 34]).int(),
        "logits": logits.reshape(34, -1)[:, :64]})


def llama_smollm():
    writer, rows = start("llama_smollm", "llama", 8), 512
    put_tokenizer(writer, "smollm", rows, bos="<|im_start|>", eos="<|im_end|>", unknown="<|endoftext|>", padding="<|im_end|>")
    writer.add_add_bos_token(False)
    writer.add_chat_template("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
                             "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
    writer.add_rope_freq_base(1e5)
    put_model(writer, rows, [Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.F16, Type.BF16, Type.F32], 0,
              ["attn_norm", "ffn_norm"], True, 8, 11)
    finish(writer)
    golden("llama_smollm", rows)


def llama_sentencepiece():
    writer, rows = start("llama_sentencepiece", "llama", 8), 768
    put_tokenizer(writer, "llama2", rows, bos="<s>", eos="</s>", unknown="<unk>")
    writer.add_rope_freq_base(500000.0)
    rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192}
    plain = 500000.0 ** -(torch.arange(0, 8, 2, dtype=torch.float32) / 8)
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](LlamaConfig(head_dim=8, rope_parameters=rope), torch.device("cpu"))
    writer.add_tensor("rope_freqs.weight", (plain / scaled).numpy())
    put_model(writer, rows, [Type.F16] * 8, 0, ["attn_norm", "ffn_norm"], True, 8, 12)
    finish(writer)
    golden("llama_sentencepiece", rows, {"rope_parameters": rope})


def gemma2_sentencepiece():
    writer, rows = start("gemma2_sentencepiece", "gemma2", 16), 896
    put_tokenizer(writer, "gemma", rows, bos="<s>", eos="<start_of_turn>", unknown="<unk>")
    writer.add_add_space_prefix(False)
    writer.add_key_length(16)
    writer.add_value_length(16)
    writer.add_attn_logit_softcapping(50.0)
    writer.add_final_logit_softcapping(30.0)
    writer.add_sliding_window(6)
    put_model(writer, rows, [Type.BF16] * 8, 0, ["attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"], False, 16, 13)
    finish(writer)
    golden("gemma2_sentencepiece", rows, {"query_pre_attn_scalar": 16})  # which llama.cpp takes from the head


def seed(name, byte_level):
    """The smallest file of each kind of tokenizer, for the fuzzer."""
    writer = gguf.GGUFWriter(SEEDS / f"{name}.gguf", "llama")
    writer.add_name(name)
    writer.add_context_length(8)
    writer.add_embedding_length(4)
    writer.add_block_count(1)
    writer.add_feed_forward_length(4)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1e4)
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN if byte_level else gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(2.0)
    texts = ["<unk>", "<s>", "</s>", "a", "b", "ab", "<0x41>", "\u2581", "\u2581ab", "<x>"]
    writer.add_tokenizer_model("gpt2" if byte_level else "llama")
    writer.add_token_list(texts)
    writer.add_token_types([UNKNOWN, CONTROL, CONTROL, NORMAL, NORMAL, NORMAL, BYTE, NORMAL, NORMAL, USER_DEFINED])
    if byte_level:
        writer.add_tokenizer_pre("llama-bpe")
        writer.add_token_merges(["a b"])
    else:
        writer.add_token_scores([0.0, 0.0, 0.0, -3.0, -4.0, -1.0, 0.0, -5.0, -2.0, 0.0])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template([{"name": "default", "template": "{{ messages }}"}, {"name": "tools", "template": "x"}])
    generator = numpy.random.default_rng(1)
    for tensor, shape in [("token_embd", (10, 4)), ("output_norm", (4,)), ("blk.0.attn_norm", (4,)), ("blk.0.ffn_norm", (4,)),
                          ("blk.0.attn_q", (4, 4)), ("blk.0.attn_k", (2, 4)), ("blk.0.attn_v", (2, 4)), ("blk.0.attn_output", (4, 4)),
                          ("blk.0.ffn_gate", (4, 4)), ("blk.0.ffn_up", (4, 4)), ("blk.0.ffn_down", (4, 4))]:
        kind = numpy.float16 if len(shape) == 2 and byte_level else numpy.float32
        writer.add_tensor(f"{tensor}.weight", generator.standard_normal(shape).astype(kind))
    finish(writer)


GGUF.mkdir(parents=True, exist_ok=True)
SEEDS.mkdir(parents=True, exist_ok=True)
seed("byte_level", True)
seed("sentencepiece", False)
blocks()
llama_smollm()
llama_sentencepiece()
gemma2_sentencepiece()
