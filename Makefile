# Two commands do everything: `make demo` and `make test`. Both prepare the environment first.

VENV := .venv
PYTEST := $(VENV)/bin/python -m pytest
# Processes of `make test`; the tests of a file run in one of them, one after the other.
WORKERS ?= 2
# More arguments for rayboot or pytest: make demo ARGS="--out runs/second", make test ARGS="-k crop".
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help env demo test slow-test gpu-test gpu-check stack stack-test chaos-test lint audit licences schemas docs reference notebooks format clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | expand -t 12

env:  ## the environment in .venv, system libraries for EGL included; instant when up to date
	@bash infra/install.sh

demo: env  ## one whole bootstrap round on this machine; ends with the report's path
	@$(VENV)/bin/rayboot demo $(ARGS)

test: env  ## the test suite
	@$(PYTEST) -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

slow-test: env  ## the tests that take minutes
	@$(PYTEST) -m "slow and not gpu" $(ARGS)

gpu-test: env  ## the tests that need a CUDA GPU
	@$(PYTEST) -m gpu $(ARGS)

gpu-check: env  ## checks and measures this machine's GPU, in 8 minutes at most
	@[ -d runs/gpu-check-faces/truth ] || $(VENV)/bin/rayboot synthesize \
		--config configs/synthesize-gpu-check.yaml --output runs/gpu-check-faces
	@$(VENV)/bin/rayboot doctor --gpu $(ARGS)

stack: env  ## a cluster on this machine: Ray, S3, MLflow, Prometheus; ends with Ctrl-C
	@$(VENV)/bin/python -m infra.stack $(ARGS)

stack-test: env  ## a small round as a job in such a cluster; minutes
	@$(PYTEST) -m stack tests/stack $(ARGS)

chaos-test: env  ## nodes, services and disks lost in such a cluster; a quarter of an hour or more
	@$(PYTEST) -m chaos tests/chaos $(ARGS)

lint: env  ## style and types
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

audit: env  ## known vulnerabilities of the locked versions, where a service answers
	@$(VENV)/bin/python -m infra.supply.audit

licences: env  ## writes docs/reference/licences.md from what is installed
	@$(VENV)/bin/python -m infra.supply.licences

schemas: env  ## writes configs/schemas, the JSON Schema of the config of each command
	@for task in evaluate finetune generate pretrain reconstruct robustness round serve synthesize; do \
		$(VENV)/bin/rayboot schema $$task > configs/schemas/$$task.json || exit 1; done

docs: env  ## the documentation's site in build/site; a warning is an error
	@$(VENV)/bin/python -m infra.docs
	@echo build/site/index.html

reference: env  ## writes the pages of docs/reference that are made from the code
	@$(VENV)/bin/python -m infra.docs.reference

notebooks: env  ## executes docs/notebooks and stores their outputs; minutes
	@$(VENV)/bin/python -m infra.docs.notebooks

format: env  ## rewrites the layout of the code
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

clean:  ## removes the environment and caches, never data or runs
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
