# The commands of the house; CI calls the same ones. `make help` lists them.
.SHELLFLAGS := -eu -o pipefail -c
SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Where cargo builds to, whether by default, CARGO_TARGET_DIR or a config file.
TARGET = $(shell cargo metadata --no-deps --offline --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
WEIR = $(TARGET)/release/weir

.PHONY: help setup build run demo samples test lint audit bench soak cross install clean

help: ## Show this list
	@echo "Weir: make COMMAND"
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r name what; do printf '  %-8s  %s\n' "$$name" "$$what"; done

run: build samples ## Install what is missing, build, start the gateway and submit a few sample media to it
	@scripts/run.sh "$(WEIR)" samples

demo: build samples ## Postgres, a broker, a hub and three boxes on this machine, with sample traffic
	@scripts/setup.sh scripts/packages-test.txt
	@scripts/demo.sh "$(TARGET)/release" samples

test: setup ## Install what is missing and run every test
	@scripts/test.sh

setup: ## Install what is missing: packages, ONNX Runtime (each step says what it does)
	@scripts/setup.sh

build: setup ## Build every binary (one profile everywhere: release)
	@cargo build --release --locked --workspace
	@ln -sfn "$(CURDIR)/.weir/lib/libonnxruntime.so" "$(TARGET)/release/libonnxruntime.so"

samples: build ## Make the sample media and their bank file in samples/
	@"$(TARGET)/release/weir-samples" samples

lint: setup ## Format, clippy, docs, dependencies (bans, licences, sources, unused)
	@scripts/lint.sh

audit: ## Known vulnerabilities of the dependencies; says so when their list cannot be reached
	@scripts/audit.sh

bench: build ## Measure under load, and against the Python peer side by side (about 40 minutes)
	@scripts/bench.sh "$(WEIR)"

soak: build ## 100 rounds of kills and power cuts, then ten minutes at 80 % load (SOAK_SECONDS, KILL_ROUNDS: shorter)
	@KILL_ROUNDS=$${KILL_ROUNDS:-100} cargo test --release --locked --workspace --test kill -- --nocapture
	@"$(TARGET)/release/weir-load" soak

cross: ## Build for aarch64 (Jetson) on a PC: by cross, or with Debian's compiler and a sysroot
	@scripts/cross.sh

install: build ## Put binaries, units and documents below $$(DESTDIR)$$(PREFIX), by default /usr
	@scripts/install.sh "$(TARGET)/release"

clean: ## Remove what was built, samples and bench files (downloads in .weir stay)
	@cargo clean
	@rm -rf samples .bench
