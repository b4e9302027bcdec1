#!/bin/bash
# transformers, tokenizers and safetensors read what hone writes, and the reverse, with equal logits (scripts/reference/interop.py). Runs where a
# Python has them: $HONE_PYTHON, else python3. Argument: the path of hone; test_interop_logits lies beside it.
set -u
hone=$(realpath "$1")
program=$(dirname "$hone")/test_interop_logits
python=${HONE_PYTHON:-python3}
root=$(cd "$(dirname "$0")/../.." && pwd)
[ -x "$hone" ] && [ -x "$program" ] || { echo "no program at $1, or no test_interop_logits beside it"; exit 1; }
if ! "$python" -c 'import numpy, safetensors, tokenizers' 2>/dev/null; then
    echo "skipped: $python has no safetensors and tokenizers (pip install safetensors tokenizers numpy; HONE_PYTHON names another Python)"
    exit 0
fi
dir=$(mktemp -d /tmp/hone-interop-XXXXXX)
trap 'rm -rf "$dir"' EXIT
"$python" "$root/scripts/reference/interop.py" "$hone" "$program" "$dir"
