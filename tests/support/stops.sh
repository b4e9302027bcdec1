# Runs that are asked to stop, for tests/cli/test_stop*.sh: sourced with the program as $1.
. "$(dirname "${BASH_SOURCE[0]}")/runs.sh"

steps=${steps:-1000} # enough of them that a signal comes in time
keys=(--max_steps "$steps" --logging_steps 100 --save_steps $((steps / 2)) --resume_from_checkpoint true)

unbroken() { # RANKS: to compare with
    train "$1" "whole$1" "${keys[@]}"
    must 0 "unbroken, $1 ranks"
}

# begin RANKS [key value …]: starts the run in the background; $pid is mpirun's, or that of what $through names
through=()
begin() {
    ranks=$1
    shift
    rm -rf "$dir/out"
    command_line "$ranks" out "${keys[@]}" "$@"
    : >"$dir/log"
    "${through[@]}" "${line[@]}" >"$dir/log" 2>&1 </dev/null &
    pid=$!
}
await() { # PATTERN in the log, or the end of the run
    until grep -qE -- "$1" "$dir/log"; do
        kill -0 $pid 2>/dev/null || break
        sleep 0.01
    done
}
ended() { # STATUS NAME: of the run that was begun
    wait $pid
    status=$?
    must "$1" "$2"
}
again() { # NAME: the same command finishes
    "${line[@]}" >"$dir/log" 2>&1 </dev/null
    status=$?
    must 0 "$1, again"
    says "$1, again" "done: $steps steps"
    equal "$1, again: the weights" "$(model out)" "$(model whole$ranks)"
}
await_ready() { # USR1 waits in the process: from then on it asks, before that it kills
    local mask=0
    while [ $((0x$mask & 0x200)) = 0 ] && [ -e "/proc/$1" ]; do
        mask=$(sed -n 's/^SigBlk:[[:space:]]*/0/p' "/proc/$1/status" 2>/dev/null)
    done
}
at_the_first_step() { # SIGNAL RANKS NAME
    begin "$2"
    await 'first step done'
    kill -"$1" $pid
    ended 75 "$3"
    says "$3" "stopped at step [1-9]"
    again "$3"
}
terminal() { # COMMAND …: $status of it, after a Ctrl-C
    : >"$dir/log"
    pid=$BASHPID
    { await 'first step done'; printf '\003'; await 'stopped at'; } |
        script -qec "exec $*" /dev/null >"$dir/log" 2>&1
    status=${PIPESTATUS[1]}
}
