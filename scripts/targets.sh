#!/usr/bin/env bash
# Checks that the crate builds for the targets that it says it runs on and with the Rust that it says is enough, and that
# everywhere else the compiler says one sentence and nothing more. Installs what is missing.
set -euo pipefail

RUNS_ON=(x86_64-unknown-linux-musl aarch64-unknown-linux-gnu riscv64gc-unknown-linux-gnu)
# 32 bits; another system; another order of bytes.
REFUSED=(i686-unknown-linux-gnu aarch64-apple-darwin powerpc64-unknown-linux-gnu)
SENTENCE='error: shmemo runs on 64-bit little-endian Linux only'

cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never
rust=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)

check() {
    cargo "$@" check --quiet --package shmemo --lib --target-dir target/targets
}

for target in "${RUNS_ON[@]}" "${REFUSED[@]}"; do
    rustup target list --installed | grep -qx "$target" || rustup target add "$target"
done
rustup run "$rust" rustc --version >/dev/null 2>&1 || rustup toolchain install "$rust" --profile minimal

for target in "${RUNS_ON[@]}"; do
    CARGO_BUILD_TARGET=$target check
    echo "$target: builds"
done
for target in "${REFUSED[@]}"; do
    if said=$(CARGO_BUILD_TARGET=$target check 2>&1); then
        echo "$target: should be refused, and builds" >&2
        exit 1
    fi
    errors=$(grep '^error' <<<"$said" | grep -v '^error: could not compile' || true)
    if [[ $errors != "$SENTENCE"* || $(wc -l <<<"$errors") != 1 ]]; then
        printf '%s: refused by other words than one sentence:\n%s\n' "$target" "$said" >&2
        exit 1
    fi
    echo "$target: refused"
done
check "+$rust"
echo "Rust $rust: builds"
