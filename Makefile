# Sluicegate. `make run` shows it at work, `make test` proves it; both fetch what they need.

NEXTEST_VERSION := 0.9.143
DENY_VERSION    := 0.20.2
LOOM            := RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom

SCRIPTS         := .ci/run dist/deb/p* lab/src/machine/boot.sh scripts/*.sh

.PHONY: run world deps build deb test check lint deny loom doctest gate gate-accept bench fuzz help

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' Makefile

run: ## a server on AF_XDP in network namespaces, asked for real (root; DEMO_SECONDS=n ends it)
	@scripts/deps.sh build
	@cargo build --release --package sluicegate
	@target/release/sluicegate demo

world: ## an Internet of its own to play with: a root, good zones and bad ones, Sluicegate resolving in it (root)
	@scripts/deps.sh test
	@scripts/peers.sh
	@cargo build --release --package sluicegate --package sluicegate-lab --bin sluicegate --bin lab-world
	@SLUICEGATE_BIN=$(CURDIR)/target/release/sluicegate target/release/lab-world

deps: ## the Debian packages that building and testing need (root), the peers, and a Debian to install in
	@scripts/deps.sh test
	@scripts/peers.sh
	@scripts/debian.sh
	@scripts/deb.sh --get-tool

build: ## the server, optimised: target/release/sluicegate
	@scripts/deps.sh build
	@cargo build --release --package sluicegate

deb: build ## a Debian package: target/debian/sluicegate_VERSION_ARCHITECTURE.deb
	@scripts/deb.sh

test: ## every test that can run here; what can't says why and counts as skipped
	@scripts/deps.sh test
	@scripts/peers.sh
	@scripts/debian.sh
	@scripts/deb.sh --get-tool
	@$(MAKE) --no-print-directory loom doctest gate
	@scripts/nextest.sh $(NEXTEST_VERSION)

test-vm: ## real NIC drivers, in a virtual machine, ten minutes (VM_SUITE=trixie|bookworm for older kernels)
	@scripts/deps.sh test
	@scripts/peers.sh
	@lab/vm/run --fetch
	@cargo build --workspace --bin sluicegate --test nics --test xdp_path --test steer_table --test vm
	@VM_ALL=1 cargo test --quiet --workspace --test vm -- --nocapture

gate: ## instructions of each step of an answer: none may exceed bench/instructions.txt by more than 3 %
	@cargo run --quiet --profile gate --package sluicegate-inprocess

gate-accept: ## writes bench/instructions.txt anew
	@cargo run --quiet --profile gate --package sluicegate-inprocess -- --write

bench: ## Sluicegate beside its peers, ten minutes (root; BENCH=smoke|quick|full, BENCH_CASES=hits,latency,...)
	@scripts/deps.sh test
	@scripts/peers.sh bench
	@cargo build --release --package sluicegate --package sluicegate-bench
	@cargo run --quiet --release --package sluicegate-bench -- run --effort $${BENCH:-quick} \
	    $${BENCH_CASES:+--cases $$BENCH_CASES}

loom:
	@$(LOOM) cargo test --quiet --release --package sluicegate-xsk --package sluicegate-answer --lib loom

doctest:
	@cargo test --quiet --workspace --doc

check: lint deny ## formatting, lints, documentation, licences and advisories of dependencies

lint:
	@scripts/deps.sh test
	@if command -v shellcheck >/dev/null; then shellcheck install.sh $(SCRIPTS); else echo "lint: no shellcheck here"; fi
	@cargo fmt --all --check
	@cargo clippy --quiet --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps --document-private-items

deny:
	@scripts/deny.sh $(DENY_VERSION)

fuzz: ## each fuzz target for a minute (needs a nightly toolchain and cargo-fuzz)
	@scripts/fuzz.sh 60
