#!/usr/bin/env bash
# fuzz.sh [SECONDS]
#
# Runs each fuzz target for so many seconds, from the seeds and what earlier runs found. Prints how many inputs each
# executed. Fails if one finds something, if there are no targets, or if one executed no more than its seeds.
set -euo pipefail

# For each target: so many seconds, and at most so many inputs (-1: no bound).
FUZZ_SECONDS=${1:-${FUZZ_SECONDS:-30}}
FUZZ_RUNS=${FUZZ_RUNS:--1}
# An input that takes more seconds than this is a bug, as is one that allocates or needs more megabytes than these.
FUZZ_TIMEOUT=10
FUZZ_MALLOC_MB=64
FUZZ_RSS_MB=2048
# Bytes of the longest input, and of those of one target that are short, so that it runs more of them.
FUZZ_MAX_LEN=2048
declare -A max_len=([protocol]=128)
# What is freed is kept from use for a while: with more than this, megabytes, that is all that a long run is about.
export ASAN_OPTIONS=${ASAN_OPTIONS:-quarantine_size_mb=64}

cd "$(dirname "$0")/.."
fail() {
    echo "fuzz: $*" >&2
    exit 1
}

[[ -e fuzz/Cargo.toml ]] || fail "there is no fuzz/Cargo.toml"
scripts/tools.sh cargo-fuzz
mapfile -t targets < <(cargo +nightly fuzz list)
((${#targets[@]} > 0)) || fail "fuzz/ has no targets"
cargo +nightly fuzz build

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
total=0
summary=()
for target in "${targets[@]}"; do
    mapfile -t seeds < <(find "fuzz/seeds/$target" -type f 2>/dev/null)
    ((${#seeds[@]} > 0)) || fail "$target has no seeds in fuzz/seeds/$target"
    mkdir -p "fuzz/corpus/$target"
    echo "fuzz: $target for $FUZZ_SECONDS s"
    log=$logs/$target
    if ! cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -dict="$PWD/fuzz/shmemo.dict" -max_total_time="$FUZZ_SECONDS" -runs="$FUZZ_RUNS" -max_len="${max_len[$target]:-$FUZZ_MAX_LEN}" \
        -timeout="$FUZZ_TIMEOUT" -malloc_limit_mb="$FUZZ_MALLOC_MB" -rss_limit_mb="$FUZZ_RSS_MB" \
        -print_final_stats=1 >"$log" 2>&1; then
        cat "$log" >&2
        fail "$target found something (fuzz/README.md says how to reproduce it)"
    fi
    executed=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -n 1)
    [[ $executed =~ ^[0-9]+$ ]] || fail "$target does not say how many inputs it executed"
    ((executed > ${#seeds[@]})) || fail "$target executed $executed inputs, which is no more than its seeds"
    total=$((total + executed))
    summary+=("$(printf '%-16s %10d' "$target" "$executed")")
done
echo "fuzz: inputs executed"
printf '  %s\n' "${summary[@]}" "$(printf '%-16s %10d' total "$total")"
echo "fuzz: ${#targets[@]} targets, nothing found"
