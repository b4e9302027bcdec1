#!/usr/bin/env python3
"""Generates trainer/tokenizer/unicode_table.c and normalization_table.c from what the tokenizers library does.

Nothing is taken from Python's own Unicode tables except guesses that the library then confirms: each class is found by
asking the library about every code point, so hone's classes equal the library's, whatever Unicode version its parts
carry (its regex engine, its normalizer and Rust's char methods differ).

    pip install tokenizers==0.23.3
    python scripts/reference/unicode_table.py
"""

import os
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

ROOM = os.path.join(os.path.dirname(__file__), "..", "..", "trainer", "tokenizer")
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
ALL = "".join(map(chr, CODE_POINTS))
CATEGORIES = [
    "Cn",
    "Cc",
    "Cf",
    "Co",
    "Cs",
    "Ll",
    "Lm",
    "Lo",
    "Lt",
    "Lu",
    "Mc",
    "Me",
    "Mn",
    "Nd",
    "Nl",
    "No",
    "Pc",
    "Pd",
    "Pe",
    "Pf",
    "Pi",
    "Po",
    "Ps",
    "Sc",
    "Sk",
    "Sm",
    "So",
    "Zl",
    "Zp",
    "Zs",
]
SCRIPTS = [
    "Common",
    "Inherited",
    "Arabic",
    "Armenian",
    "Bengali",
    "Bopomofo",
    "Cyrillic",
    "Devanagari",
    "Ethiopic",
    "Georgian",
    "Greek",
    "Gujarati",
    "Gurmukhi",
    "Han",
    "Hangul",
    "Hebrew",
    "Hiragana",
    "Kannada",
    "Katakana",
    "Khmer",
    "Lao",
    "Latin",
    "Malayalam",
    "Mongolian",
    "Myanmar",
    "Sinhala",
    "Tamil",
    "Telugu",
    "Thai",
    "Tibetan",
]
FLAGS = ["SPACE", "WORD", "CLASS_WORD", "DIGIT", "RUST_SPACE", "RUST_WORD", "RUST_NUMERIC", "RUST_PUNCTUATION"]


def kept(pre_tokenizer, text=ALL):
    """The positions in `text` that lie in the pieces a Removed split leaves."""
    inside = set()
    for _, (start, end) in pre_tokenizer.pre_tokenize_str(text):
        inside.update(range(start, end))
    return inside


def onig(pattern):
    """The code points that the regex of Split matches alone."""
    left = kept(pre_tokenizers.Split(Regex(pattern + "+"), "removed"))
    return {c for i, c in enumerate(CODE_POINTS) if i not in left}


def single(pre_tokenizer):
    """The code points that stand alone as a piece between two letters."""
    text = "".join("a" + chr(c) for c in CODE_POINTS) + "a"
    alone = {start for _, (start, end) in pre_tokenizer.pre_tokenize_str(text) if end == start + 1}
    return {c for i, c in enumerate(CODE_POINTS) if 2 * i + 1 in alone}


def rust_word():
    """\\w of the regex crate: code points that the Whitespace pre-tokenizer glues to the letters around them."""
    text = " ".join("a" + chr(c) + "a" for c in CODE_POINTS)
    glued = {start for _, (start, end) in pre_tokenizers.Whitespace().pre_tokenize_str(text) if end == start + 3}
    return {c for i, c in enumerate(CODE_POINTS) if 4 * i in glued}


def properties():
    category, script, flags = {}, {}, {}
    for name in CATEGORIES:
        if name != "Cs":
            for c in onig(r"\p{%s}" % name):
                assert c not in category, (name, hex(c))
                category[c] = name
    for name in SCRIPTS:
        for c in onig(r"\p{%s}" % name):
            assert c not in script, (name, hex(c))
            script[c] = name
    left = kept(pre_tokenizers.WhitespaceSplit())
    sets = {
        "SPACE": onig(r"\s"),
        "WORD": onig(r"\w"),
        "CLASS_WORD": onig(r"[\w]"),
        "DIGIT": onig(r"\d"),
        "RUST_SPACE": {c for i, c in enumerate(CODE_POINTS) if i not in left},
        "RUST_WORD": rust_word(),
        "RUST_NUMERIC": single(pre_tokenizers.Digits(individual_digits=True)),
        "RUST_PUNCTUATION": single(pre_tokenizers.Punctuation()),
    }
    for general in "LMNPSZC":  # the general ones are the unions of their parts
        assert onig(r"\p{%s}" % general) == {c for c in category if category[c][0] == general} - {None}, general
    for c in CODE_POINTS:
        flags[c] = tuple(name for name in FLAGS if c in sets[name])
    return category, script, flags


def fold():
    """What (?i:x) matches beyond x and its other ASCII case, for each ASCII letter x."""
    extra = []
    for letter in "abcdefghijklmnopqrstuvwxyz":
        for c in sorted(onig("(?i:%s)" % letter)):
            if chr(c).lower() != letter or c > 127:
                extra.append((ord(letter), c))
    return extra


def write_properties(out):
    category, script, flags = properties()
    records, ranges, last = [], [], None
    for c in range(0x110000):
        if 0xD800 <= c <= 0xDFFF:
            record = ("Cs", "None", ())
        else:
            record = (category[c], script.get(c, "None"), flags[c])
        if record not in records:
            records.append(record)
        if record != last:
            ranges.append((c, records.index(record)))
            last = record
    assert len(records) < 2048
    out.write(head("Unicode classes"))
    out.write('#include "trainer/tokenizer/unicode.h"\n\n')
    out.write("const UnicodeRecord unicode_records[] = {\n")
    for c, s, f in records:
        out.write(
            "    {UNICODE_%s, SCRIPT_%s, %s},\n" % (c.upper(), s.upper(), " | ".join("UNICODE_" + x for x in f) or "0")
        )
    out.write("};\n\n/* First code point << 11 | record; a range ends where the next begins. */\n")
    out.write("const uint32_t unicode_ranges[] = {\n" + rows("0x%X" % (c << 11 | r) for c, r in ranges) + "};\n")
    out.write("const size_t unicode_range_count = %d;\n\n" % len(ranges))
    extra = fold()
    out.write("/* What (?i:x) matches beyond the two ASCII cases of x: x, code point. */\n")
    out.write(
        "const uint32_t unicode_fold_extra[][2] = {" + ", ".join("{'%c', 0x%X}" % (a, c) for a, c in extra) + "};\n"
    )
    out.write("const size_t unicode_fold_extra_count = %d;\n" % len(extra))
    return len(ranges), len(records)


def combining_classes(nfd):
    """Classes as the library orders them: only their order matters."""

    def decompose(text):
        return nfd.normalize_str(text)

    nonzero = []
    for c in CODE_POINTS:
        ch = chr(c)
        if decompose(ch) == ch and (
            decompose("\u0345" + ch) != "\u0345" + ch or decompose(ch + "\u0334") != ch + "\u0334"
        ):
            nonzero.append(c)
    markers = {}
    for c in nonzero:
        markers.setdefault(unicodedata.combining(chr(c)), chr(c))
    markers.pop(0, None)
    result = {}
    for c in nonzero:
        equal = [
            k for k, m in markers.items() if decompose(chr(c) + m) == chr(c) + m and decompose(m + chr(c)) == m + chr(c)
        ]
        assert len(equal) == 1, (hex(c), equal)
        result[c] = equal[0]
    return result


def write_normalization(out):
    nfd, nfkd, nfc = normalizers.NFD(), normalizers.NFKD(), normalizers.NFC()
    hangul = range(0xAC00, 0xAC00 + 11172)
    canonical = {c: nfd.normalize_str(chr(c)) for c in CODE_POINTS if c not in hangul}
    canonical = {c: d for c, d in canonical.items() if d != chr(c)}
    compatible = {c: nfkd.normalize_str(chr(c)) for c in CODE_POINTS if c not in hangul}
    compatible = {c: d for c, d in compatible.items() if d != chr(c) and d != canonical.get(c)}
    for s in hangul:  # these follow by arithmetic (Unicode 3.12)
        i = s - 0xAC00
        expected = chr(0x1100 + i // 588) + chr(0x1161 + i % 588 // 28) + (chr(0x11A7 + i % 28) if i % 28 else "")
        assert nfd.normalize_str(chr(s)) == nfkd.normalize_str(chr(s)) == expected and nfc.normalize_str(
            expected
        ) == chr(s)
    pairs = []
    for c, d in canonical.items():
        if len(d) > 1 and nfc.normalize_str(d) == chr(c):
            first = nfc.normalize_str(d[:-1])
            assert len(first) == 1 and nfc.normalize_str(first + d[-1]) == chr(c), hex(c)
            pairs.append((ord(first), ord(d[-1]), c))
    classes = combining_classes(nfd)
    pool, offsets = [], {}

    def place(d):
        if d not in offsets:
            offsets[d] = len(pool)
            pool.extend(map(ord, d))
        return offsets[d] << 5 | len(d)

    out.write(head("Normalization data"))
    out.write('#include "trainer/tokenizer/unicode.h"\n\n')
    for name, table in (("canonical", canonical), ("compatible", compatible)):
        out.write(
            "/* Code point, place in unicode_pool << 5 | length: full decompositions%s. */\n"
            % ("" if name == "canonical" else " where they differ from the canonical ones")
        )
        out.write(
            "const uint32_t unicode_%s[][2] = {\n" % name
            + rows("{0x%X, 0x%X}" % (c, place(table[c])) for c in sorted(table))
            + "};\n"
        )
        out.write("const size_t unicode_%s_count = %d;\n\n" % (name, len(table)))
    assert max(map(len, offsets)) < 32
    out.write("const uint32_t unicode_pool[] = {\n" + rows("0x%X" % c for c in pool) + "};\n\n")
    out.write(
        "/* First, second, composed; sorted. */\nconst uint32_t unicode_pairs[][3] = {\n"
        + rows("{0x%X, 0x%X, 0x%X}" % p for p in sorted(pairs))
        + "};\n"
    )
    out.write("const size_t unicode_pair_count = %d;\n\n" % len(pairs))
    runs = []
    for c in sorted(classes):
        if runs and runs[-1][1] == c - 1 and runs[-1][2] == classes[c]:
            runs[-1][1] = c
        else:
            runs.append([c, c, classes[c]])
    out.write(
        "/* First, last, combining class; all others have class 0. */\nconst uint32_t unicode_combining[][3] = {\n"
        + rows("{0x%X, 0x%X, %d}" % tuple(r) for r in runs)
        + "};\n"
    )
    out.write("const size_t unicode_combining_count = %d;\n" % len(runs))


def head(what):
    return (
        "/* %s, generated by scripts/reference/unicode_table.py by asking the tokenizers library %s about\n"
        " * every code point. Do not edit. */\n" % (what, tokenizers.__version__)
    )


def rows(items, width=118):
    text, line = "", "   "
    for item in items:
        if len(line) + len(item) + 2 > width:
            text += line + "\n"
            line = "   "
        line += " " + item + ","
    return text + line + "\n"


if __name__ == "__main__":
    with open(os.path.join(ROOM, "unicode_table.c"), "w") as f:
        print("ranges, records:", write_properties(f))
    with open(os.path.join(ROOM, "normalization_table.c"), "w") as f:
        write_normalization(f)
