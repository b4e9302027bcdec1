"""Writes configs/quickstart/model's tokenizer: byte-level BPE with GPT-2's split, trained on both its texts.

    python scripts/reference/make_quickstart_tokenizer.py build/kjv.txt

configs/quickstart/README.md says how to make kjv.txt. The Bible comes in once, the plays (a seventeenth of it) four
times, so that their words and names get tokens too. <|endoftext|> takes the last id, as in GPT-2. The same input and
versions give the same files.
"""
import json
import sys

from common import ROOT, check_versions

check_versions()

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402
from transformers import AutoTokenizer, GPT2Tokenizer  # noqa: E402

QUICKSTART = ROOT / "configs" / "quickstart"
VOCAB_SIZE = 2048
POSITIONS = 192
PLAYS = 4


def main(bible_path):
    bible = open(bible_path, encoding="utf-8").read()
    plays = (QUICKSTART / "shakespeare.txt").read_text(encoding="utf-8")
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=VOCAB_SIZE - 1, initial_alphabet=alphabet, show_progress=False)
    t.train_from_iterator(bible.splitlines(keepends=True) + PLAYS * plays.splitlines(keepends=True), trainer)
    model = json.loads(t.to_str())["model"]
    vocab, merges = model["vocab"], [tuple(m) for m in model["merges"]]
    assert len(vocab) == VOCAB_SIZE - 1, len(vocab)
    vocab["<|endoftext|>"] = VOCAB_SIZE - 1

    tokenizer = GPT2Tokenizer(vocab=vocab, merges=merges, model_max_length=POSITIONS)
    tokenizer.save_pretrained(QUICKSTART / "model")
    again = AutoTokenizer.from_pretrained(QUICKSTART / "model")
    for name, text in (("bible", bible[:200000]), ("plays", plays)):
        ids = again(text)["input_ids"]
        assert ids == t.encode(text).ids and again.decode(ids, clean_up_tokenization_spaces=False) == text
        print(f"{name}: {len(text) / len(ids):.2f} letters a token")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
