#!/usr/bin/env bash
# fuzz.sh SECONDS
#
# Runs each fuzz target for so many seconds. Fails if one finds something, or if fuzz/ has no target at all.
set -euo pipefail

seconds=$1
cd "$(dirname "$0")/.."
if [[ ! -e fuzz/Cargo.toml ]]; then
    echo "fuzz: there is no fuzz/Cargo.toml, nothing to run"
    exit 0
fi
scripts/tools.sh cargo-fuzz
mapfile -t targets < <(cargo +nightly fuzz list)
if ((${#targets[@]} == 0)); then
    echo "fuzz: fuzz/ has no targets" >&2
    exit 1
fi
for target in "${targets[@]}"; do
    echo "fuzz: $target for $seconds s"
    cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -print_final_stats=1
done
echo "fuzz: ${#targets[@]} targets, nothing found"
