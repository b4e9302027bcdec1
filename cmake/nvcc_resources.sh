#!/bin/sh
# nvcc_resources.sh FAMILY OUT COMMAND…: runs COMMAND (nvcc --resource-usage …), writes a line for each kernel to OUT and
# passes on what else it says:
#   FAMILY kernel sm_90 registers=N stack=BYTES spills=BYTES shared=BYTES
set -u
family=$1 out=$2
shift 2
"$@" 2>"$out.log"
status=$?
grep -vE '^ptxas info|^ +[0-9]+ bytes (stack frame|gmem)|^ +Function properties' "$out.log" >&2
if [ $status = 0 ]; then
    awk '
        /Compiling entry function/ { split($0, part, "'"'"'"); name = part[2]; arch = part[4] }
        /bytes stack frame/ { stack = $1; spills = $5 + $9 }
        /Used [0-9]+ registers/ {
            shared = 0
            for (i = 1; i <= NF; i++) if ($i ~ /^smem/) shared = $(i - 2)
            for (i = 1; i <= NF; i++) if ($i == "Used") registers = $(i + 1)
            if (name != "") print name, arch, "registers=" registers, "stack=" stack, "spills=" spills, "shared=" shared
            name = ""
        }' "$out.log" | c++filt | sed -E "s/^(void )?(.*)\([^()]*\) sm_/$family \2 sm_/" | LC_ALL=C sort >"$out"
fi
rm -f "$out.log"
exit $status
