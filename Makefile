# `make demo` shows Checkpoint at work, `make test` checks everything; `make` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

VENV ?= .venv
BIN := $(VENV)/bin
SYSTEM := deploy/system.sh
# What `make demo` and `make test` pass on, for example: make demo ARGS="--seconds 5"
ARGS ?=
BENCH_OUT ?= build/bench
# Tests wait more than they work: several processes take turns at a machine of two cores.
PARALLEL := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -q

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.base ## install what is missing and show the whole path on this machine
	@$(BIN)/checkpoint demo $(ARGS)

.PHONY: test
test: $(VENV)/.tests check ## install what the tests need and check everything but the long tests
	@$(SYSTEM) tests
	@$(SYSTEM) container
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

.PHONY: test-all
test-all: $(VENV)/.tests check ## the same, and the long tests: clusters, faults, disks that are full
	@$(SYSTEM) tests
	@$(SYSTEM) container
	@$(BIN)/python -m pytest $(PARALLEL) -m "" $(ARGS)

.PHONY: check
check: $(VENV)/.dev ## format, lint, types and import rules; changes nothing
	@$(BIN)/ruff format --check --quiet . || { echo "Run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

.PHONY: fast
fast: $(VENV)/.dev ## the tests of a few seconds: no cameras, no container, no browser, no GPU
	@$(BIN)/python -m pytest -m "not slow and not rtsp and not browser and not gpu" $(ARGS)

.PHONY: faults
faults: $(VENV)/.dev ## kill, cut and fill everything on the way of an alert, 20 times each
	@$(SYSTEM) tests
	@$(BIN)/python -m pytest -s -m "" tests/system/test_alert_faults.py --fault-rounds 20 $(ARGS)

.PHONY: bench
bench: $(VENV)/.dev ## measure this machine; nothing else should run (ARGS=--quick: some minutes)
	@$(SYSTEM) tests
	@$(BIN)/python -m benchmarks.run_all --out $(BENCH_OUT) $(ARGS)

.PHONY: screenshots
screenshots: $(VENV)/.dev ## draw the console's pictures in docs/images anew
	@$(SYSTEM) tests
	@$(BIN)/python -m tests.browser.screenshots $(ARGS)

.PHONY: format
format: $(VENV)/.dev ## format, and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: proto
proto: $(VENV)/.proto ## write the gRPC code anew from the .proto files
	@PYTHON=$(abspath $(VENV)/proto/bin/python) sh proto/generate.sh

.PHONY: proto-baseline
proto-baseline: $(VENV)/.dev ## let others rely on alerts.proto as it is now
	@$(BIN)/python -m tests.support.proto_compatibility renew

.PHONY: clean
clean: ## remove the virtual environment, caches and build outputs
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(SYSTEM) venv
	@python=$$($(SYSTEM) python); echo "Making $(VENV) with $$($$python --version)"; \
		$$python -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The stamps tell what was installed, and from which pyproject.toml.
$(VENV)/.base: pyproject.toml | $(BIN)/python
	@$(SYSTEM) runtime
	@echo "Installing Checkpoint into $(VENV): about 300 MB of Python packages, a minute or so"
	@$(PIP) install -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@$(SYSTEM) runtime
	@echo "Installing Checkpoint and its test tools into $(VENV): a minute or so"
	@$(PIP) install -e '.[dev,cluster]'
	@touch $@ $(VENV)/.base

# PaddleOCR's runner pins another OpenCV, whose cv2 would replace ours: ours is put back.
$(VENV)/.paddleocr: $(VENV)/.dev
	@echo "Installing PaddleOCR for its tests: about 170 MB, a minute or so"
	@$(PIP) install -e '.[dev,cluster,paddleocr]' onnx
	@$(PIP) install --force-reinstall --no-deps 'opencv-python>=4.11,<6'
	@touch $@

# What not every machine can have: the tests of it skip there. torch for the CPU, because what comes
# without that word may bring CUDA, gigabytes of it; for its tests a processor will do.
$(VENV)/.tests: $(VENV)/.paddleocr
	@echo "Installing torch for the CPU and the generator of the gRPC code: about 250 MB, half a minute"
	@$(PIP) install 'torch==2.13.0+cpu' 'torchvision==0.28.0' 'ultralytics>=8.4,<9' || \
		echo "There is no torch for the CPU here: tests of the GPU's path on a CPU are skipped"
	@$(MAKE) $(VENV)/.proto || echo "The text of the generated gRPC code is not compared"
	@touch $@

# The generator in an environment of its own: proto/generate.sh says why it is an old one.
$(VENV)/.proto: | $(BIN)/python
	@$(BIN)/python -m venv $(VENV)/proto
	@$(VENV)/proto/bin/python -m pip --disable-pip-version-check -q install --only-binary :all: grpcio-tools==1.73.1
	@touch $@
