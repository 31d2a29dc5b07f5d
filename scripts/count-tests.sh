#!/usr/bin/env bash
# count-tests.sh STEP COMMAND...
#
# Runs a command that runs Rust tests, or pytest with -q, shows its output, and keeps it as target/ci/STEP.log. Adds up
# what the tests say of themselves, and writes "PASSED FAILED" to target/ci/STEP.count. Fails if the command does, if a test failed, or if
# no test ran at all: a filter that matches nothing is no success.
set -uo pipefail

step=$1
shift
results="$(dirname "$0")/../target/ci"
mkdir -p "$results"
log="$results/$step.log"

"$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

# Cargo: "test result: ok. 3 passed; 0 failed; ...". pytest: "1 failed, 2 passed, 1 error in 0.12s".
read -r passed failed < <(
    {
        grep -oE '[0-9]+ passed; [0-9]+ failed' "$log"
        grep -E '^[0-9]+ (passed|failed|error|skipped|xfailed|xpassed|warning).* in [0-9.]+s' "$log" | tr -d ,
    } | awk '{
        for (i = 1; i < NF; i++) {
            if ($(i + 1) ~ /^passed/) passed += $i
            if ($(i + 1) ~ /^(failed|errors?)$/) failed += $i
        }
    } END { print passed + 0, failed + 0 }'
)
echo "$passed $failed" >"$results/$step.count"
echo "$step: $passed passed, $failed failed"

if ((status != 0)); then
    echo "$step: the command failed with code $status" >&2
    exit "$status"
fi
if ((failed > 0)); then
    exit 1
fi
if ((passed == 0)); then
    echo "$step: no test ran" >&2
    exit 1
fi
