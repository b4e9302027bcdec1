"""Does transformers load a directory that hone wrote, and compute the same logits?

usage: compare_trained.py DIRECTORY TOKENS [--logits FILE] [--tolerance 1e-4]

TOKENS is a safetensors file with input_ids I32 [n] and cu_seqlens I32 [sequences+1] (as golden.safetensors), or raw
little-endian int32: one sequence. --logits: safetensors with logits F32 [n, vocabulary], or raw little-endian float32 in
that shape; without it, TOKENS' own logits if it has some. Each sequence is run alone, in float32. Prints one line of JSON;
status 1 when weights are missing or unexpected, or when logits differ by more than tolerance times the largest logit.
"""
import argparse
import hashlib
import json
import sys
from pathlib import Path

from common import check_versions


def read(path, name, dtype):
    """A tensor of a safetensors file (None when it lacks it), or a whole raw file as one."""
    import numpy
    import torch
    from safetensors import safe_open

    if path.suffix != ".safetensors":
        return torch.from_numpy(numpy.fromfile(path, dtype=dtype))
    with safe_open(path, "pt") as f:
        return f.get_tensor(name) if name in f.keys() else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("tokens", type=Path)
    parser.add_argument("--logits", type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    options = parser.parse_args()
    check_versions()

    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        options.directory, dtype=torch.float32, output_loading_info=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.directory)
    ids = read(options.tokens, "input_ids", "<i4").long()
    cu = read(options.tokens, "cu_seqlens", "<i4") if options.tokens.suffix == ".safetensors" else None
    cu = [0, len(ids)] if cu is None else cu.tolist()
    with torch.no_grad():
        logits = torch.cat([model.eval()(input_ids=ids[None, a:b]).logits[0] for a, b in zip(cu, cu[1:])])
    result = {
        "class": type(model).__name__,
        "parameters": model.num_parameters(),
        "vocabulary": len(tokenizer),
        "logits_sha256": hashlib.sha256(logits.contiguous().numpy().tobytes()).hexdigest(),
        "problems": {k: sorted(map(str, v)) for k, v in info.items() if v},
    }
    source = options.logits or (options.tokens if options.tokens.suffix == ".safetensors" else None)
    want = read(source, "logits", "<f4") if source else None
    if want is not None:
        result["relative_error"] = ((logits - want.reshape(logits.shape)).abs().max() / want.abs().max()).item()
        result["tolerance"] = options.tolerance
    result["ok"] = not result["problems"] and result.get("relative_error", 0.0) <= options.tolerance
    print(json.dumps(result))
    return 0 if result["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
