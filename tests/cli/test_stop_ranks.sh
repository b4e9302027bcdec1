#!/bin/bash
# Stopping ranks on request, as test_stop.sh: through mpirun, through one rank, through hone launch. Argument: the path
# of hone.
steps=300
. "$(dirname "$0")/../support/stops.sh"

ranks_of() { pgrep -P "$1" -f 'hone train'; } # MPIRUN
unbroken 2
begin 2 --save_steps 20; await saved; kill -USR1 $pid
ended 75 "USR1 to mpirun, while saving"; says "USR1 to mpirun" "stopped at step [1-9]"
again "USR1 to mpirun, while saving"
begin 2; await 'first step done'; kill -USR1 "$(ranks_of $pid | tail -n 1)"
ended 75 "one of two ranks is asked"
begin 2; await "saved .*checkpoint-$steps"; kill -USR1 $pid 2>/dev/null
ended 0 "at the very end"; equal "at the very end: the weights" "$(model out)" "$(model whole2)"
begin 2
until [ "$(ranks_of $pid | wc -l)" = 2 ]; do sleep 0.01; done
for child in $(ranks_of $pid); do await_ready "$child"; done
kill -USR1 $pid
ended 75 "before the first step"
# SIGTERM, or Ctrl-C where there is a terminal to be had
if command -v script >/dev/null; then
    rm -rf "$dir/out"
    command_line 2 out "${keys[@]}" --max_steps 100000
    terminal "$hone" launch -- "${line[@]}"; must 75 "Ctrl-C to hone launch"; says "hone launch" "stopped at step [1-9]"
else
    through=("$hone" launch --)
    at_the_first_step TERM 2 "TERM to hone launch"
fi
finish
