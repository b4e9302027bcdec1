#!/bin/bash
# The Python package gguf and transformers read the GGUF files that hone writes (scripts/reference/gguf_interop.py). Runs where a Python has them:
# $HONE_PYTHON, else python3. Argument: the path of hone.
set -u
hone=$(realpath "$1")
python=${HONE_PYTHON:-python3}
root=$(cd "$(dirname "$0")/../.." && pwd)
[ -x "$hone" ] || { echo "no program at $1"; exit 1; }
if ! "$python" -c 'import gguf, torch, transformers' 2>/dev/null; then
    echo "skipped: $python has no gguf, torch and transformers (pip install -r scripts/reference/requirements.txt; HONE_PYTHON names another Python)"
    exit 0
fi
dir=$(mktemp -d /tmp/hone-gguf-interop-XXXXXX)
trap 'rm -rf "$dir"' EXIT
"$python" -B "$root/scripts/reference/gguf_interop.py" "$hone" "$dir"
