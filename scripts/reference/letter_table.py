#!/usr/bin/env python3
"""Generates trainer/tokenizer/letter_table.c: what the tokenizers library's Lowercase makes of each code point, and
which code points its StripAccents takes away.

    pip install tokenizers==0.23.3
    python scripts/reference/letter_table.py
"""

import os

from tokenizers import normalizers
from unicode_table import CODE_POINTS, ROOM, head, rows


def lower_runs():
    """(first, last, step, what is added) and the one code point that becomes two."""
    lowercase = normalizers.Lowercase()
    runs, long = [], []
    for c in CODE_POINTS:
        lower = lowercase.normalize_str(chr(c))
        if lower == chr(c):
            continue
        if len(lower) > 1:
            assert len(lower) == 2
            long.append((c, ord(lower[0]), ord(lower[1])))
            continue
        delta = ord(lower) - c
        last = runs[-1] if runs else None
        if last and last[3] == delta and (c - last[1] == last[2] or (last[0] == last[1] and c - last[1] == 2)):
            last[2] = c - last[1]
            last[1] = c
        else:
            runs.append([c, c, 1, delta])
    return runs, long


def marks():
    strip = normalizers.StripAccents()
    runs = []
    for c in CODE_POINTS:
        if strip.normalize_str("a" + chr(c)) != "a":
            continue
        if runs and runs[-1][1] == c - 1:
            runs[-1][1] = c
        else:
            runs.append([c, c])
    return runs


def main():
    runs, long = lower_runs()
    assert len(long) == 1
    with open(os.path.join(ROOM, "letter_table.c"), "w") as out:
        out.write(head("Cases and marks").replace("unicode_table", "letter_table"))
        out.write('#include "trainer/tokenizer/unicode.h"\n\n')
        out.write("/* First, last, step, what is added to make it lower case. */\n")
        out.write("const int32_t unicode_lowers[][4] = {\n")
        out.write(rows("{0x%X, 0x%X, %d, %d}" % tuple(r) for r in runs) + "};\n")
        out.write("const size_t unicode_lower_count = %d;\n\n" % len(runs))
        out.write("/* The only one that becomes two: itself, the two. */\n")
        out.write("const uint32_t unicode_lower_long[3] = {0x%X, 0x%X, 0x%X};\n\n" % long[0])
        runs = marks()
        out.write("/* First, last. */\nconst uint32_t unicode_marks[][2] = {\n")
        out.write(rows("{0x%X, 0x%X}" % tuple(r) for r in runs))
        out.write("};\nconst size_t unicode_mark_count = %d;\n" % len(runs))


if __name__ == "__main__":
    main()
