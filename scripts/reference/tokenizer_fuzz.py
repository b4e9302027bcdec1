#!/usr/bin/env python3
"""Differential fuzz: hostile texts through `hone tokenize` and through the tokenizers library must give equal ids,
offsets, type ids, word ids, masks and decoded text: alone, in pairs, truncated with what was cut off.

    pip install tokenizers==0.23.3
    python scripts/reference/tokenizer_fuzz.py build/release/hone [texts for each tokenizer] [seed] [tokenizer ...]
    python scripts/reference/tokenizer_fuzz.py build/release/hone 500 7 patterns    # 500 random regular expressions
    python scripts/reference/tokenizer_fuzz.py build/release/hone 500 7 random      # 500 tokenizers of random components
    python scripts/reference/tokenizer_fuzz.py build/release/hone 500 7 planted     # does the fuzz find what is planted?

Each tokenizer is compared twice: with its vocabulary, and (NAME/splits) with one in which every piece that the
pre-tokenizer makes is one unknown token, so that its ends show. With the vocabulary alone a wrong split is seen only where
some token would cross it: `\\p{N}{1,2}` for `\\p{N}{1,3}` gave the same ids in any number of texts, because none of these
small vocabularies has a token of two digits.
"""

import json
import os
import random
import subprocess
import sys
import tempfile

os.environ["RUST_BACKTRACE"] = "0"  # before the library is there: it panics now and then

from tokenizers import Regex

import tokenizer_llama
from tokenizer_models import BEHAVIORS, MODELS, TEXT, pieces

MARKS = [int(c, 16) for c in """
    300 301 302 304 308 323 328 331 334 338 345 3099 309A F71 F72 F73 F74 344 1D165 1D16D 5B0 651 BD7 DCA DCF 11A7
    11A8 11C2 1161 1175 94D
""".split()]
ODD = [int(c, 16) for c in """
    0 1 9 A B C D 1C 1F 20 7F 80 85 A0 AD B7 180E 200B 200C 200D 2028 2029 202F 205F 2060 3000 FEFF FFFD FFFE FFFF
    10FFFF 17F 212A DF 1E9E 130 149 FB01 FB06 1100 1112 AC00 AC01 D7A3 E000 2126 212B 1F71 3D2 958 2ADC 1D15E
    2F800 FDFA 3300 BD 660 966 2160 1F600 1F468 E0001
""".split()]
# fmt: off
WORDS = [
    "'s", "'S", "'\u017f", "'re", "'LL", "'d", "the", "there", " the", "  ", "\n", "\r\n", "\n\n ", "\t", "123",
    "4567", "x", "X", "--", "---", "...", ",", "e\u0301te\u0301", "\u00e9t\u00e9", "\u1100\u1161\u11a8", "<0x41>",
    "<unk>", "ab", "Ġ", "Ċ", "\u0120the", "the, and", "aaaa", " a", "_", "ª", "²", "日本", "漢字かな",
    "한국어", "привет", "مرحبا", "x\n", "//", "/\n",
]
# fmt: on


# What quantifiers count: runs of one class, of every length.
RUNS = ["0123456789", "0123456789٣²Ⅳ１", "aBc", "ABCd", "дЖ", "日本", " ", " \t\u00a0", "\r\n", " \n", "a\u0301\u0600\u00a9\u200d\u00ae\u0915\u094d\u00ad\u0903\u1100\u1161\u11a8\uac00\uac01\U0001f1e9e\r\n", ".,!", "/-\n", "्́", "'sSdDtm"]


def text(rng, fragments):
    out = []
    for _ in range(rng.choice([0, 1, 1, 2, 3, 5, 8, 13, 30])):
        kind = rng.random()
        if kind < 0.22:
            out.append(rng.choice(WORDS))
        elif kind < 0.40 and fragments:
            f = rng.choice(fragments)
            cut = rng.randrange(len(f) + 1) if rng.random() < 0.25 else len(f)
            out.append(
                rng.choice(["", "", " ", "  ", "\u3000", "a", "\u0301", "\n"])
                + f[:cut]
                + rng.choice(["", "", " ", "\t ", "b", "\u0301"])
            )
        elif kind < 0.52:
            start = rng.randrange(len(TEXT))
            out.append(TEXT[start : start + rng.randrange(20)])
        elif kind < 0.64:
            out.append(chr(rng.choice(MARKS)) * rng.choice([1, 1, 1, 2, 3]))
        elif kind < 0.76:
            out.append(chr(rng.choice(ODD)) * rng.choice([1, 1, 2, 4]))
        elif kind < 0.83:
            out.append(chr(rng.randrange(32, 127)) * rng.choice([1, 1, 1, 2, 5, 70]))
        elif kind < 0.88:
            run = rng.choice(RUNS)
            out.append("".join(rng.choice(run) for _ in range(rng.choice([2, 3, 3, 4, 5, 7, 12]))))
        else:
            limit = rng.choice([0x100, 0x600, 0x3000, 0x10000, 0x20000, 0x110000])
            c = rng.randrange(limit)
            out.append(chr(c) if not 0xD800 <= c <= 0xDFFF else "\ud7ff")
    return "".join(out)


def lines(command, items):
    done = subprocess.run(
        command, input="\n".join(map(json.dumps, items)) + "\n", capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        raise RuntimeError("%s: %s" % (" ".join(command), done.stderr))
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def splits(tokenizer):
    """The same normalizer and pre-tokenizer, with a model that shows every piece; None if it has none to show."""
    if tokenizer.pre_tokenizer is None or tokenizer.get_vocab_size() < 2:
        return None
    t = pieces("x")
    t.pre_tokenizer = tokenizer.pre_tokenizer
    if tokenizer.normalizer is not None:
        t.normalizer = tokenizer.normalizer
    return t


COLUMNS = ("ids", "offsets", "type_ids", "word_ids", "special_tokens_mask")
PRINTED = {"type_ids": "token_type_ids"}


def columns(e, overflow=True):
    out = {PRINTED.get(c, c): getattr(e, c) for c in COLUMNS}
    out["offsets"] = [list(o) for o in out["offsets"]]
    if overflow:
        out["overflowing"] = [columns(o, False) for o in e.overflowing]
    return out


def reference(tokenizer, item, special):
    """What the library makes of a text or of a pair; None where it raises an error (or panics)."""
    try:
        e = tokenizer.encode(*item if isinstance(item, list) else [item], add_special_tokens=special)
        return columns(e)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return None


def encodings(hone, path, tokenizer, items, special, cut=()):
    """Pairs of what hone and what the library say of the items that the library takes; how many it does not take."""
    theirs = [(i, reference(tokenizer, i, special)) for i in items]
    taken = [(i, t) for i, t in theirs if t is not None]
    command = [hone, "tokenize", "--model", path, "--json", "--add_special_tokens", str(special).lower(), *cut]
    command += ["--return_token_type_ids", "--return_word_ids", "--return_special_tokens_mask"]
    mine = lines(command + ["--return_overflowing_tokens"], [i for i, _ in taken]) if taken else []
    assert len(mine) == len(taken)
    for m in mine:
        for e in [m] + m["overflowing"]:
            del e["tokens"]
    return [(i, m, t) for (i, t), m in zip(taken, mine)], len(theirs) - len(taken)


def truncation(rng, tokenizer, pair, special):
    """Sets a random truncation; the options that say the same to hone."""
    added = tokenizer.num_special_tokens_to_add(pair) if special else 0
    room = rng.choice([0, 1, 2, 3, 4, 5, 8, 13, 21])
    length = added + room
    most = length - tokenizer.num_special_tokens_to_add(False) - 1  # what the library checks, pair or not
    stride = min(rng.choice([0, 0, 0, 1, 2, 3]), max(most, 0))
    strategy = rng.choice(["longest_first"] * 3 + ["only_first"] + (["only_second"] if pair else []))
    side = rng.choice(["right", "left"])
    tokenizer.enable_truncation(length, stride=stride, strategy=strategy, direction=side)
    options = ["--max_length", length, "--stride", stride, "--truncation", strategy, "--truncation_side", side]
    return list(map(str, options))


def batches(hone, path, tokenizer, texts, rng):
    """Texts alone, in pairs, and truncated."""
    for special in (True, False):
        half = len(texts) // 2
        pairs = [list(p) for p in zip(texts[:half], texts[half:])]
        yield encodings(hone, path, tokenizer, texts, special)
        yield encodings(hone, path, tokenizer, pairs, special)
        for items in (texts, pairs):
            for _ in range(4):
                some = rng.sample(items, len(items) // 8)
                if items is pairs:  # every window of one text with every one of the other
                    some = [p for p in some if len(p[0]) * len(p[1]) < 2000]
                cut = truncation(rng, tokenizer, items is pairs, special)
                yield encodings(hone, path, tokenizer, some, special, cut)
                tokenizer.no_truncation()


def compare(hone, name, tokenizer, directory, count, rng, plant=None):
    """plant: (old, new), a text changed in the file that hone reads."""
    path = os.path.join(directory, name.replace("/", "_") + ".json")
    tokenizer.save(path, pretty=False)
    if plant:
        content = open(path, encoding="utf-8").read()
        assert plant[0] in content, (name, plant)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content.replace(*plant))
    fragments = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
    texts = [text(rng, fragments).replace("\0", "") for _ in range(count)]
    failures = encoded = rejected = 0
    ids = [[rng.randrange(tokenizer.get_vocab_size() + 5) for _ in range(rng.randrange(12))] for _ in texts]
    for same, refused in batches(hone, path, tokenizer, texts, rng):
        encoded, rejected = encoded + len(same), rejected + refused
        for item, mine, theirs in same:
            if mine != theirs:
                failures += 1
                if failures < 4 and not plant:
                    print(name, ascii(item), "\n  hone", mine, "\n  ref ", theirs)
        if len(ids) < 2 * len(texts):
            ids += [theirs["ids"] for _, _, theirs in same]
    decoded = 0
    for skip in (True, False):
        theirs = []
        for i in ids:
            try:
                theirs.append((i, tokenizer.decode(i, skip_special_tokens=skip)))
            except BaseException:
                rejected += 1
        options = ["--decode", "--skip_special_tokens", str(skip).lower()]
        mine = lines([hone, "tokenize", "--model", path, *options], [i for i, _ in theirs])
        decoded += len(mine)
        for (i, want), a in zip(theirs, mine):
            if a["text"] != want:
                failures += 1
                if failures < 4 and not plant:
                    print(name, "decode", i, "\n  hone", ascii(a["text"]), "\n  ref ", ascii(want))
    what = name + (" with %s for %s" % (plant[1], plant[0]) if plant else "")
    print(
        "%-22s %7d inputs, %7d decodes, %d that the library refuses, %d differences"
        % (what, encoded, decoded, rejected, failures),
        flush=True,
    )
    return failures


# Defects to be found, as they stand in the file: in one of the two comparisons.
PLANTED = [
    ("llama3", "{1,3}", "{1,2}"), ("llama3", "{1,3}", "{1,4}"), ("o200k", "{1,3}", "{1,2}"), ("llama3", "+(?!\\\\S)", "+"),
    ("llama3", "(?i:'s", "(?:'s"), ("llama3", "]+[\\\\r\\\\n]*", "]+"), ("o200k", "\\\\r\\\\n/]*", "\\\\r\\\\n]*"),
    ("qwen2", "\\\\p{N}|", "\\\\p{N}+|"), ("qwen2", '"NFC"', '"NFKC"'), ("deepseek", "\\\\s?\\\\p{L}+", "\\\\p{L}+"),
    ("sequence", '"MergedWithNext"', '"MergedWithPrevious"'), ("roberta", '"lstrip":true', '"lstrip":false'),
    ("added_flags", '"rstrip":true', '"rstrip":false'), ("gpt2_small", '"use_regex":true', '"use_regex":false'),
    ("characters_fused", '"fuse_unk":true', '"fuse_unk":false'), ("ignored_merges", '"ignore_merges":true', '"ignore_merges":false'),
    ("llama2", '"byte_fallback":true', '"byte_fallback":false'), ("llama2", '"start":1', '"start":2'),
    ("llama2", '"prepend":"\u2581"', '"prepend":"\u2581\u2581"'), ("tinyllama", '"first"', '"always"'),
    ("metaspace_late", '"first"', '"never"'), ("letters", '"Lowercase"', '"NFC"'), ("letters", '"StripAccents"', '"NFC"'),
    ("letters", '"BertPreTokenizer"', '"WhitespaceSplit"'), ("letters", '"RobertaProcessing"', '"BertProcessing"'),
    ("strip", '"strip_left":true', '"strip_left":false'), ("lowercase", '"split":true', '"split":false'),
    ("lower_bytes", "{2,}", "{3,}"), ("lower_bytes", "[aeiou]+", "[aeiou]"), ("gemma", '"ByteFallback"', '"Fuse"'),
    ("bert", '"lowercase":true', '"lowercase":false'), ("bert", '"clean_text":true', '"clean_text":false'),
    ("bert", '"handle_chinese_chars":true', '"handle_chinese_chars":false'), ("bert", '"##"', '"#"'),
    ("bert_accents", '"strip_accents":true', '"strip_accents":null'), ("bert", '"cleanup":true', '"cleanup":false'),
    ("bert_accents", '"max_input_chars_per_word":7', '"max_input_chars_per_word":8'), ("t5", '"unk_id":3', '"unk_id":0'),
    ("unigram_bytes", '"byte_fallback":true', '"byte_fallback":false'), ("unigram_ties", "-8.5", "-7.5"),
    ("xlm_roberta", '" {2,}"', '" {3,}"'), ("albert", '"Precompiled"', '"NFC"'),
    ("smollm", '"individual_digits":true', '"individual_digits":false'), ("unknown", '"fuse_unk":true', '"fuse_unk":false'),
]


def compare_planted(hone, directory, count, seed):
    missed = 0
    for name, old, new in PLANTED:
        found = 0
        for suffix, tokenizer in (("", MODELS[name]()), ("/splits", splits(MODELS[name]()))):
            if tokenizer is not None and old in tokenizer.to_str():
                rng = random.Random("%s %d" % (name, seed))
                try:
                    found += compare(hone, name + suffix, tokenizer, directory, count, rng, (old, new))
                except RuntimeError:  # refused where the library takes it
                    found += 1
        if not found:
            missed += 1
            print("NOT FOUND: %s for %s in %s" % (new, old, name))
    return missed


# fmt: off
ATOMS = [
    "a", "b", "x", "'s", " ", "1", "-", "\\n", "\\s", "\\S", "\\d", "\\D", "\\w", "\\W", "\\p{L}", "\\p{Lu}",
    "\\p{^N}", "\\P{M}", ".", "\\h", "[ab]", "[^a]", "[a-c1]", "[^\\s\\p{L}]", "[\\w&&[^a]]", "[^\\r\\n]",
    "[[a-c]x-z]", "\\x{e9}", "é", "(?i:k)", "(?i:'S)", "(?i:[a-t])",
]
# fmt: on
ASSERTIONS = ["\\b", "\\B", "^", "$", "\\A", "\\z", "\\Z", "(?!a)", "(?=\\s)", "(?<=a)", "(?<!\\s)", "(?!\\S)"]


def pattern(rng, depth=0):
    """A random regular expression over what hone translates."""
    out = []
    for _ in range(rng.choice([1, 1, 2, 2, 3])):
        if rng.random() < 0.15:
            out.append(rng.choice(ASSERTIONS))
            continue
        item = rng.choice(ATOMS)
        if depth < 2 and rng.random() < 0.25:
            item = rng.choice(["(%s)", "(?:%s)", "(?>%s)"]) % pattern(rng, depth + 1)
        elif len(item) == 2 and item[0] == "'":
            item = "(?:%s)" % item
        item += rng.choice(
            [
                "",
                "",
                "",
                "+",
                "*",
                "?",
                "{2}",
                "{1,3}",
                "{2,}",
                "{,2}",
                "+?",
                "*?",
                "??",
                "{1,2}?",
                "++",
                "*+",
                "?+",
                "{1,2}+",
            ]
        )
        out.append(item)
    joined = "".join(out)
    return joined + "|" + pattern(rng, depth + 1) if depth < 3 and rng.random() < 0.3 else joined


def compare_patterns(hone, directory, count, rng):
    refused = rejected = failures = texts_seen = 0
    for i in range(count):
        p = pattern(rng)
        try:
            tokenizer = pieces(Regex(p), rng.choice(BEHAVIORS), rng.random() < 0.3)
        except Exception:
            rejected += 1
            continue
        path = os.path.join(directory, "pattern.json")
        tokenizer.save(path, pretty=False)
        texts = [
            "".join(rng.choice("aaabbx's 1-\n\r AKéſ\u212a\u0301日S\u00a0") for _ in range(rng.randrange(12)))
            for _ in range(60)
        ]
        texts += [text(rng, []).replace("\0", "") for _ in range(10)]
        done = subprocess.run(
            [hone, "tokenize", "--model", path, "--json"],
            input="\n".join(map(json.dumps, texts)) + "\n",
            capture_output=True,
            encoding="utf-8",
        )
        if done.returncode:
            refused += 1
            if refused < 4:
                print("refused:", p, done.stderr.strip())
            continue
        for t, line in zip(texts, done.stdout.split("\n")):
            texts_seen += 1
            want = tokenizer.encode(t).offsets
            if [tuple(o) for o in json.loads(line)["offsets"]] != want:
                failures += 1
                if failures < 6:
                    print(ascii(p), ascii(t), "\n  hone", line, "\n  ref ", want)
                break
    print(
        "%d patterns (%d rejected by the library, %d refused by hone), %d texts, %d patterns differ"
        % (count, rejected, refused, texts_seen, failures)
    )
    return failures


def compare_random(hone, directory, count, seed):
    """Tokenizers of random components; 40 texts for each."""
    bases = [json.loads(MODELS[name]().to_str())["model"] for name in BASES]
    failures = 0
    for i in range(count):
        rng = random.Random("random %d %d" % (seed, i))
        name = "random%d" % i
        try:
            tokenizer = tokenizer_llama.random_tokenizer(rng, bases)
            path = os.path.join(directory, "random.json")
            tokenizer.save(path)
            tokenizer = type(tokenizer).from_file(path)
        except Exception as error:
            print(name, "is refused by the library:", error)
            continue
        done = subprocess.run([hone, "tokenize", "--model", path, "x"], capture_output=True, encoding="utf-8")
        if done.returncode:
            print(name, "is refused by hone:", done.stderr.strip())
            continue
        failures += compare(hone, name, tokenizer, directory, 40, rng)
    return failures


BASES = ["gpt2_small", "llama2", "across", "left_out", "unknown_apart", "characters_bytes", "bert", "bert_accents", "t5",
         "unigram_bytes", "unigram_ties"]  # fmt: skip


def main():
    hone = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    names = sys.argv[4:] or list(MODELS)
    failures = 0
    with tempfile.TemporaryDirectory() as directory:
        if names == ["patterns"]:
            sys.exit(1 if compare_patterns(hone, directory, count, random.Random(seed)) else 0)
        if names == ["random"]:
            sys.exit(1 if compare_random(hone, directory, count, seed) else 0)
        if names == ["planted"]:
            sys.exit(1 if compare_planted(hone, directory, count, seed) else 0)
        for name in names:
            for suffix, tokenizer in (("", MODELS[name]()), ("/splits", splits(MODELS[name]()))):
                if tokenizer is not None:
                    rng = random.Random("%s %d" % (name, seed))
                    failures += compare(hone, name + suffix, tokenizer, directory, count, rng)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
