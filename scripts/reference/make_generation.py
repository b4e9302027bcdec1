"""Writes tests/fixtures/generation: what transformers generates with the models of tests/fixtures/models.

greedy.json    tokens of greedy search under many parameters; the script stops where float64 would choose otherwise, so rounding decides nothing
logits.json    scores before and after transformers' own processors and warpers, in the order in which generate() applies them
stops.json     tokens of greedy search that stop strings end
pipeline.tsv   model, options, texts (joined by |), and what json.dumps() makes of pipeline()'s answer
"""
import json
import math

from common import FIXTURES, MODELS, check_versions

check_versions()

import torch  # noqa: E402
import transformers  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, pipeline  # noqa: E402

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
OUT = FIXTURES / "generation"
NAMES = ["gpt2_tiny", "gpt2_oddvocab", "gpt2_options", "gpt2_untied", "gpt2_bf16", "gpt2_f16", "gpt2_sharded",
         "gpt2_relu_unscaled"]
DECODERS = ["gemma2_caps", "llama_biases_linear", "llama_grouped", "llama_llama3", "llama_yarn", "mistral_window",
            "qwen2_window", "qwen3_norms"]
TEXTS = ["In the beginning", "A", "The whole earth was of", "and he said unto them", "\n\n"]


def load(name):
    tokenizer = AutoTokenizer.from_pretrained(MODELS / name, padding_side="left", pad_token="<|endoftext|>")
    return tokenizer, AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=torch.float32).eval()


def generate(model, ids, options):
    with torch.no_grad():
        return model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                              **options)[0].tolist()


def greedy_options(model, ids):
    plain = generate(model, ids, {"do_sample": False, "max_new_tokens": 20, "eos_token_id": None})
    third, fifth = plain[len(ids) + 2], plain[len(ids) + 4]
    return [
        {"max_new_tokens": 20},
        {"max_length": 30},
        {},  # 20 new tokens
        {"max_new_tokens": 20, "repetition_penalty": 1.3},
        {"max_new_tokens": 20, "repetition_penalty": 0.8},
        {"max_new_tokens": 20, "no_repeat_ngram_size": 1},
        {"max_new_tokens": 20, "no_repeat_ngram_size": 2},
        {"max_new_tokens": 24, "no_repeat_ngram_size": 3, "repetition_penalty": 1.1},
        {"max_new_tokens": 20, "eos_token_id": third},
        {"max_new_tokens": 20, "eos_token_id": [fifth, third]},
        {"max_new_tokens": 20, "eos_token_id": third, "min_new_tokens": 6},
        {"max_new_tokens": 20, "eos_token_id": [third, fifth], "min_length": len(ids) + 4},
        {"max_length": 29, "max_new_tokens": 7},
        {"max_new_tokens": 1},
    ]


def greedy():
    cases = []
    for name in NAMES + DECODERS:
        tokenizer, model = load(name)
        double = AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=torch.float32).double().eval()
        prompts = [tokenizer(t)["input_ids"] for t in TEXTS]
        for options in greedy_options(model, prompts[0]):
            call = {"do_sample": False, **options}
            outputs = [generate(model, ids, call) for ids in prompts]
            assert outputs == [generate(double, ids, call) for ids in prompts], (name, options)
            cases.append({"model": name, "options": options, "prompts": prompts, "outputs": outputs})
    return cases


def stops():
    """Greedy answers that a stop string ends: in the middle of a token, across tokens, in the prompt, nowhere."""
    cases = []
    for name in ("gpt2_tiny", "llama_grouped", "gemma2_caps"):
        tokenizer, model = load(name)
        for text in TEXTS[:3]:
            ids = tokenizer(text)["input_ids"]
            plain = tokenizer.decode(generate(model, ids, {"do_sample": False, "max_new_tokens": 20, "eos_token_id": None})[len(ids):])
            for strings in ([plain[4:5]], [plain[5:9]], [plain[8:14], "nowhere"], ["nowhere"], [text[-3:]], [plain[2:3], plain[7:11]]):
                if any("\ufffd" in s or not s for s in strings):
                    continue
                options = {"do_sample": False, "max_new_tokens": 20, "eos_token_id": None, "stop_strings": strings}
                with torch.no_grad():
                    out = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                                         tokenizer=tokenizer, **options)[0].tolist()
                cases.append({"model": name, "options": options, "prompts": [ids], "outputs": [out]})
    return cases


def process(model, ids, prompt, scores, options):
    config, _ = model._prepare_generation_config(GenerationConfig(**options))
    model._prepare_special_tokens(config, kwargs_has_attention_mask=True)
    config = model._prepare_generated_length(config, False, "min_length" not in options, "input_ids", prompt, None)
    mask = {"attention_mask": torch.ones(1, prompt, dtype=torch.long)}
    processors = model._get_logits_processor(config, input_ids_seq_length=prompt, model_kwargs=mask,
                                             encoder_input_ids=torch.tensor([ids[:prompt]]))
    return processors(torch.tensor([ids]), torch.tensor([scores], dtype=torch.float32))[0].tolist()


def logits():
    _, model = load("gpt2_tiny")
    generator = torch.Generator().manual_seed(5)
    random = (3 * torch.randn(40, generator=generator)).tolist()
    ties = [1.0, 2.0, 2.0, 0.5, 2.0, -1.0, 0.5, 3.0, 3.0, -4.0]
    flat = [0.0] * 8
    quarters = [math.log(x) for x in (0.5, 0.25, 0.125, 0.0625, 0.0625)]
    text = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 1, 4]
    small = [1, 2, 1, 2, 3, 1, 2]
    cases = []

    def add(ids, prompt, scores, **options):
        options = {"eos_token_id": [0, 2], **options}
        want = process(model, ids, prompt, scores, {"max_new_tokens": 50, **options})
        cases.append({"ids": ids, "prompt": prompt, "scores": scores, "options": options,
                      "want": [None if x == -math.inf else x for x in want]})

    for scores, ids in ((random, text), (ties, small), (flat, small), (quarters, [1, 2, 1])):
        for penalty in (1.0, 1.5, 0.5):
            add(ids, len(ids) - 1, scores, repetition_penalty=penalty)
        for n in (1, 2, 3, 20):
            add(ids, 1, scores, no_repeat_ngram_size=n)
        for option in ({"min_length": len(ids)}, {"min_length": len(ids) + 1}, {"min_new_tokens": 2}, {"min_new_tokens": 3}):
            add(ids, len(ids) - 2, scores, **option)
        sampling = {"do_sample": True, "top_k": 0}
        for k in (1, 2, 3, 5, 39, 50):
            add(ids, 1, scores, **{**sampling, "top_k": k})
        for p in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999, 1.0):
            add(ids, 1, scores, **sampling, top_p=p)
        for p in (0.0, 0.05, 0.25, 0.5, 1.0):
            add(ids, 1, scores, **sampling, min_p=p)
        for temperature in (0.7, 1.0, 2.5):
            add(ids, 1, scores, **sampling, temperature=temperature)
        for p in (0.05, 0.2, 0.5, 0.9, 0.99):
            add(ids, 1, scores, **sampling, typical_p=p)
        for h in (0.1, 0.4, 0.8, 1.0) if scores is random else ():  # torch.topk takes any of equal ones
            add(ids, 1, scores, **sampling, top_h=h)
        for cutoff in (3e-4, 0.05, 0.3):
            add(ids, 1, scores, **sampling, epsilon_cutoff=cutoff)
            add(ids, 1, scores, **sampling, eta_cutoff=cutoff)
        n = len(ids)
        for option in (
            {"encoder_repetition_penalty": 1.4}, {"encoder_repetition_penalty": 0.7}, {"encoder_no_repeat_ngram_size": 2},
            {"bad_words_ids": [[3], [4, 1], [ids[-1], 1], [4, 4, 4]]},
            {"sequence_bias": [[[1], 2.5], [[ids[-1], 3], -4.0], [[ids[-2], ids[-1], 4], 1.5]]},
            {"suppress_tokens": [0, 3]}, {"begin_suppress_tokens": [1, 2]},
            {"exponential_decay_length_penalty": (1, 1.3)}, {"exponential_decay_length_penalty": (n, 1.3)},
            {"forced_eos_token_id": 3, "max_new_tokens": 2}, {"forced_eos_token_id": [2, 3], "max_new_tokens": 2},
        ):
            add(ids, n - 1, scores, **option)
            add(ids, n, scores, **option)  # the answer begins here
        add([5], 1, scores, forced_bos_token_id=3)
        add(ids, 1, scores, do_sample=True, temperature=0.8, top_k=6, typical_p=0.7, min_p=0.05, epsilon_cutoff=0.02, eta_cutoff=0.01)
        add(ids, 1, scores, do_sample=True, temperature=0.6, top_k=4, top_p=0.8)
        add(ids, 1, scores, do_sample=True, temperature=1.7, top_k=6, top_p=0.7, min_p=0.2)
        add(ids, 1, scores, do_sample=True, repetition_penalty=1.2, no_repeat_ngram_size=2, min_new_tokens=30, top_p=0.95)
    return cases


def pipelines():
    lines = []
    for name in ("gpt2_tiny", "gpt2_oddvocab"):
        pipe = pipeline("text-generation", model=str(MODELS / name), dtype=torch.float32)
        for options, texts in (
            ({"max_new_tokens": 12}, ["In the beginning"]),
            ({"max_new_tokens": 12}, ["In the beginning", "A", "And God saw that it was \"good\""]),
            ({"max_new_tokens": 12, "return_full_text": False}, ["In the beginning", "A"]),
            ({"max_length": 20}, ["the flood \\ was"]),
            ({"max_new_tokens": 12, "repetition_penalty": 1.4, "no_repeat_ngram_size": 2}, ["and the é, 日本"]),
            ({"max_new_tokens": 9}, [""]),
        ):
            answer = pipe(texts if len(texts) > 1 else texts[0], do_sample=False, **options)
            words = " ".join(f"--{k} {str(v).lower()}" for k, v in options.items())
            lines.append("\t".join((name, words, "|".join(texts), json.dumps(answer, ensure_ascii=False))))
    return lines


OUT.mkdir(exist_ok=True)
for name, make in (("greedy", greedy), ("logits", logits), ("stops", stops)):
    (OUT / f"{name}.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in make()) + "\n]\n")
(OUT / "pipeline.tsv").write_text("\n".join(pipelines()) + "\n", encoding="utf-8")
