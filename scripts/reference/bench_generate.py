"""Prints the milliseconds of one step of transformers' greedy generate() with its cache: MODEL DTYPE TEXTS TOKENS (scripts/bench-generate)."""
import os
import sys
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

directory, dtype, texts, tokens = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
torch.set_num_threads(len(os.sched_getaffinity(0)))
tokenizer = AutoTokenizer.from_pretrained(directory)
model = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype if dtype == "auto" else getattr(torch, dtype)).eval()
inputs = tokenizer(["Once upon a time"] * texts, return_tensors="pt")


def seconds(count):
    begin = time.perf_counter()
    with torch.no_grad():
        model.generate(**inputs, do_sample=False, min_new_tokens=count, max_new_tokens=count)
    return time.perf_counter() - begin


seconds(4)
short = seconds(8)
print((seconds(8 + tokens) - short) / tokens * 1e3)
