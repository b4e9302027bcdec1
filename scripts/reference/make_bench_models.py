"""Writes the random-weight GPT-2 that scripts/bench trains with hone and with the Hugging Face Trainer.

usage: make_bench_models.py --model small|124m --text TEXT OUT

OUT becomes a model directory (weights of transformers' own initialisation, seed 0, dropout 0.1; byte-level BPE trained on
TEXT, which may fill fewer ids than the model has) with OUT/tokens.i32 in it: TEXT's ids as little-endian int32, line by
line as run_clm tokenizes.
"""
import argparse
from pathlib import Path

from common import DATA, check_versions

# vocabulary, layers, width, heads, positions; block and batch of the bench are in bench_trainer.py
MODELS = {"small": dict(vocab_size=8192, n_layer=4, n_embd=256, n_head=4), "124m": dict(vocab_size=50257)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--text", type=Path, default=DATA / "corpus.txt")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    check_versions()

    import json

    import numpy
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    keys = MODELS[options.model]
    lines = options.text.read_text(encoding="utf-8").splitlines(keepends=True)
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=min(keys["vocab_size"], 8192) - 1, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    bpe = json.loads(t.to_str())["model"]
    end = len(bpe["vocab"])
    tokenizer = transformers.GPT2Tokenizer(vocab={**bpe["vocab"], "<|endoftext|>": end},
                                           merges=[tuple(m) for m in bpe["merges"]], model_max_length=1024)
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**keys, bos_token_id=end, eos_token_id=end))
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
    ids = [i for row in tokenizer(lines)["input_ids"] for i in row]
    numpy.asarray(ids, dtype="<i4").tofile(options.out / "tokens.i32")
    print(f"{options.out}: {model.num_parameters()} parameters, {end + 1} tokens known, {len(ids)} ids in tokens.i32")


if __name__ == "__main__":
    main()
