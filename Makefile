# All that is done with this repository. `make` alone lists it.
#
# Wanted on the machine: Linux, rustup with a stable toolchain, a C compiler, Python from 3.11 on. Everything else is
# installed when it is first needed: rustfmt, clippy, the oldest toolchain that is enough, the standard library of a few other
# targets, a nightly toolchain with Miri, cargo-fuzz.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

COUNT := scripts/count-tests.sh
# The steps of `make test`: what fails soonest comes first.
STEPS := lint targets unit python fault demo-smoke model miri fuzz-short

# Seconds that each fuzz target gets in `fuzz-short` and in `soak`.
FUZZ_SECONDS ?= 30
SOAK_FUZZ_SECONDS ?= 900
# How often `soak` repeats the tests.
SOAK_ROUNDS ?= 10
# More options of the demos, say DEMO="--workers 8".
DEMO ?=

FAULT := RUSTFLAGS="--cfg shmemo_fault" $(COUNT) fault cargo test --package fault-tests --release --target-dir target/fault

.PHONY: help demo demo-rust demo-smoke test lint targets unit python fault model miri fuzz-short soak bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: ## the main job, in Python: a neural model in several processes, without, with private and with one shared cache
	scripts/demo.sh $(DEMO)

demo-rust: ## the same in Rust, with a language detector, one of whose workers is killed
	cargo run --release --package shmemo-demo -- $(DEMO)

demo-smoke: ## both on a few lines
	scripts/demo.sh --lines 400
	cargo run --release --package shmemo-demo -- --lines 3000

test: ## everything that must pass: lint, targets, unit, python, fault, demo-smoke, model, miri, fuzz-short
	@mkdir -p target/ci && : >target/ci/steps
	@for step in $(STEPS); do \
	    echo "=== $$step"; begin=$$SECONDS; result=ok; \
	    $(MAKE) --no-print-directory $$step || result=FAILED; \
	    echo "$$step $$result $$((SECONDS - begin))" >>target/ci/steps; \
	    if [[ $$result != ok ]]; then echo "=== $$step failed" >&2; exit 1; fi; \
	done

lint: ## formatting, clippy and the documentation, warnings denied
	scripts/tools.sh lint
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTFLAGS="--cfg shmemo_fault -D warnings" cargo clippy --package fault-tests --all-targets --target-dir target/fault
	RUSTFLAGS="--cfg shmemo_model -D warnings" cargo clippy --package loom-tests --all-targets --target-dir target/model
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --manifest-path fuzz/Cargo.toml --all-targets --target-dir target/fuzz-lint -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace

targets: ## that it builds where it says it runs, from the Rust on that it says, and is refused elsewhere
	scripts/targets.sh

unit: ## unit tests, tests with real processes, and the examples in the documentation
	$(COUNT) unit cargo test --workspace

python: ## the Python package, installed and tested with two Python versions
	$(COUNT) python scripts/python.sh

fault: ## processes that die or stop at every step of every operation
	$(FAULT)

model: ## the protocols under the model checker, and the mutants that it must catch
	RUSTFLAGS="--cfg shmemo_model" $(COUNT) model cargo test --package loom-tests --release --target-dir target/model

miri: ## the core on heap memory under Miri
	scripts/tools.sh miri
	$(COUNT) miri scripts/miri.sh

fuzz-short: ## each fuzz target for FUZZ_SECONDS (30)
	scripts/fuzz.sh $(FUZZ_SECONDS)

soak: ## the long forms: tests of deaths and traffic at length, SOAK_ROUNDS (10) times, and fuzzing for SOAK_FUZZ_SECONDS (900) each
	for ((round = 1; round <= $(SOAK_ROUNDS); round++)); do \
	    echo "=== soak: round $$round of $(SOAK_ROUNDS)"; \
	    SHMEMO_LONG=1 $(COUNT) soak cargo test --release --package shmemo --lib --tests; \
	done
	SHMEMO_LONG=1 $(FAULT)
	$(MAKE) --no-print-directory model
	scripts/fuzz.sh $(SOAK_FUZZ_SECONDS)

bench: ## the benchmarks
	cargo bench --package shmemo

clean: ## removes what was built
	cargo clean
	rm -rf fuzz/target
