#!/bin/sh
# Starts Shoal's MCP server over stdio with its memory limited; for the settings of MCP hosts.
#
#   SHOAL_MCP_MEMORY_MB=512   limit of this process in MiB; 0 for none
#
# This process holds no model and no index: they live in the gateway, which the first tool call
# finds or starts, and which has limits of its own. All settings in SHOAL_… reach both; for
# memory, see SHOAL_OBJECT_STORE_BYTES, SHOAL_KEEP_ALIVE_S, SHOAL_EMBEDDERS and SHOAL_HOSTS in
# `shoal config`. Stdout carries MCP and nothing else.

set -eu

fail() {
    echo "start-mcp-server: $1" >&2
    exit "$2"
}

limit=${SHOAL_MCP_MEMORY_MB:-512}
case $limit in
    '' | *[!0-9]*) fail "SHOAL_MCP_MEMORY_MB is '$limit', not a whole number of MiB" 2 ;;
esac
if [ "$limit" -gt 0 ]; then
    # A soft limit on data, which the gateway lifts for itself. POSIX does not have -d, but dash,
    # bash, ksh, zsh and BusyBox do; where a system has no such limit, there is none.
    # shellcheck disable=SC3045
    ulimit -S -d "$((limit * 1024))" 2>/dev/null ||
        echo "start-mcp-server: no memory limit can be set on this system" >&2
fi

# glibc keeps freed memory for each of up to eight arenas per core; two are enough here.
MALLOC_ARENA_MAX=${MALLOC_ARENA_MAX:-2}
export MALLOC_ARENA_MAX

project=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
if [ -x "$project/.venv/bin/shoal" ]; then
    exec "$project/.venv/bin/shoal" mcp "$@"
elif command -v shoal >/dev/null; then
    exec shoal mcp "$@"
fi
fail "shoal is not installed: neither in $project/.venv nor on PATH; try 'pip install shoal'" 127
