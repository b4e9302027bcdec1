#!/bin/bash
# `hone tokenize`: texts from the command line and from stdin, ids back to text, errors. Argument: the path of hone.
set -u
hone=$(realpath "$1")
[ -x "$hone" ] || { echo "no program at $1"; exit 1; }
here=$(cd "$(dirname "$0")" && pwd)
model=$here/../fixtures/tokenizer/gpt2_small
tokenize=("$hone" tokenize --model "$model")
failures=0
same() { # NAME WANTED GOT
    [ "$2" = "$3" ] && return
    printf 'FAILED: %s\n wanted %s\n got    %s\n' "$1" "$2" "$3"
    failures=$((failures + 1))
}
fails() { # NAME STATUS PATTERN COMMAND...
    local name=$1 status=$2 pattern=$3 out got
    shift 3
    out=$("$@" 2>&1 </dev/null)
    got=$?
    if [ "$got" != "$status" ] || ! grep -qE -- "$pattern" <<<"$out"; then
        echo "FAILED: $name: status $got, wanted $status and /$pattern/: $out"
        failures=$((failures + 1))
    fi
}

end=$("${tokenize[@]}" '<|endoftext|>' | sed -n 's/^{"ids": \[\([0-9]*\)\],.*/\1/p')
[ -n "$end" ] || { echo "FAILED: a special token is not one token"; exit 1; }
same "one object a text" '{"ids": [], "tokens": [], "offsets": []}' "$("${tokenize[@]}" '')"
same "tokens and offsets" '"tokens": ["<|endoftext|>", "Ġa"], "offsets": [[0, 13], [14, 15]]}' \
    "$("${tokenize[@]}" '<|endoftext|> a' | sed 's/^{"ids": \[[0-9, ]*\], //')"
same "after a text nothing is an option" 2 "$("${tokenize[@]}" a --decode | wc -l)"
same "after -- nothing is an option" 1 "$("${tokenize[@]}" -- --decode | wc -l)"
same "lines of stdin" 3 "$(printf 'a\n\nb' | "${tokenize[@]}" | wc -l)"
text='naïve "日本" 🙂'
ids=$("${tokenize[@]}" "$text" | sed 's/^{"ids": \(\[[0-9, ]*\]\).*/\1/')
same "decoding gives the text again" '{"text": "naïve \"日本\" 🙂"}' "$("${tokenize[@]}" --decode "$ids")"
same "ids from stdin with spaces" '{"text": "naïve \"日本\" 🙂"}' \
    "$(tr -d '[],' <<<"$ids" | "${tokenize[@]}" --decode)"
same "special tokens kept" '{"text": "<|endoftext|>"}' "$("${tokenize[@]}" --decode "$end")"
same "special tokens skipped" '{"text": ""}' \
    "$("${tokenize[@]}" --decode --skip_special_tokens "$end")"
same "JSON strings" \
    "$(printf 'a b\n' | "${tokenize[@]}")" "$(printf '"a\\u0020b"\n' | "${tokenize[@]}" --json)"
begin=$here/../fixtures/tokenizer/llama3
first() { "$hone" tokenize --model "$begin" "$@" | sed 's/.*"tokens": \[\("[^"]*"\).*/\1/'; }
same "special tokens around" '"<|begin_of_text|>"' "$(first x)"
same "none around" '"x"' "$(first --add_special_tokens false x)"
fails "no model" 2 'model' "$hone" tokenize x
fails "a model that is not there" 1 '/nonexistent' "$hone" tokenize --model /nonexistent x
fails "an unknown option" 2 'frobnicate' "${tokenize[@]}" --frobnicate x
fails "what is no id" 2 'byte 2' "${tokenize[@]}" --decode '1 x'
fails "invalid UTF-8" 1 'text 2: invalid UTF-8 at byte 1' "${tokenize[@]}" a $'b\xff'
exit $((failures > 0))
