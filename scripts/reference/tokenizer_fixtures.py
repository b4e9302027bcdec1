#!/usr/bin/env python3
"""Writes tests/fixtures/tokenizer/: small tokenizers, and what the tokenizers library makes of tricky texts with them.

pip install tokenizers==0.23.3
python scripts/reference/tokenizer_fixtures.py
"""

import json
import os
import random
import shutil

import tokenizers
from tokenizers import Regex

from tokenizer_fuzz import text
from tokenizer_models import BEHAVIORS, MODELS, PATTERNS, TEXT, pieces

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "fixtures", "tokenizer")
SHIPPED = [
    "gpt2_small",
    "roberta",
    "llama3",
    "qwen2",
    "added_flags",
    "sequence",
    "deepseek",
    "o200k",
    "characters_bytes",
    "characters_fused",
    "partial_bytes",
    "llama2",
    "tinyllama",
    "gemma",
    "letters",
    "metaspace_late",
    "smollm",
    "bert",
    "bert_accents",
    "unigram_ties",
    "odd_charsmap",
    "graphemes",
]
WINDOWED = ["bert", "llama2", "letters", "metaspace_late", "roberta"]

TRICKY = [
    "",
    " ",
    "  ",
    "\n",
    " \n ",
    "\t\t\tx",
    "a",
    "A B",
    "Hello world",
    " Hello  world ",
    "don't we'll I'VE they'd 'Tis 's 'S '\u017f",
    "1",
    "12",
    "123",
    "1234567890",
    "3.14159 1,000,000 1e-5",
    "x1y22z333",
    "...",
    "?!?!",
    "--- a ---",
    "a" * 100,
    " " * 100,
    "\n" * 30,
    "ab" * 50,
    "line one\nline two\r\nline three\r\r\n\n\n  indented\n",
    "tabs\tand\u00a0no-break\u3000wide\u2009thin\u200bzero\ufeffbom",
    "\u0085\u2028\u2029\u001c\u001d\u001e\u001f\u000b\u000c",
    "caf\u00e9 cafe\u0301 \u00c5 A\u030a \u212b",
    "\u0301 starts with a mark",
    "q\u0323\u0307 q\u0307\u0323 \u1e69 s\u0323\u0307",
    "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab \uac00\u11a8",
    "\ufb01 \ufb06 \u00bd \u2460 \u33a5 \ufdfa",
    "\u0f73\u0f71\u0f74 \u0958 \u09c7\u09be \u0b47\u0b3e",
    "\U0001d15e\U0001d165 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",
    "\U00016d40\u1c89\ua7da\U00010d4a \u0378\u0379 \U000e0001 \U0010ffff \ufffe\uffff \ue000",
    "\u0660\u0661\u0967 \u2167 \u00b2\u00b3 \u3007",
    "\u0001\u0002\u007f\u0080\u009f",
    "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3002\u6c49\u5b57",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "<|endoftext|>",
    "a<|endoftext|>b <|endoftext|> c",
    "<|endoftext|><|endoftext|>",
    "<|endoftex",
    "<s>x</s> <mask>",
    "x  <mask>  y",
    "<|begin_of_text|>hi<|eot_id|>",
    "<|im_start|>user\nhi<|im_end|>\n",
    "\u00e9t\u00e9 e\u0301te\u0301",
    "<tool_call>{}</tool_call>",
    " ab0 ab1 ab2 ab3 ",
    "xab1y ab1, (ab1) _ab1",
    "<0><1> <2>  <3>\n<4>x<5>y <6> <7> z",
    "  <8> <9>  <a>\t<b> <c><d>e <e> <f>",
    "the there the. the_ \u00e9the",
    "abab ab ab3ab5",
    "\u212b A\u030a",
    "def f(x):\n    return x ** 2  # comment\n",
]


def flat(offsets):
    return [x for pair in offsets for x in pair]


def cases(tokenizer, name):
    rng = random.Random("fixture " + name)
    fragments = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
    texts = TRICKY + [TEXT[:250]] + [text(rng, fragments).replace("\0", "") for _ in range(20)]
    out = []
    for t in texts:
        plain, special = tokenizer.encode(t, add_special_tokens=False), tokenizer.encode(t)
        case = {"text": t, "ids": plain.ids, "offsets": flat(plain.offsets)}
        decoded = tokenizer.decode(plain.ids, skip_special_tokens=False)
        if decoded != t:
            case["decoded"] = decoded
        if special.ids != plain.ids:
            case["special_ids"] = special.ids
        skipped = tokenizer.decode(special.ids)
        if skipped != decoded:
            case["skipped"] = skipped
        out.append(case)
    return out


def write(path, value):
    with open(os.path.join(OUT, path), "w", encoding="utf-8") as f:
        if isinstance(value, list):
            f.write(
                "[\n" + ",\n".join(json.dumps(v, ensure_ascii=False, separators=(",", ":")) for v in value) + "\n]\n"
            )
        else:
            f.write(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def patterns():
    rng = random.Random("patterns")
    out = []
    for i, pattern in enumerate(PATTERNS):
        behavior, invert = BEHAVIORS[i % 5], i % 3 == 0
        tokenizer = pieces(Regex(pattern), behavior, invert)
        texts = rng.sample(TRICKY, 6) + [
            "aab abc a-b]x[ {a{x}} ab\r\n\u0085kKs\u017f\u212a \u00b2x 4F",
            "\u0645a1 a\n\nb  ",
        ]
        name = {
            "removed": "Removed",
            "isolated": "Isolated",
            "merged_with_previous": "MergedWithPrevious",
            "merged_with_next": "MergedWithNext",
            "contiguous": "Contiguous",
        }[behavior]
        out.append(
            {
                "pattern": pattern,
                "behavior": name,
                "invert": invert,
                "texts": [{"text": t, "offsets": flat(tokenizer.encode(t).offsets)} for t in texts],
            }
        )
    return out


def pairs(tokenizer):
    out = []
    for first, second in (("Hello", "world"), ("", "x"), ("a <mask> b", ""), ("caf\u00e9", " \u65e5\u672c")):
        e = tokenizer.encode(first, second)
        out.append({"first": first, "second": second, "ids": e.ids, "offsets": flat(e.offsets), "type_ids": e.type_ids})
    return out


LONG = "It was caf\u00e9 \u65e5\u672c, 1,274 <s> the  end"


def column(e):
    words = [-1 if w is None else w for w in e.word_ids]
    mask = e.special_tokens_mask
    return {"ids": e.ids, "offsets": flat(e.offsets), "type_ids": e.type_ids, "word_ids": words, "mask": mask}


def windows(tokenizer):
    """Truncation in all its ways: the first window, then what was left over; null where the library refuses."""
    out = []
    for second in (None, "the harbour, he'd"):
        for special in (True, False):
            added = tokenizer.num_special_tokens_to_add(second is not None) if special else 0
            for length, stride, strategy, side in (
                (added + 9, 0, "longest_first", "right"),
                (added + 12, 2, "longest_first", "left"),
                (added + 20, 2, "only_first", "right"),
                (added + 31, 3, "only_second", "left"),
                (added + 7, 0, "only_first", "right"),
                (added, 0, "longest_first", "right"),
                (added + 500, 7, "longest_first", "right"),
            ):
                tokenizer.enable_truncation(length, stride=stride, strategy=strategy, direction=side)
                try:
                    e = tokenizer.encode(LONG, second, add_special_tokens=special)
                    wanted = [column(e)] + [column(o) for o in e.overflowing]
                except BaseException:  # it panics, too
                    wanted = None
                tokenizer.no_truncation()
                case = {"special": special, "max_length": length, "stride": stride, "strategy": strategy, "side": side}
                out.append({"first": LONG, "second": second, **case, "windows": wanted})
    return out


def main():
    assert tokenizers.__version__ == "0.23.3"
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    for name in SHIPPED:
        tokenizer = MODELS[name]()
        os.mkdir(os.path.join(OUT, name))
        tokenizer.save(os.path.join(OUT, name, "tokenizer.json"), pretty=False)
        write(os.path.join(name, "cases.json"), cases(tokenizer, name))
    write("roberta/pairs.json", pairs(MODELS["roberta"]()))
    write("llama3/pairs.json", pairs(MODELS["llama3"]()))
    for name in WINDOWED:
        tokenizer = tokenizers.Tokenizer.from_file(os.path.join(OUT, name, "tokenizer.json"))
        write(name + "/windows.json", windows(tokenizer))
    write("patterns.json", patterns())
    end = "<|endoftext|>"
    write(
        "gpt2_small/tokenizer_config.json",
        {
            "backend": "tokenizers",
            "bos_token": end,
            "eos_token": end,
            "unk_token": end,
            "model_max_length": 1024,
            "tokenizer_class": "GPT2Tokenizer",
        },
    )
    write(
        "qwen2/tokenizer_config.json",
        {  # as transformers 4 wrote it
            "bos_token": None,
            "eos_token": {"__type": "AddedToken", "content": "<|im_end|>", "lstrip": False},
            "padding_side": "left",
            "model_max_length": 1000000000000000019884624838656,
            "tokenizer_class": "Qwen2Tokenizer",
        },
    )
    write("qwen2/special_tokens_map.json", {"eos_token": end, "pad_token": {"content": end, "lstrip": False}})
    write("VERSIONS.json", {"tokenizers": tokenizers.__version__, "made by": "scripts/reference/tokenizer_fixtures.py"})


if __name__ == "__main__":
    main()
