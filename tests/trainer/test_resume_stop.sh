#!/bin/bash
# Stopping on request: SIGUSR1 through mpirun, SIGTERM and SIGINT to a single process, max_time. The step is saved,
# the reason said, the status is 75, and the same command goes on to the same bits. Argument: the path of hone.
. "$(dirname "$0")/../support/runs.sh"
# Long enough that a signal meets it at work: some seconds, of which few are run.
long="--max_steps 30000 --max_train_samples 2000 --save_steps 50000 --logging_steps 20 --logging_strategy steps"

# started RANKS OUT [key value …]: in the background; returns when it has logged its first steps
started() {
    command_line "$@" $long
    : >"$dir/log" # what the run before said is no beginning: the signal would meet a shell
    env --default-signal=INT "${line[@]}" >"$dir/log" 2>&1 </dev/null & # a shell would have it ignored
    pid=$!
    for _ in $(seq 400); do
        ! grep -q "'loss'" "$dir/log" || return
        sleep 0.02
    done
    fail "it does not begin"
}
ended() { wait $pid; status=$?; }
steps_saved() { ls "$dir/$1" | sed -n 's/^checkpoint-//p'; }

stopped() { # NAME REASON OUT
    must 75 "$1"
    says "$1" "^hone: stopped at step [0-9]+ of 30000 by $2; run the same command with resume_from_checkpoint: true and"
    equal "$1, one checkpoint" "$(steps_saved $3 | wc -l)" 1
    grep -q "stopped at step $(steps_saved $3) of" "$dir/log" || fail "$1: not the step that it says"
    [ ! -e "$dir/$3/model.safetensors" ] || fail "$1: a finished model of a run that is not finished"
    [ ! -e "$dir/$3/.hone.lock" ] || fail "$1: the lock stays"
}

for signal in TERM INT USR1; do
    rm -rf "$dir/one"
    started 1 one; kill -$signal $pid; ended
    says "SIG$signal" "^hone: SIG$signal: stopping after this step and a save"
    stopped "SIG$signal" SIG$signal one
done
first=$(steps_saved one)
started 1 one --resume_from_checkpoint true; kill -USR1 $pid; ended
must 75 "a second stop"
says "a second stop" "resumed from .*/checkpoint-$first at step $first"

# What is saved to go on from has the optimizer, whatever the other checkpoints have.
started 1 only --save_only_model; kill -USR1 $pid; ended
stopped "save_only_model" SIGUSR1 only
first=$(steps_saved only)
train 1 only $long --save_only_model --max_steps $((first + 10)) --resume_from_checkpoint true
must 0 "going on with save_only_model"
says "going on with save_only_model" "resumed from .*/checkpoint-$first at step $first"

started 2 two; kill -USR1 $pid; ended
stopped "USR1 to mpirun" SIGUSR1 two
equal "USR1 to mpirun, said once" "$(grep -c 'stopped at step' "$dir/log")" 1
first=$(steps_saved two)
train 2 two $long --max_steps $((first + 10)) --resume_from_checkpoint true; must 0 "the rest, on two ranks"
says "the rest, on two ranks" "resumed from .*/checkpoint-$first at step $first"

started 1 twice; kill -TERM $pid
kill -TERM $pid 2>/dev/null; ended
case $status in 75 | 143) ;; *) fail "SIGTERM twice: status $status" ;; esac

for ranks in 1 2; do
    for seconds in 0.5 1 2 4 8 16; do # until it gets beyond its start
        rm -rf "$dir/time"
        train $ranks time $long --max_time $seconds
        [ -z "$(steps_saved time)" ] || break
    done
    stopped "max_time on $ranks ranks" max_time time
    says "max_time on $ranks ranks" "max_time is over: stopping after this step and a save"
done

# The same bits: stopped wherever the clock says, each time a little later, until it is done.
short="--max_steps 600 --max_train_samples 200 --save_steps 250 --logging_steps 7"
train 1 whole $short; must 0 "unbroken"
ms=80
for start in $(seq 40); do
    train 1 broken $short --max_time "$((ms / 1000)).$(printf %03d $((ms % 1000)))" --resume_from_checkpoint true
    [ $status = 75 ] || break
    ms=$((ms * 5 / 4))
done
must 0 "in pieces"
[ "$start" -gt 1 ] || fail "it was never stopped"
same "in $start pieces" whole broken
finish
