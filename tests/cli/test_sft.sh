#!/bin/bash
# Supervised fine-tuning's outside: the task is inferred and said, --dry_run shows what is learned (coloured on a
# terminal, marked elsewhere), rows that are not right are told with file and line. Argument: hone.
set -u
hone=$(realpath "$1")
[ -x "$hone" ] || { echo "no program at $1"; exit 1; }
cd "$(dirname "$0")/../.." || exit 1
dir=$(mktemp -d /tmp/hone-sft-XXXXXX)
trap 'rm -rf "$dir"' EXIT
export HONE_CACHE=$dir/cache
failures=0
train=("$hone" train --model_name_or_path tests/fixtures/models/llama_chat --output_dir "$dir/out")
run() { "${train[@]}" "$@" >"$dir/out.txt" 2>"$dir/err" </dev/null; status=$?; }
expect() { # NAME STATUS PATTERN FILE
    if [ "$status" != "$2" ] || ! grep -qE -- "$3" "$dir/$4"; then
        echo "FAILED: $1: status $status, wanted $2 and /$3/ in $4"; cat "$dir/out.txt" "$dir/err" | head -20
        failures=$((failures + 1))
    fi
}
lacks() { ! grep -qE -- "$2" "$dir/$3" || { echo "FAILED: $1: /$2/ in $3"; failures=$((failures + 1)); }; }
chats=tests/fixtures/data/chats.jsonl

run --train_file $chats --dry_run
expect "the task is inferred" 0 '^hone: task sft \(from the model and the data; set `task` to change it\)' err
expect "the share that is learned" 0 '^40 examples: 3615 tokens, 3575 of them learned \(98.9%\)$' out.txt
expect "all is learned" 0 '^<\|im_start\|>⟦system$' out.txt
run --train_file $chats --dry_run --assistant_only_loss
expect "the assistant's tokens alone" 0 '^⟦.*<\|im_end\|>$' out.txt
expect "marks after the header" 0 '^<\|im_start\|>assistant$' out.txt
lacks "no colours in a file" $'\033' out.txt
lacks "turns end" "learn to stop" err
run --train_file tests/fixtures/data/lines.jsonl --dry_run
expect "plain text is text generation" 0 'task text-generation \(from' err
run --train_file tests/fixtures/data/lines.jsonl --dry_run --task sft --packing --max_length 128
expect "unless the task is set" 0 '^-- text 1 of [2-9]$' out.txt
run --train_file tests/fixtures/data/prompts.jsonl --dry_run --chat_template_path tests/fixtures/data/marked.jinja
expect "prompts are masked" 0 '^40 examples: .* learned \([0-9]{2}\.[0-9]%\)' out.txt

if command -v script >/dev/null; then
    on_terminal() { TERM=xterm script -qec "${train[*]} --train_file $chats --dry_run 2>/dev/null" /dev/null </dev/null >"$dir/tty"; }
    unset NO_COLOR
    on_terminal; grep -q $'\033\\[92m.*\033\\[0m' "$dir/tty" || { echo "FAILED: no colours on a terminal"; failures=$((failures + 1)); }
    grep -q '⟦' "$dir/tty" && { echo "FAILED: marks beside colours"; failures=$((failures + 1)); }
    NO_COLOR=1 on_terminal; grep -q $'\033\\[92m' "$dir/tty" && { echo "FAILED: NO_COLOR"; failures=$((failures + 1)); }
fi

bad() { printf '%s\n' "$1" '{"messages": [{"role": "user", "content": "x"}]}' >"$dir/bad.jsonl"; run --train_file "$dir/bad.jsonl"; }
bad '{"messages": [{"role": "user", "content": "a"}, {"role": "assistent", "content": "b"}]}'
expect "a wrong role" 1 'bad.jsonl: line 1: messages: message 2 has the role "assistent"; there are system, developer, user' err
bad '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]}'
expect "an empty answer" 1 'bad.jsonl: line 1: .*the assistant.s answer is empty' err
printf '%s\n' '{"messages": [{"role": "user", "content": "x"}]}' '{"text": "x"}' >"$dir/bad.jsonl"
run --train_file "$dir/bad.jsonl"
expect "a missing column" 1 'bad.jsonl: line 2: no column "messages", as the first row has it; this one has text' err
run --train_file "$dir/bad.jsonl" --task sft --max_length null --packing
expect "packing without a length" 2 'packing needs max_length' err
run --train_file $chats --packing_strategy best
expect "an unknown strategy" 2 'packing_strategy.*bfd, bfd_split, wrapped|packing_strategy.*bfd,bfd_split,wrapped' err
run --train_file $chats --loss_type dft
expect "dft is refused with its reason" 2 'loss_type.*dft.*not in this version' err
run --train_file tests/fixtures/data/corpus.txt --task sft
expect "a text has no columns" 2 'corpus.txt: a text has no columns; task sft takes .json' err
# The README's second example: its rows are right, whole and in their style, and none is held out that is also learned.
run configs/chat.yaml --model_name_or_path tests/fixtures/models/llama_chat --dry_run
expect "configs/chat is learned from" 0 '^[23][0-9]{2} examples: [0-9]+ tokens, [0-9]+ of them learned' out.txt
lacks "its turns end" "learn to stop" err
for split in train validation; do
    run configs/chat.yaml --model_name_or_path tests/fixtures/models/llama_chat --train_file configs/chat/$split.jsonl --dry_run
    expect "the rows of configs/chat/$split.jsonl" 0 '^⟦.*' out.txt
    other=$(grep -oE '"role": "assistant", "content": "([^"\\]|\\.)*"' configs/chat/$split.jsonl |
        grep -vE '[Cc]aptain.*\\nLog: [^\\]+\."$')
    [ -z "$other" ] || { echo "FAILED: configs/chat/$split.jsonl: not as the mate answers: $other"; failures=$((failures + 1)); }
done
twice=$(grep -ohE '"role": "user", "content": "([^"\\]|\\.)*"' configs/chat/*.jsonl | sort | uniq -d)
[ -z "$twice" ] || { echo "FAILED: configs/chat asks twice: $twice"; failures=$((failures + 1)); }

exit $((failures > 0))
