#!/bin/sh
# Runs benchmarks and writes bench/results/*.json: about an hour on two cores.
# Arguments are names of benchmarks; without any, all run: bench/run.sh query mcp_start
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- index_stdlib query hop mcp_start mcp_calls embed engines lexical search under_fire growth filtered \
    scaling simulate small_change chunking reindex

.venv/bin/uv venv --quiet --allow-existing --python .venv/bin/python .venv-bench
.venv/bin/uv pip install --quiet --python .venv-bench/bin/python -r bench/peers.txt

for name in "$@"; do
    .venv/bin/python "bench/$name.py"
    [ "$name" != growth ] || .venv-bench/bin/python bench/plot_growth.py
done
