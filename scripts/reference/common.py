"""What the reference scripts share: pinned versions, one thread, paths, and writers that make the same bytes each time.

Import this before torch: it sets the number of threads and keeps the Hub out.
"""
import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
DATA, MODELS, CURVES, OPS = (FIXTURES / name for name in ("data", "models", "curves", "ops"))


def check_versions():
    """Stops unless every package of requirements.txt has the version written there (local parts like +cpu aside)."""
    wrong = []
    for line in (Path(__file__).parent / "requirements.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, want = line.strip().split("==")
            if version(name).split("+")[0] != want:
                wrong.append(f"{name} is {version(name)}, the fixtures need {want}")
    if wrong:
        raise SystemExit("; ".join(wrong) + ": pip install -r scripts/reference/requirements.txt")


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_tensors(path, tensors, metadata=None):
    """A safetensors file; torch tensors are made contiguous, {"format": "pt"} is added as every HF writer does."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, path, {"format": "pt", **(metadata or {})})


def ids_sha256(rows):
    """sha256 over the ids of all rows, laid end to end as little-endian int32."""
    import numpy

    flat = numpy.asarray([i for row in rows for i in row], dtype="<i4")
    return hashlib.sha256(flat.tobytes()).hexdigest()
