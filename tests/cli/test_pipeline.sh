#!/bin/bash
# hone pipeline: answers equal those of transformers' pipeline() (tests/fixtures/generation/pipeline.tsv), from arguments and from stdin; the same
# whatever the batch and the threads; errors. Argument: the path of hone.
set -u
export LC_ALL=C.UTF-8
hone=$(realpath "$1")
[ -x "$hone" ] || { echo "no program at $1"; exit 1; }
fixtures=$(realpath "$(dirname "$0")/../fixtures")
tiny=$fixtures/models/gpt2_tiny
dir=$(mktemp -d /tmp/hone-pipeline-XXXXXX)
trap 'rm -rf "$dir"' EXIT
failures=0
fail() { echo "FAILED: $1"; failures=$((failures + 1)); }
run() { "$hone" pipeline "$@" >"$dir/out" 2>"$dir/err" </dev/null; status=$?; }
generate() { run text-generation --model "$tiny" "$@"; }
# expect NAME STATUS PATTERN FILE: about the last run
expect() {
    if [ "$status" != "$2" ] || ! grep -qE -- "$3" "$dir/$4"; then
        fail "$1: status $status, wanted $2 and /$3/ in $4"; head -5 "$dir/out" "$dir/err"
    fi
}
same() { cmp -s "$dir/$2" "$dir/$3" || { fail "$1"; diff "$dir/$2" "$dir/$3" | head -5; }; }

# transformers' answers
cases=0
while IFS= read -r line; do
    model=${line%%$'\t'*}; line=${line#*$'\t'}
    read -ra options <<<"${line%%$'\t'*}"; line=${line#*$'\t'}
    joined=${line%%$'\t'*}; printf '%s\n' "${line#*$'\t'}" >"$dir/want"
    IFS='|' read -ra texts <<<"$joined"
    [ ${#texts[@]} = 0 ] && texts=("")
    run text-generation --model "$fixtures/models/$model" --do_sample false "${options[@]}" -- "${texts[@]}"
    [ "$status" = 0 ] || { fail "$model ${options[*]}"; cat "$dir/err"; }
    same "$model ${options[*]} $joined" out want
    cases=$((cases + 1))
done <"$fixtures/generation/pipeline.tsv"
[ "$cases" = 12 ] || fail "$cases cases"

# each line of stdin is answered as if it had been the only one, whatever the batch
generate --do_sample false --max_new_tokens 8 -- "In the beginning"; cp "$dir/out" "$dir/want"
generate --do_sample false --max_new_tokens 8 -- "A"; cat "$dir/out" >>"$dir/want"
for batch in 1 5; do
    printf 'In the beginning\nA' | "$hone" pipeline text-generation --model "$tiny" --do_sample false --max_new_tokens 8 \
        --batch_size $batch >"$dir/out" || fail "stdin"
    same "lines of stdin in batches of $batch" out want
done
printf 'In the beginning\r\nA\r\n' | "$hone" pipeline text-generation --model "$tiny" --do_sample false --max_new_tokens 8 >"$dir/out"
same "lines that Windows wrote" out want
printf 'In the beginning\nA\n\377\n' | "$hone" pipeline text-generation --model "$tiny" --do_sample false --max_new_tokens 8 \
    --batch_size 5 >"$dir/out" 2>"$dir/err"; status=$?
same "answers before a bad line" out want; expect "a bad line" 1 'text 3: .*UTF-8' err
run text-generation --model "$dir/nowhere" A; expect "no model" 1 "nowhere: no such directory; .*config.json" err
generate --do_sample false --max_new_tokens 3 --json -- '"a\nb"'; expect "a text in JSON" 0 '^\[\{"generated_text": "a\\nb' out

# chats: what transformers 5.23 answers with this template; one that ends with the assistant's words is gone on with
cp -r "$tiny" "$dir/chat"
printf '%s' "{% for m in messages %}{{ m.role[0] ~ ':' ~ m.content ~ '\n' }}{% endfor %}{% if add_generation_prompt %}a:{% endif %}" \
    >"$dir/chat/chat_template.jinja"
chat() { run text-generation --model "$dir/chat" --do_sample false --max_new_tokens 6 --json "$@"; }
cat >"$dir/want" <<'END'
[{"generated_text": [{"role": "user", "content": "In the"}, {"role": "assistant", "content": "ststm�u�"}]}]
[{"generated_text": "ststm�u�"}]
[{"generated_text": [{"role": "user", "content": "and"}, {"role": "assistant", "content": "he dm�u��"}]}]
[{"generated_text": "dm�u��"}]
[{"generated_text": [{"role": "system", "content": "x"}, {"role": "user", "content": "é \n"}, {"role": "assistant", "content": "�m���ing"}]}]
[{"generated_text": "�m���ing"}]
END
for messages in '[{"role": "user", "content": "In the"}]' \
    '[{"role": "user", "content": "and"}, {"role": "assistant", "content": "he "}]' \
    '[{"role": "system", "content": "x"}, {"role": "user", "content": "é \n"}]'; do
    for full in true false; do chat --return_full_text $full -- "$messages"; cat "$dir/out"; done
done >"$dir/answers"
same "chats" answers want
chat -- '[]'; expect "an empty chat" 2 'text 1: a chat should have a message' err
chat -- '[{"role": "user"}]'; expect "a message without content" 2 'message 1 of a chat should be' err
chat -- '{}'; expect "no chat" 2 'a JSON string, or a chat' err
generate --json -- '[{"role": "user", "content": "x"}]'; expect "no template" 1 'no chat template' err

# draws: the seed alone decides
texts=("In the beginning" A "and he said" "the" "of the earth and")
draw() { generate --max_new_tokens 12 --num_return_sequences 2 "$@" -- "${texts[@]}"; [ "$status" = 0 ] || fail "draw $*"; }
draw; cp "$dir/out" "$dir/first"
draw --batch_size 1; same "a batch of one" first out
draw --batch_size 3 --num_threads 1; same "batches of three, one thread" first out
draw --num_threads 3; same "three threads" first out
draw --seed 42; same "the default seed" first out
draw --seed 43; cmp -s "$dir/first" "$dir/out" && fail "another seed, the same answers"
draw --temperature 0.01 --top_k 1 --num_return_sequences 1; cp "$dir/out" "$dir/first"
draw --do_sample false --num_return_sequences 1; same "the likeliest" first out

# the model's generation_config.json
cp -r "$tiny" "$dir/model"
printf '{"do_sample": false, "max_new_tokens": 4, "num_beams": 3}' >"$dir/model/generation_config.json"
generate --do_sample false --max_new_tokens 4 -- A; cp "$dir/out" "$dir/want"
run text-generation --model "$dir/model" --num_beams 1 A; same "generation_config.json" out want
run text-generation --model "$dir/model" A; expect "beams" 1 'generation_config.json: num_beams .*--num_beams 1$' err
printf '{"temperature": "hot"}' >"$dir/model/generation_config.json"
run text-generation --model "$dir/model" A; expect "a malformed file" 1 'generation_config.json: temperature must be' err

# lengths
generate --do_sample false --max_new_tokens 90 A B; expect "as far as the model reads" 0 generated_text out
[ "$(grep -c 'the model reads 48 tokens' "$dir/err")" = 1 ] || fail "the cut is told once"
long=$(printf 'zq%.0s' {1..60})
generate "$long"; expect "a prompt that leaves no room" 2 'text 1 has [0-9]+ tokens; the model reads 48' err
generate --max_length 2 -- A "In the beginning was"; expect "a prompt beyond max_length" 2 'text 2 has [0-9]+ tokens, and max_length is 2' err

# the command line
run; expect "tasks are listed" 0 '^text-generation ' out
run speech; expect "an unknown task" 2 'no task `speech`; tasks are text-generation' err
run text-generation --help; expect "help of a task" 0 '^  --max_new_tokens' out
run text-generation A; expect "no model" 2 '\-\-model is missing' err
run text-generation --top_p 2 --temperature -1 --top_k x A; expect "every problem in one go" 2 'top_p must be' err
expect "every problem in one go" 2 'temperature must be' err; expect "every problem in one go" 2 'top_k must be' err
generate --num_beams 4 A; expect "no beam search" 2 'num_beams is not something hone has; .*greedy' err
generate --do_sample false --num_return_sequences 2 A; expect "greedy search has one answer" 2 'num_return_sequences 2 needs do_sample' err
generate --max_tokens 3 A; expect "an unknown option" 2 'unknown option `--max_tokens`' err
run text-generation --model "$dir/absent" A; expect "no such model" 1 'absent' err
generate $'\xff'; expect "not UTF-8" 1 'text 1: ' err
generate --json '{"a": 1}'; expect "not a JSON string" 2 'text 1: .*JSON string' err
"$hone" pipeline text-generation --model "$tiny" A >/dev/full 2>"$dir/err"; status=$?; expect "a full stdout" 1 stdout err
exit $((failures > 0))
