# Two commands do everything on a fresh Debian 12 with Rust: `make quickstart` and `make test`.
# Each target sets up what it needs and is quick when all is there. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# A recipe is one script: variables and `set -e` hold from line to line.
.ONESHELL:

PLUGIN := .plugins/xla_cpu_pjrt/xla_cpu_pjrt.so
CUDA_COMPILER := .plugins/xla_cuda13/xla_cuda_plugin.so
PROGRAM := target/release/twinflow-xla
DATASET := datasets/fashion-mnist.h5
RUN ?= runs/quickstart
JAX := .venv-bench
PILLOW := .venv-import
TORCH := .venv-bench-torch

# mpirun refuses to run as root, as in containers, unless it is told twice; two ranks may share one core.
ifeq ($(shell id -u),0)
export OMPI_ALLOW_RUN_AS_ROOT = 1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM = 1
endif
export OMPI_MCA_rmaps_base_oversubscribe = 1

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

.PHONY: setup
setup: packages $(PLUGIN) ## system packages and the CPU plugin, if they are missing

.PHONY: packages
packages:
	@scripts/install-packages build

.PHONY: plugin
plugin: $(PLUGIN) ## OpenXLA's CPU plugin only, into .plugins/ (needs no root)

$(PLUGIN): scripts/install-cpu-plugin scripts/cpu-plugin.txt
	@scripts/install-cpu-plugin

.PHONY: cuda-compiler
cuda-compiler: $(CUDA_COMPILER) ## what compiles for NVIDIA GPUs on a machine without one, into .plugins/ (needs no root)

$(CUDA_COMPILER): scripts/install-cuda-compiler scripts/cuda-compiler.txt
	@scripts/install-cuda-compiler

.PHONY: program
program: setup
	cargo build --release --package twinflow-xla

$(DATASET): | program
	@scripts/install-packages fashion-mnist
	$(PROGRAM) data import --from-debian fashion-mnist --out $@

# Pictures of emoji with captions (scripts/caption_emoji.py says what is held out).
EMOJI := datasets/emoji
$(EMOJI)/training/metadata.jsonl: scripts/fetch-emoji scripts/caption_emoji.py
	@scripts/install-packages emoji
	scripts/fetch-emoji $(EMOJI)
	python3 scripts/caption_emoji.py $(EMOJI)

$(EMOJI)-held-out.h5: $(EMOJI)/training/metadata.jsonl | program
	$(PROGRAM) data import --pictures $(EMOJI)/held-out --resolution 32 --out $@

# The tokenizer comes last, so that a file without one is made anew.
$(EMOJI).h5: $(EMOJI)/training/metadata.jsonl | program
	$(PROGRAM) data import --pictures $(EMOJI)/training --resolution 32 --name emoji --out $@.new
	$(PROGRAM) data tokenizer $@.new --vocabulary 2048
	mv $@.new $@

.PHONY: emoji
emoji: $(EMOJI).h5 $(EMOJI)-held-out.h5 ## a picture of a sentence in one network call, learnt from emoji (35-45 minutes; goes on where it was): docs/emoji.md
	@run=runs/emoji
	if [ -e $$run/config.toml ]; then
	    $(PROGRAM) train --resume $$run
	else
	    $(PROGRAM) train --config configs/emoji.toml --set run.dir=$$run
	fi
	for calls in "1 few" "2 few" "4 any" "30 mul"; do
	    set -- $$calls
	    $(PROGRAM) sample --checkpoint $$run --prompts docs/emoji-prompts.txt --nfe $$1 --style $$2 --out $$run/samples/prompts-$$1.png
	done
	$(PROGRAM) eval --checkpoint $$run --nfe 1,2,4,30,30@2 --out $$run/eval.json
	echo "Ten sentences, one network call each: $$run/samples/prompts-1.png"

.PHONY: quickstart
quickstart: program $(DATASET) ## trains a one-step generator on Fashion-MNIST (5-6 minutes), shows and judges its samples
	@run=$$(scripts/fresh-folder $(RUN))
	mpirun -n 2 $(PROGRAM) train --config configs/quickstart.toml --set run.dir=$$run
	$(PROGRAM) sample --checkpoint $$run --nfe 1 --count 10 --out $$run/samples/quickstart.png
	echo "One network call per picture, a row per class: $$run/samples/quickstart.png"
	$(PROGRAM) eval --checkpoint $$run --nfe 1,2,4,30 --count 100 --out $$run/eval.json
	$(PROGRAM) report $$run >/dev/null

.PHONY: image-free
image-free: program ## one-step points learnt without data in the TwinFlow phase (docs/image-free.md)
	@run=$$(scripts/fresh-folder runs/image-free)
	$(PROGRAM) train --config configs/toy-image-free.toml --set run.dir=$$run
	$(PROGRAM) eval --checkpoint $$run/checkpoints/step-00002000.h5 --count 1000 --out $$run/eval-teacher.json
	$(PROGRAM) eval --checkpoint $$run --count 1000 --out $$run/eval.json
	echo "Points by one network call: $$run/samples/step-00002000.png before, $$run/samples/one-step.png after"

.PHONY: test
test: setup $(CUDA_COMPILER) ## format, lints, documentation, all tests
	@scripts/install-packages fashion-mnist
	@scripts/install-nextest
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	cargo nextest run --workspace --no-fail-fast

.PHONY: docs
docs: setup ## the API documentation, in target/doc
	cargo doc --workspace --no-deps

.PHONY: depth
depth: setup ## compile time and memory of a DiT's step against its depth (docs/depth.md)
	cargo run --release --package twinflow-tests --example depth

.PHONY: bench
bench: program $(JAX)/ready ## step time, start and memory against the same step in plain JAX (docs/bench.md)
	python3 bench/compare.py --program $(PROGRAM) --python $(JAX)/bin/python --out docs/bench.md

# pip is the system's own, so that no package for virtual environments is needed.
$(JAX)/ready: bench/requirements.txt
	@echo "Fetching JAX (135 MB)"
	python3 -m venv --clear --without-pip $(JAX)
	python3 -m pip --python $(JAX)/bin/python install --quiet --require-hashes --only-binary :all: --requirement $<
	touch $@

.PHONY: import-speed
import-speed: program $(PILLOW)/ready ## the import of pictures against a script with Pillow in two processes (docs/import.md)
	$(PILLOW)/bin/python bench/import_speed.py --program $(PROGRAM) --out docs/import.md

$(PILLOW)/ready: bench/import-requirements.txt
	@echo "Fetching Pillow and h5py (30 MB)"
	python3 -m venv --clear --without-pip $(PILLOW)
	python3 -m pip --python $(PILLOW)/bin/python install --quiet --require-hashes --only-binary :all: --requirement $<
	touch $@

.PHONY: bench-sana
bench-sana: setup $(TORCH)/ready ## a SANA-shaped step against diffusers and PyTorch (docs/bench-sana.md)
	cargo build --release --package twinflow-tests --example sana_step
	python3 bench/sana.py --python $(TORCH)/bin/python --out docs/bench-sana.md

$(TORCH)/ready: bench/sana-requirements.txt
	@echo "Fetching PyTorch and diffusers (2 GB)"
	python3 -m venv --clear --without-pip $(TORCH)
	python3 -m pip --python $(TORCH)/bin/python install --quiet --require-hashes --no-deps --only-binary :all: \
	    --requirement $<
	touch $@

.PHONY: gpu-compile
gpu-compile: program $(CUDA_COMPILER) $(DATASET) $(EMOJI).h5 ## every program of every config, compiled for GPUs without one (docs/gpu-memory.md)
	cargo run --release --package twinflow-tests --example gpu_memory -- $(PROGRAM)

.PHONY: portable
portable: ## one self-contained program without MPI, for machines where nothing can be installed (into target/portable/)
	@scripts/build-portable
