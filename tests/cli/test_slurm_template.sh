#!/bin/bash
# configs/slurm/train.sbatch with stubs for Slurm's programs: what it starts, what it does with each exit status, and
# that a signal reaches the ranks. (It was tried on a real Slurm; this keeps it from rotting.) Argument: hone, not used.
set -u
template=$(realpath "$(dirname "$0")/../../configs/slurm/train.sbatch")
dir=$(mktemp -d /tmp/hone-slurm-XXXXXX)
trap 'rm -rf "$dir"' EXIT
failures=0
check() {
    [ "$2" = "$3" ] && return
    echo "FAILED: $1: '$2', wanted '$3'"
    cat "$dir/err"
    failures=$((failures + 1))
}
is() {
    grep -qE -- "$2" "$3" && return
    echo "FAILED: $1: no /$2/ in:"
    cat "$3"
    failures=$((failures + 1))
}

# srun and mpirun leave with $RC, or wait for SIGUSR1 (RC=wait); squeue tells $STATE.
mkdir "$dir/bin"
cat >"$dir/bin/srun" <<'STUB'
#!/bin/bash
echo "${0##*/} $*" >>"$LOG"
[ -z "${MAKES:-}" ] || mkdir -p "$MAKES"
[ "$RC" = wait ] || exit "$RC"
trap 'echo USR1 >>"$LOG"; exit 75' USR1
echo >"$LOG.ready"
while [ -e "$LOG.ready" ]; do sleep 0.02; done
STUB
cp "$dir/bin/srun" "$dir/bin/mpirun"
printf '#!/bin/sh\necho "scontrol $*" >>"$LOG"\n' >"$dir/bin/scontrol"
printf '#!/bin/sh\necho "$STATE"\n' >"$dir/bin/squeue"
chmod +x "$dir"/bin/*
export PATH=$dir/bin:$PATH LOG=$dir/log STATE=RUNNING SLURM_JOB_ID=42 SLURM_CPUS_PER_TASK=3
printf 'seed: 1\noutput_dir: "%s/out" # here\n' "$dir" >"$dir/run.yaml"
run() { rm -f "$LOG" "$LOG.ready"; bash "$template" "$@" >"$dir/out.txt" 2>"$dir/err"; status=$?; }
requeues() { grep -c '^scontrol requeue 42$' "$LOG"; }

bash -n "$template"; check "shell syntax" $? 0
grep -qE '^#SBATCH --signal=B:USR1@[0-9]+$' "$template"; check "the signal is asked for" $? 0
grep -qE '^#SBATCH --requeue$' "$template"; check "the job may be requeued" $? 0

RC=0 run "$dir/run.yaml" --seed 2; check "done" $status 0; check "done: not requeued" "$(requeues)" 0
is "the command" \
    "^srun --mpi=pmix --kill-on-bad-exit=1 hone train $dir/run.yaml --seed 2 --resume_from_checkpoint true\$" "$LOG"
LAUNCHER=mpirun RC=0 run "$dir/run.yaml"; check "mpirun" $status 0; is "mpirun" '^mpirun hone train ' "$LOG"
LAUNCHER=x RC=0 run "$dir/run.yaml"; check "another launcher" $status 2
for RC in 1 2 137; do
    RC=$RC run "$dir/run.yaml"; check "status $RC" $status $RC; check "status $RC: not requeued" "$(requeues)" 0
done
RC=75 run "$dir/run.yaml"; check "stopped" $status 75; check "stopped: requeued once" "$(requeues)" 1
RC=75 STATE=COMPLETING run "$dir/run.yaml"; check "cancelled" $status 75
check "cancelled: not requeued" "$(requeues)" 0
RC=0 run; check "no config" $status 2
echo 'seed: 1' >"$dir/none.yaml"
RC=0 run "$dir/none.yaml"; check "no output_dir" $status 2; is "no output_dir" 'no output_dir in .*none.yaml' "$dir/err"
RC=75 run "$dir/none.yaml" --output_dir "$dir/o 2"
check "output_dir of the command line" "$(ls -A "$dir/o 2")" .requeues_without_progress

# a limit on requeues that gain nothing; a new checkpoint starts the count anew
rm -rf "$dir/out"
export MOST_IDLE=2 RC=75
run "$dir/run.yaml"; check "1st without progress" "$(requeues)" 1
run "$dir/run.yaml"; check "2nd without progress" "$(requeues)" 1
MAKES=$dir/out/checkpoint-90 run "$dir/run.yaml"; check "progress" "$(requeues)" 1
MAKES=$dir/out/checkpoint-100 run "$dir/run.yaml"; check "progress, by number and not by name" "$(requeues)" 1
run "$dir/run.yaml"; check "1st again" "$(requeues)" 1
run "$dir/run.yaml"; check "2nd again" "$(requeues)" 1
run "$dir/run.yaml"; check "3rd: not requeued" "$(requeues)" 0; check "3rd: failed" $status 1
is "it says why" 'without a new checkpoint' "$dir/err"
unset MOST_IDLE

# signals reach the child; more than once does no harm
export RC=wait
for signal in USR1 TERM; do
    rm -f "$LOG" "$LOG.ready"
    bash "$template" "$dir/run.yaml" >"$dir/out.txt" 2>"$dir/err" & pid=$!
    while [ ! -e "$LOG.ready" ]; do sleep 0.02; done
    kill -$signal $pid; kill -$signal $pid 2>/dev/null
    wait $pid; check "$signal: status" $? 75
    is "$signal reaches the ranks" '^USR1$' "$LOG"
    [ $signal = USR1 ]; check "$signal: requeued" "$(requeues)" $((1 - $?))
done
[ "$failures" = 0 ] && echo "all passed"
exit $((failures > 0))
