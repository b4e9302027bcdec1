"""Writes tests/fixtures/data/readers.json: what the reference's file readers make of small odd files.

A list of {"format": "text" | "text-no-linebreaks" | "json" | "csv", "hex": the file's bytes, "rows": the text column (the
one called text, else the first) as run_clm would tokenize it, each row as the hex of its UTF-8, null where it is
missing} or, instead of rows, "error": true. Where the reference reads a column as numbers, booleans or times, "type"
names that: the script's tokenizer refuses such rows, as it refuses null.
"""
import tempfile
from pathlib import Path

from common import DATA, check_versions, write_json

check_versions()

import datasets  # noqa: E402

TEXT = ["a\r\nb\rc\n\n\nd", "\ufeffx\n", "", "\n", "a\x00b\n", "a\r\r\nb\n", "a\n\r\nb \n", "one\u2028two\x0b\x0c\x1c\u0085\n\r",
        b"a\xff\n", b"a\xc3", b"\xed\xa0\x80\n", "no end", "a\r"]
JSON = ['{"text":"a"}\n\n{"text":"b"}\n  \n', '{"text":"a"}\n{"text":null}\n', '{"text":"a"}\n{"x":1}\n',
        '{"a":"first","b":"second"}\n', '{"text":"a"}\n{"text":5}\n', '[{"text":"a"},{"text":"b"}]',
        '[\n {"text": "a"},\n {"text": "b"}\n]\n', '{"text":"a"} {"text":"b"}', '{"text":"a\\ud83d\\ude00\\n\\/\\u00e9"}\n',
        '{"text":"\\ud83d"}\n', '\ufeff{"text":"a"}\n', '["x","y"]', '{"text":"a","text":"b"}\n', '{"text":"2020-01-01"}\n',
        '{"text":"a"}\r\n{"text":"b"}\r\n', '{"text":"a"}', '{"text":"a"}\n{"text":', '{"text":"a"}\n{"text":"b"} x\n',
        '{"text":"a\nb"}\n', '{"n":1,"text":"a","deep":{"x":[1,{"y":"text"}]}}\n', b'{"text":"a\xff"}\n', '{"text":""}\n',
        '{"text":"nul \\u0000 inside"}\n', "", "{}\n"]
CSV = ['a,text\r\n1,"x\r\ny"\r\n2,"say ""no"""\r\n', "a,text\n1,NA\n2,\n3,\"\"\n4,null\n5,None\n6,nan\n7,N/A\n8,na\n9,x\n",
       "text\n1\n2\n", "text\n1.5\nx\n", "text\n\nb\n", "a,text\n1\n2,x\n", 'a,text\n1, "x" \n', 'a,text\n1,x"y"z\n',
       "\ufefftext\nx\n", "text\nTrue\nFalse\n", "text\nTrue\nx\n", "a,text\n1,x\ry\n", 'text\n"unterminated\n', "first,b\nx,y\n",
       "a,text\n1,é \u2028 x", 'a,"te""xt"\nq,w\n', "a,text\n1,x\n2,y,z\n", b"text\na\xff\n", "", "text\n", "a;text\n1;x\n"]


def read(kind, content, **options):
    with tempfile.TemporaryDirectory() as d:
        path = Path(d) / {"text": "f.txt", "json": "f.jsonl", "csv": "f.csv"}[kind]
        path.write_bytes(content)
        try:
            data = datasets.load_dataset(kind, data_files=str(path), split="train", cache_dir=d + "/cache",
                                         keep_in_memory=True, **options)
            column = "text" if "text" in data.column_names else data.column_names[0]
            kind = getattr(data.features[column], "dtype", "json")
            rows = list(data[column])
        except Exception:
            return {"error": True}
    if kind not in ("string", "large_string"):
        return {"type": kind}
    return {"rows": [None if r is None else r.encode().hex() for r in rows]}


def main():
    datasets.disable_progress_bars()
    out = []
    for name, kind, contents, options in (
        ("text", "text", TEXT, {"keep_linebreaks": True}),
        ("text-no-linebreaks", "text", TEXT, {"keep_linebreaks": False}),
        ("json", "json", JSON, {}),
        ("csv", "csv", CSV, {}),
    ):
        for content in contents:
            content = content.encode() if isinstance(content, str) else content
            out.append({"format": name, "hex": content.hex(), **read(kind, content, **options)})
    write_json(DATA / "readers.json", out)


if __name__ == "__main__":
    main()
