#!/usr/bin/env bash
# tools.sh TOOL...
#
# Installs what is missing of: lint (rustfmt and clippy), nightly, miri (with the nightly), cargo-fuzz (with the
# nightly). Says nothing and asks nobody when all is there.
set -euo pipefail

FUZZ_VERSION=0.13.2

nightly_component() {
    rustup component list --toolchain nightly --installed 2>/dev/null | grep -qE "^$1(-|$)" ||
        rustup component add --toolchain nightly "$1"
}

nightly() {
    rustup run nightly rustc --version >/dev/null 2>&1 || rustup toolchain install nightly --profile minimal
}

for tool in "$@"; do
    case $tool in
    lint)
        cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
        cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
        ;;
    nightly) nightly ;;
    miri)
        nightly
        nightly_component miri
        nightly_component rust-src
        ;;
    cargo-fuzz)
        nightly
        command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --version "$FUZZ_VERSION" --locked
        ;;
    *)
        echo "tools.sh: nothing is known of $tool" >&2
        exit 2
        ;;
    esac
done
