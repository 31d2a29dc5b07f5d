#!/usr/bin/env bash
# miri.sh
#
# The core on heap memory under Miri, in two processes at once: an interpreted program uses one processor. What one of
# them tests, the other leaves out.
set -euo pipefail

FILTERS=(protocol:: memory:: layout:: hash::)
FIRST=(protocol::tests::alone:: protocol::tests::words:: protocol::tests::rotten::)

export MIRIFLAGS="-Zmiri-disable-isolation"
miri() {
    cargo +nightly miri test --package shmemo --lib -- "$@"
}

# Built once, not by both.
miri --list "${FILTERS[@]}" >/dev/null

skip=()
for filter in "${FIRST[@]}"; do
    skip+=(--skip "$filter")
done
# In a shell of its own: of a pipeline that has ended, `wait` gives the status of its last command only.
(miri "${FIRST[@]}" 2>&1 | sed -u 's/^/[1] /') &
first=$!
status=0
miri "${FILTERS[@]}" "${skip[@]}" 2>&1 | sed -u 's/^/[2] /' || status=$?
wait "$first" || status=$?
exit "$status"
