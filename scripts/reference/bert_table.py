#!/usr/bin/env python3
"""Generates trainer/tokenizer/bert_table.c: the code points that the tokenizers library's BertNormalizer takes away when
it cleans a text and when it strips accents (its idea of both is older than that of its other normalizers).

    pip install tokenizers==0.23.3
    python scripts/reference/bert_table.py
"""

import os

from tokenizers import normalizers
from unicode_table import CODE_POINTS, ROOM, head, rows


def removed(**what):
    off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    normalizer = normalizers.BertNormalizer(**{**off, **what})
    runs = []
    for c in CODE_POINTS:
        if normalizer.normalize_str("a" + chr(c) + "b") != "ab":
            continue
        if runs and runs[-1][1] == c - 1:
            runs[-1][1] = c
        else:
            runs.append([c, c])
    return runs


def main():
    with open(os.path.join(ROOM, "bert_table.c"), "w") as out:
        out.write(head("What BertNormalizer takes away").replace("unicode_table", "bert_table"))
        out.write('#include "trainer/tokenizer/unicode.h"\n')
        for name, what in (("controls", "clean_text"), ("accents", "strip_accents")):
            runs = removed(**{what: True})
            out.write("\n/* First, last. */\nconst uint32_t unicode_bert_%s[][2] = {\n" % name)
            out.write(rows("{0x%X, 0x%X}" % tuple(r) for r in runs))
            out.write("};\nconst size_t unicode_bert_%s_count = %d;\n" % (name, len(runs)))


if __name__ == "__main__":
    main()
