#!/usr/bin/env bash
# Makes .venv-vllm, where the vLLM engine runs on CPU: `make test-vllm` calls it.
# torch comes by pip, whose configuration may name a folder with its CPU build; PyPI's own, with the
# libraries of GPUs, works too and is larger.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=$PWD/.venv/bin/uv
python=.venv-vllm/bin/python

[ -x "$python" ] || "${PYTHON:-python3}" -m venv .venv-vllm
"$python" -m pip install --quiet --quiet --disable-pip-version-check torch==2.13.0
"$uv" pip install --quiet --python "$python" --no-deps --require-hashes -r tests/vllm/requirements.lock
"$uv" pip install --quiet --python "$python" --no-deps --no-build-isolation --editable .
