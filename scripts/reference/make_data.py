"""Cuts the texts of tests/fixtures/data out of a plain text of Shakespeare (public domain).

usage: make_data.py SOURCE.txt      (the "tiny Shakespeare" file, 1,115,394 bytes, sha256 86c4e6aa…)

corpus.txt     lines for run_clm's text reader, with everything that its line splitting has an opinion about
validation.txt another part of the same text
verses.jsonl   one speech a row (0 to 700 characters), beside columns that must be ignored
table.csv      quoted fields with commas, quotes and line ends, the text in the last column
README.md says what the reference makes of the odd places.
"""
import csv
import hashlib
import io
import json
import sys
from pathlib import Path

from common import DATA

# Works that are in the public domain everywhere: Homer, Villon, Beowulf, Pushkin, Goethe, Li Bai; the last line is ours.
FOREIGN = [
    "μῆνιν ἄειδε θεὰ Πηληϊάδεω Ἀχιλῆος",
    "Mais où sont les neiges d’antan ?",
    "Hwæt! Wē Gār‐Dena in gēardagum, þēodcyninga þrym gefrūnon",
    "Я помню чудное мгновенье: передо мной явилась ты",
    "Über allen Gipfeln ist Ruh, in allen Wipfeln spürest du kaum einen Hauch",
    "床前明月光，疑是地上霜。",
    "naïve café 👩‍👩‍👧 — ½ of 1024² is 524288… don't",
]
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def corpus(lines):
    """Lines 0..2299 with the odd ones woven in; returns bytes without a final newline."""
    out = []
    for i, line in enumerate(lines[:2300]):
        end = "\n"
        if i % 97 == 13:
            end = "\r\n"  # read as one "\n"
        elif i % 389 == 200:
            end = "\r"  # a lone CR also ends a line
        if i % 331 == 50:
            line = FOREIGN[(i // 331) % len(FOREIGN)]
        elif i == 700:
            line = "one\u2028line\u0085for\x0bthe\x0creader\x1c"  # str.splitlines would cut here, the reader does not
        elif i == 701:
            line = "   \t leading and trailing blanks   "
        elif i == 702:
            line = "x" * 300
        out.append(line + end)
    return "".join(out).encode().removesuffix(b"\n")


def speeches(text):
    for block in text.split("\n\n"):
        who, _, words = block.partition(":\n")
        if words:
            yield who, words


def jsonl(rows):
    out = []
    for i, (who, words) in enumerate(rows):
        row = {"id": i, "speaker": who, "text": words, "tags": ["act", i % 5], "score": i / 8}
        if i == 3:
            row["text"] = ""
        if i % 50 == 7:
            row["text"] = FOREIGN[i // 50 % len(FOREIGN)]
        if i == 11:
            row["text"] = 'quote " backslash \\ slash / tab \t bell \x07 smile \U0001f600 nul-free'
        if i % 3 == 0:  # the column is not always at the same place
            row = {"text": row.pop("text"), **row}
        out.append(json.dumps(row, ensure_ascii=i % 2 == 0))
    return "\n".join(out) + "\n"


def table(rows):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(["number", "speaker, if any", "text"])
    for i, (who, words) in enumerate(rows):
        if i == 5:
            words = 'He said "no", twice,\r\nand left.'
        if i % 40 == 9:
            words = FOREIGN[i // 40 % len(FOREIGN)]
        writer.writerow([i, who if i % 4 else "", words])
    return out.getvalue()


def main():
    source = Path(sys.argv[1]).read_bytes()
    if hashlib.sha256(source).hexdigest() != SHA256:
        raise SystemExit(f"{sys.argv[1]}: another text than the fixtures were cut from")
    text = source.decode()
    lines = text.split("\n")
    rows = list(speeches(text[400_000:]))
    DATA.mkdir(parents=True, exist_ok=True)
    (DATA / "corpus.txt").write_bytes(corpus(lines))
    (DATA / "validation.txt").write_bytes("\n".join(lines[9000:9300]).encode() + b"\n")
    (DATA / "verses.jsonl").write_bytes(jsonl([r for r in rows if len(r[1]) < 700][:250]).encode())
    (DATA / "table.csv").write_bytes(table([r for r in rows if len(r[1]) < 400][400:600]).encode())


if __name__ == "__main__":
    main()
