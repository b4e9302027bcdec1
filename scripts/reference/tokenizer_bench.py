#!/usr/bin/env python3
"""How fast texts become ids, beside the tokenizers library: alternating runs, millions of bytes a second, best of each.

    pip install tokenizers==0.23.3
    cmake -DHONE_BENCH=ON ... && ninja bench_tokenizer_tokenize
    python scripts/reference/tokenizer_bench.py build/release/bench_tokenizer_tokenize TEXTS TOKENIZER.json ...
"""

import os
import subprocess
import sys

ROUNDS = 3


def library(tokenizer, texts, threads, offsets):
    """In a process of its own: the library reads the number of threads once."""
    code = (
        "import sys, time; from tokenizers import Tokenizer; t = Tokenizer.from_file(sys.argv[1]);"
        "t.no_truncation(); t.no_padding();"
        "text = open(sys.argv[2], encoding='utf-8', newline='\\n').read(); lines = text.split('\\n')[:-1]\n"
        "encode = t.encode_batch if sys.argv[3] == '1' else t.encode_batch_fast\n"
        "best = cpu = 1e9\n"
        "for _ in range(3):\n"
        "    start, used = time.perf_counter(), time.process_time(); out = encode(lines, add_special_tokens=False)\n"
        "    best, cpu = min(best, time.perf_counter() - start), min(cpu, time.process_time() - used)\n"
        "    n = sum(len(e.ids) for e in out); del out\n"
        "million = len(text.encode()) / 1e6\n"
        "print('%.2f %.2f %d' % (million / best, million / cpu * int(sys.argv[4]), n))"
    )
    env = dict(os.environ, RAYON_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="true" if threads > 1 else "false")
    command = [sys.executable, "-c", code, tokenizer, texts, str(int(offsets)), str(threads)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split()


def hone(bench, tokenizer, texts, threads, offsets):
    command = [bench, tokenizer, texts, str(threads), "3"] + (["offsets"] if offsets else [])
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def main():
    bench, texts = sys.argv[1:3]
    titles = ("tokenizer", "threads", "offsets", "hone", "library", "times")
    print("%-24s %7s %7s %10s %10s %6s, by processor time" % titles)
    for tokenizer in sys.argv[3:]:
        for threads in (1, 2):
            for offsets in (False, True):
                best = [0.0] * 4
                for _ in range(ROUNDS):
                    mine = hone(bench, tokenizer, texts, threads, offsets)
                    theirs = library(tokenizer, texts, threads, offsets)
                    best = [max(b, float(x)) for b, x in zip(best, mine[:2] + theirs[:2])]
                    assert mine[2] == theirs[2], (tokenizer, mine, theirs)
                name = os.path.basename(tokenizer)
                rates = (best[0], best[2], best[0] / best[2], best[1], best[3], best[1] / best[3])
                row = "%-24s %7d %7s" % (name, threads, offsets)
                print(row + " %10.1f %10.1f %6.1f %10.1f %10.1f %6.1f" % rates, flush=True)


if __name__ == "__main__":
    main()
