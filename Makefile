# make demo     set up, and run the main job on an embedded task
# make demo-loop  set up, and show a version that is retrained when what it is asked changes
# make test     set up, and run every test that this machine can run
# make check    style, types, imports and the fast tests
# make label-studio  the annotation server that one of the tests talks to, in an environment of its own (1 GB)
# make test-full  the long counts, the real-data chain and the benchmarks as well
# make modal-smoke  the tiny run on your Modal account, on CPUs, for cents
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-loop label-studio test check test-full modal-smoke fast docs clean

# Compiled bytecode is kept: without it every test worker compiles each library again.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Where the CPU build of torch comes from; where this index cannot be reached, pip's own configuration decides.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-input
MAIN := pipeline/environments/main.cpu.txt
SERVE := pipeline/environments/serve-vllm.cpu.txt
LEGACY := pipeline/environments/optimize-legacy.cpu.txt
DEMO := hone-demo
LOOP := hone-loop
CLIENT := .venv-client
LABEL_STUDIO := .venv-label-studio
FAST := $(BIN)/python -m pytest -q -n 2 --dist loadfile

help:
	@grep '^# make' Makefile | sed 's/^# //'

$(VENV)/.python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "hone's pinned environments need Python 3.11; install it, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

# torch first, as the CPU build: everything that needs it then finds it in place.
$(VENV)/.main: $(VENV)/.python $(MAIN)
	@echo "setting up the main environment (about 2.5 GB)"
	$(PIP) --no-deps --timeout 10 --retries 0 --index-url $(TORCH_INDEX) "$$(grep '^torch==' $(MAIN))" || \
	  { echo "PyTorch's index cannot be reached; taking torch from where pip looks"; $(PIP) --no-deps "$$(grep '^torch==' $(MAIN))"; }
	$(PIP) --no-deps -r $(MAIN)
	@touch $@

$(VENV)/.hone: $(VENV)/.main pyproject.toml
	$(PIP) --quiet --no-deps --editable .
	@touch $@

$(VENV)/.serve: $(VENV)/.hone $(SERVE)
	$(BIN)/hone env create serve-vllm
	@touch $@

$(VENV)/.legacy: $(VENV)/.hone $(LEGACY)
	$(BIN)/hone env create optimize-legacy
	@touch $@

$(VENV)/.dev: $(VENV)/.hone tests/requirements.txt
	$(PIP) --quiet --no-deps -r tests/requirements.txt
	@touch $@

setup: $(VENV)/.serve $(VENV)/.legacy $(VENV)/.dev

demo: $(VENV)/.serve
	$(BIN)/hone demo $(DEMO)

# From the beginning each time: the story has one end.
demo-loop: $(VENV)/.serve
	rm -rf $(LOOP)
	$(BIN)/python -m local_runner.demo.loop $(LOOP)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(FAST)

fast: $(VENV)/.dev
	$(FAST)

test: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(FAST)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "(slow or vllm or legacy or real_data or modal) and not full" --durations=15

# benchmarks.all carries the chain on real data out, too
test-full: test
	$(BIN)/python -m pytest -m "full and not real_data" --durations=10
	$(BIN)/python -m pytest tests/train -m "full and real_data" --durations=10
	$(BIN)/python -m benchmarks.all --out docs/results.md

# A test finds it here, and is skipped where it is not.
$(LABEL_STUDIO)/.ready: tests/label-studio.txt
	"$(PYTHON)" -m venv $(LABEL_STUDIO)
	$(LABEL_STUDIO)/bin/python -m pip install --disable-pip-version-check --no-input --quiet --no-deps -r tests/label-studio.txt
	@touch $@

label-studio: $(LABEL_STUDIO)/.ready

# What a user of Modal installs, without machine learning.
$(CLIENT)/.ready: pyproject.toml
	"$(PYTHON)" -m venv $(CLIENT)
	$(CLIENT)/bin/python -m pip install --disable-pip-version-check --no-input --quiet --editable .
	@touch $@

# A version that its gate refuses (exit code 10) is an answer, too: this shows that everything runs.
modal-smoke: export HONE_MODAL_APP = hone-smoke
modal-smoke: export HONE_MODAL_DEVICE = cpu
modal-smoke: $(CLIENT)/.ready
	code=0; $(CLIENT)/bin/hone run examples/smoke.yaml --on modal --yes --max-cost 0.5 || code=$$?; \
	  $(CLIENT)/bin/python -P -m modal run -m modal_app.main::down; \
	  [ $$code -eq 10 ] || exit $$code

docs: demo $(VENV)/.dev
	$(BIN)/python docs/generate_commands.py
	$(BIN)/python -m benchmarks.readme $(DEMO)
	$(BIN)/python docs/generate_screenshots.py $(DEMO)

clean:
	rm -rf $(DEMO) $(LOOP) .hone .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
