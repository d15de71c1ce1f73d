# Everything a developer or CI runs. Needs git, make and Python 3.11 or 3.12; `make help` lists the targets.

VENV        := .venv
BIN         := $(VENV)/bin
CONSTRAINTS ?= constraints.txt
STAMP       := $(VENV)/installed-with-$(notdir $(CONSTRAINTS))
WORKERS     ?= 2
PYTEST_ARGS ?=
SEED        ?= $(shell date +%Y%m%d)
PYTHON      ?=
TORCH_INDEX ?=

CANDIDATES  := $(if $(PYTHON),$(PYTHON),python3 python3.12 python3.11)
SUPPORTED   := import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
CACHES      := .jax_cache .hypothesis .pytest_cache .ruff_cache build dist

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup parity test lint pytest explore format clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'PYTHON=/path/to/python3.12   the interpreter .venv is made with (default: the first of $(CANDIDATES) that fits)'
	@echo 'TORCH_INDEX=URL              a further package index, e.g. https://download.pytorch.org/whl/cpu for a CPU-only torch'
	@echo 'CONSTRAINTS=FILE             other versions than those of constraints.txt'
	@echo 'PYTEST_ARGS="-k words"       further arguments for pytest; WORKERS=N sets its processes'

setup: $(STAMP) ## make .venv and install everything; nothing to do where it is up to date

# The stamp is touched last, so an interrupted install is done again; installing with another constraints file voids it.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	@if ! { $(BIN)/python -c '$(SUPPORTED)' && $(BIN)/python -m pip --version; } >/dev/null 2>&1; then \
	  rm -rf $(VENV); found=; \
	  for python in $(CANDIDATES); do \
	    if "$$python" -c '$(SUPPORTED)' >/dev/null 2>&1; then found=$$python; break; fi; \
	  done; \
	  if [ -z "$$found" ]; then \
	    echo 'make: no Python 3.11 or 3.12 with the venv module among: $(CANDIDATES)' >&2; \
	    for python in $(CANDIDATES); do \
	      echo "make:   $$python is $$("$$python" --version 2>&1 | head -n 1)" >&2; \
	    done; \
	    echo 'make: install one, or name it: make setup PYTHON=/path/to/python3.12' >&2; exit 1; \
	  fi; \
	  echo "make: $(VENV) is made with $$found, $$("$$found" --version)"; \
	  "$$found" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
	fi
	$(BIN)/python -m pip install $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c $(CONSTRAINTS) -e '.[dev]'
	@rm -f $(VENV)/installed-with-*
	@touch $@

parity: setup ## the demonstration: train TiDHy in torch, convert its checkpoint, prove the JAX ports, print the report
	$(BIN)/python -m models.tidhy.demo

test: lint pytest ## what CI runs: format, lint, types, tests, doctests

lint: setup ## format, lint and types, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m pyright

pytest: setup ## tests and doctests, with the draws of CI
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --hypothesis-profile=ci $(PYTEST_ARGS)

explore: setup ## tests with fresh and many more draws; SEED= names those of the pairs
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --hypothesis-profile=explore \
	  --parity-examples=200 --parity-seed=$(SEED) $(PYTEST_ARGS)

format: setup ## rewrite the files as `make lint` wants them, as far as ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove caches and builds
	rm -rf $(CACHES) *.egg-info
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## remove .venv too
	rm -rf $(VENV)
