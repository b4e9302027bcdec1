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
pair=$here/../fixtures/tokenizer/roberta
ids_of() { "$hone" tokenize --model "$pair" "$@" | sed 's/^{"ids": \[\([0-9, ]*\)\],.*/\1/'; }
same "a pair" "$(ids_of --text_pair b a)" "$(printf '["a", "b"]\n' | ids_of --json)"
same "truncated to the special tokens and one" 3 "$(ids_of --max_length 3 'a b c' | wc -w)"
same "what was cut off" '"overflowing": [{"ids": [500, 288, 501]' \
    "$("$hone" tokenize --model "$pair" --max_length 3 --return_overflowing_tokens 'b a' |
        grep -o '"overflowing": .{"ids": [^,]*, [^,]*, [^,]*')"
same "masks, words and types" \
    '"token_type_ids": [0, 0, 0], "word_ids": [null, 0, null], "special_tokens_mask": [1, 0, 1]}' \
    "$("$hone" tokenize --model "$pair" --return_token_type_ids --return_word_ids --return_special_tokens_mask a |
        grep -o '"token_type_ids.*')"
same "the end of a text" '"a"' "$("$hone" tokenize --model "$pair" --add_special_tokens false --max_length 1 \
    --truncation_side left 'x ya' | sed 's/.*"tokens": \[\("[^"]*"\).*/\1/')"
fails "no room" 2 'no room for the 2 tokens' "$hone" tokenize --model "$pair" --max_length 1 x
fails "a strategy that is none" 2 'longest_first, only_first' "$hone" tokenize --model "$pair" --max_length 5 \
    --truncation both x
fails "no length" 2 'max_length' "$hone" tokenize --model "$pair" --truncation only_first x
fails "a stride without a length" 2 'max_length' "$hone" tokenize --model "$pair" --stride 2 x
fails "a side that is none" 2 'left or right' "$hone" tokenize --model "$pair" --max_length 5 --truncation_side up x
fails "three texts" 2 'list of two' "$hone" tokenize --model "$pair" --json '["a", "b", "c"]'
fails "no model" 2 'model' "$hone" tokenize x
fails "a model that is not there" 1 '/nonexistent' "$hone" tokenize --model /nonexistent x
fails "an unknown option" 2 'frobnicate' "${tokenize[@]}" --frobnicate x
fails "what is no id" 2 'byte 2' "${tokenize[@]}" --decode '1 x'
fails "invalid UTF-8" 1 'text 2: invalid UTF-8 at byte 1' "${tokenize[@]}" a $'b\xff'
exit $((failures > 0))
