#!/bin/bash
# A conversation from outside: lines of a script and a terminal, the history that later answers see, commands, and what is refused.
# Argument: the path of hone.
set -u
hone=$(realpath "$1")
cd "$(dirname "$0")/../.." || exit 1
dir=$(mktemp -d /tmp/hone-chat-XXXXXX)
trap 'rm -rf "$dir"' EXIT
failures=0
fail() { echo "FAILED: $*"; failures=$((failures + 1)); }
cp -r tests/fixtures/models/llama_grouped "$dir/model"
printf '%s' "{% for m in messages %}{{ m.role[0] }}:{{ m.content }};{% endfor %}{% if add_generation_prompt %}a:{% endif %}" \
    >"$dir/model/chat_template.jinja"
options="--do_sample false --max_new_tokens 4 --num_threads 1"
# chat LINES options: LINES are what printf makes of it
chat() { local lines=$1; shift; printf "$lines" | "$hone" chat --model "$dir/model" $options "$@" >"$dir/out" 2>"$dir/err"; status=${PIPESTATUS[1]}; }
asked() { "$hone" pipeline text-generation --model "$dir/model" $options --json --return_full_text false "$1" 2>/dev/null |
    sed 's/^\[{"generated_text": "\(.*\)"}\]$/\1/'; } # the answer to a list of messages
says() { [ "$status" = "$2" ] && grep -qE -- "$3" "$dir/$4" || { fail "$1: status $status"; head -5 "$dir/out" "$dir/err"; }; }

# each line is answered with all that was said before
chat "Who?\nAnd?\n/save $dir/saved.json\n/reset\nWho?\n"
says "a script" 0 'saved: .*--history' err
first=$(sed -n 1p "$dir/out"); second=$(sed -n 2p "$dir/out"); third=$(sed -n 3p "$dir/out")
[ "$(wc -l <"$dir/out")" = 3 ] || fail "not three answers"
[ "$third" = "$first" ] || fail "after /reset the first question has another answer"
saved=$(tr -d '\n' <"$dir/saved.json" | sed 's/  */ /g')
case $saved in *'"role": "user", "content": "And?"'*) ;; *) fail "what was saved: $saved" ;; esac
grep -q "\"content\": \"$second\"" "$dir/saved.json" || grep -q '\\' "$dir/saved.json" || fail "the answer was not saved"
want=$(asked '[{"role": "user", "content": "Who?"}]')
case $first in *"�"*) ;; *) [ "$want" = "$first" ] || fail "the pipeline says $want, the chat $first" ;; esac
chat 'Go on\n' --history "$dir/saved.json"; says "going on with a history" 0 . out
chat 'Who?\n' --system "Be short."; says "a system message" 0 . out
cmp -s <(sed -n 1p "$dir/out") <(printf '/system Be short.\nWho?\n' | "$hone" chat --model "$dir/model" $options 2>/dev/null) || fail "/system is not --system"
chat 'A\\\nB\n'; says "a joined line" 0 . out
[ "$(wc -l <"$dir/out")" = 1 ] || fail "a joined line has one answer"

# a conversation that becomes too long forgets its oldest turns
chat 'one two three\nfour five six\nseven eight nine\nten eleven\n'; says "a long conversation" 0 'forgotten' err
[ "$(wc -l <"$dir/out")" = 4 ] || fail "a long conversation lost an answer"
chat "$(printf '%0200d' 7)\n"; says "a line beyond the model" 2 'say it shorter' err

# an answer that ends for want of room, of tokens, of time: told; max_length counts the conversation
chat 'one two\n' --max_new_tokens 400;                    says "a full conversation" 0 'as long as the model was made for' err
chat 'one two\n';                                         says "max_new_tokens" 0 'after 4 tokens \(max_new_tokens\)' err
chat 'one two\n' --max_time 1e-9;                         says "max_time" 0 'max_time is over' err
chat 'one two\n' --max_new_tokens null --max_length 8;    says "max_length" 2 'made for 8; say it shorter' err
printf 'x\n' | "$hone" chat --model "$dir/model" $options >/dev/full 2>"$dir/err"; status=$?; says "a full stdout" 1 'stdout: cannot write' err

# refused
chat '/dance\n';                    says "an unknown command" 2 'no command /dance; /help' err
chat 'x\n' --history "$dir/none";   says "no history" 1 'none' err
printf '{}' >"$dir/bad.json"; chat 'x\n' --history "$dir/bad.json"; says "a history that is none" 1 'list of messages' err
chat '' --system a --history b;      says "two beginnings" 2 'give one' err
chat '' --num_beams 3;               says "beams" 2 'num_beams' err
rm "$dir/model/chat_template.jinja"; chat 'x\n'; says "no template" 1 'template' err
cp tests/fixtures/models/llama_grouped/tokenizer_config.json "$dir/model/"

# a terminal has a prompt; Ctrl-C throws a line away, and ends an answer but not the program
if command -v script >/dev/null; then
    printf '{{ messages[-1].content }}:' >"$dir/model/chat_template.jinja"
    sed -i 's/"max_position_embeddings": 48/"max_position_embeddings": 1000000/' "$dir/model/config.json"
    await() { for _ in $(seq 200); do [ "$(cat -v "$dir/log" 2>/dev/null | grep -c -- "$1")" -ge "${2:-1}" ] && return; sleep 0.05; done; fail "no $1 on the terminal"; }
    options="--do_sample false --max_new_tokens 900000 --num_threads 1 --eos_token_id null"
    mkfifo "$dir/keys"
    SHELL=/bin/sh script -qefc "exec $hone chat --model $dir/model $options" "$dir/log" <"$dir/keys" >/dev/null 2>&1 &
    exec 7>"$dir/keys"
    await '> ';         printf 'Thrown away' >&7; sleep 0.1; printf '\003' >&7
    await '\^C';       printf 'Who?\n' >&7; await 'Who?' 1; sleep 0.3; printf '\003' >&7
    await '\^C' 2;     printf '/save %s/stopped.json\n' "$dir" >&7
    await 'saved: ';    printf '/help\n/exit\n' >&7
    exec 7>&-
    wait $! || fail "a terminal: status $?"
    grep -q '/reset' "$dir/log" || { fail "a terminal"; cat -v "$dir/log" | tail -c 2000; }
    grep -q '"Who?"' "$dir/stopped.json" && grep -q assistant "$dir/stopped.json" || fail "an answer that was stopped is not in the conversation"
    grep -q Thrown "$dir/stopped.json" && fail "a line that was thrown away was said"
fi
exit $((failures > 0))
