#!/bin/bash
# `hone launch`: signals become SIGUSR1, statuses are handed on, failures restart. A shell script plays mpirun. Argument: hone.
set -u
hone=$(realpath "$1")
[ -x "$hone" ] || { echo "no program at $1"; exit 1; }
dir=$(mktemp -d /tmp/hone-launch-XXXXXX)
trap 'rm -rf "$dir"' EXIT
failures=0
check() { if [ "$2" != "$3" ]; then echo "FAILED: $1: $2, wanted $3"; cat "$dir/err"; failures=$((failures + 1)); fi; }

"$hone" launch -- true 2>"$dir/err"; check "success" $? 0
"$hone" launch -- sh -c 'exit 3' 2>"$dir/err"; check "failure" $? 1
grep -q 'ended with status 3' "$dir/err"; check "its status is told" $? 0
"$hone" launch -- sh -c 'exit 75' 2>"$dir/err"; check "stopped on request" $? 75
"$hone" launch --max_restarts 5 -- sh -c "echo >>$dir/usage; exit 2" 2>"$dir/err"; check "a wrong config" $? 2
check "a wrong config is not tried again" "$(wc -l <"$dir/usage")" 1
"$hone" launch -- /no/such/program 2>"$dir/err"; check "no such program" $? 2
"$hone" launch 2>"$dir/err"; check "no command" $? 2
"$hone" launch --max_restarts x -- true 2>"$dir/err"; check "a wrong option" $? 2

# fails twice, then succeeds
cat >"$dir/thrice" <<'END'
echo >>"$1"
[ "$(wc -l <"$1")" -ge 3 ]
END
"$hone" launch --max_restarts 1 --restart_delay 0 -- sh "$dir/thrice" "$dir/count1" 2>"$dir/err"; check "too few restarts" $? 1
"$hone" launch --max_restarts 2 --restart_delay 0 -- sh "$dir/thrice" "$dir/count2" 2>"$dir/err"; check "enough restarts" $? 0

# between two starts USR2 has nobody to go to, and TERM stops
for signal in USR2:1 TERM:75; do
    "$hone" launch --max_restarts 1 --restart_delay 1 -- false 2>"$dir/err" & pid=$!
    while ! grep -q 'restart 1 of 1' "$dir/err"; do sleep 0.02; done
    kill -${signal%:*} $pid; wait $pid; check "${signal%:*} between two starts" $? ${signal#*:}
done

# saves on USR1; a TERM would end it with 143
cat >"$dir/saves" <<'END'
trap 'echo saved >"$1"; exit 75' USR1
echo >"$1.ready"
while :; do sleep 0.05; done
END
for signal in TERM INT HUP USR1; do
    "$hone" launch -- bash "$dir/saves" "$dir/$signal" 2>"$dir/err" & pid=$!
    while [ ! -e "$dir/$signal.ready" ]; do sleep 0.05; done
    kill -$signal $pid; wait $pid; check "$signal saves" $? 75
    check "$signal reached the run" "$(cat "$dir/$signal" 2>/dev/null)" saved
done

# mpirun is told to notice a lost host, unless the user has told it something else
OMPI_MCA_oob_tcp_keepalive_intvl=7 "$hone" launch -- sh -c 'env | grep keepalive | sort' >"$dir/out" 2>"$dir/err"
check "keep-alives" "$(sed 's/.*keepalive_//' "$dir/out" | paste -sd' ')" "intvl=7 probes=5 time=10"

# asked before it listens for USR1: nothing was lost
"$hone" launch -- sh -c "echo >$dir/early.ready; exec sleep 10" 2>"$dir/err" & pid=$!
while [ ! -e "$dir/early.ready" ]; do sleep 0.05; done
kill -TERM $pid; wait $pid; check "asked before the run began" $? 75

# deaf to USR1: ended after the grace
cat >"$dir/deaf" <<'END'
trap '' USR1
echo >"$1.ready"
while :; do sleep 0.05; done
END
"$hone" launch --grace 0.3 --max_restarts 3 -- bash "$dir/deaf" "$dir/deaf" 2>"$dir/err" & pid=$!
while [ ! -e "$dir/deaf.ready" ]; do sleep 0.05; done
kill -TERM $pid; wait $pid; check "a deaf run is ended, and not started again" $? 1
exit $((failures > 0))
