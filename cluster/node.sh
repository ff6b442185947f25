#!/usr/bin/env bash
# One machine of a cluster that `ray up` makes. It lies in ~/.shoal/bundle there, and is called by
# the commands in local.yaml, aws.yaml and gcp.yaml; docs/cluster.md tells when.
#
#   node.sh install NAME=VALUE...  install Shoal from what lies beside this file, and keep the settings;
#                                  with SHOAL_GPU_EXTRA=vllm, that as well where there is a GPU
#   node.sh ray ARGUMENT...        Ray's own command, with what this cluster's Ray takes
#   node.sh serve MACHINES         on the head: run the gateway; ends once it serves and all have joined
#   node.sh restart                start again what ran here last, as after a power cut
#   node.sh stop                   end all of that, whether or not it runs
set -euo pipefail

bundle=$(cd "$(dirname "$0")" && pwd)
home=$(dirname "$bundle")
gateway_port=8750
# A machine that does not answer for 3 s is lost, and what ran there starts elsewhere; a process
# that has nothing to do is kept for 10 s, for the next block of a batch job.
system_config='{"health_check_period_ms": 1000, "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3, "idle_worker_killing_time_threshold_ms": 10000}'

fail() {
    echo "error: $*" >&2
    exit 1
}

install() {
    local setting
    for setting in "$@"; do
        case $setting in
        *REPLACE-*) fail "set $setting in the cluster's YAML file: it is a placeholder still" ;;
        [A-Z]*=*) ;;
        *) fail "'$setting' is no setting: write NAME=VALUE" ;;
        esac
    done
    chmod 700 "$home"
    install_packages
    printf 'export %q\n' "$@" >"$home/settings.sh"
    write_login
}

# With their wheels in the bundle, machines need no package index; without, they use their own.
install_packages() {
    local uv=$bundle/uv source=()
    [ ! -d "$bundle/wheels" ] || source=(--offline --no-index --find-links "$bundle/wheels")
    [ -x "$home/venv/bin/python" ] || "$uv" venv --quiet --python "$(cat "$bundle/python")" "$home/venv"
    "$uv" pip sync --quiet --python "$home/venv" --require-hashes "${source[@]}" "$bundle/requirements.txt"
    "$uv" pip install --quiet --python "$home/venv" --offline --no-index --no-deps "$bundle"/shoal-*.whl
    if [ -n "${SHOAL_GPU_EXTRA:-}" ] && command -v nvidia-smi >/dev/null; then # of some GB: from an index
        "$uv" pip install --quiet --python "$home/venv" "shoal[$SHOAL_GPU_EXTRA]" \
            --find-links "$bundle" --constraint "$bundle/requirements.txt"
    fi
}

# For `ray exec` and people who log in: `shoal`, `ray` and `ray job` know where to turn.
write_login() {
    cat >"$home/login.sh" <<END
export PATH=$home/venv/bin:\$PATH
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$home/secrets/ray_token
export RAY_API_SERVER_ADDRESS=http://127.0.0.1:8265
export SHOAL_URL=http://127.0.0.1:$gateway_port SHOAL_TOKEN=\$(cat $home/secrets/gateway_token)
. $home/settings.sh
END
    grep -qsF "$home/login.sh" ~/.bashrc || echo ". $home/login.sh" >>~/.bashrc
}

# What Ray's processes, and so all actors and jobs, run with; the gateway's token is not for them.
ray_environment() {
    [ -f "$home/login.sh" ] || fail "nothing is installed on $(hostname): run node.sh install first"
    . "$home/login.sh"
    redis=${RAY_REDIS_ADDRESS:-} # for the head's control plane alone
    unset SHOAL_URL SHOAL_TOKEN RAY_API_SERVER_ADDRESS RAY_REDIS_ADDRESS
    export RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0 OMP_NUM_THREADS=1
    export SHOAL_ACTOR_LOGS=$home/logs
    # Without Redis, a head that is away takes the cluster along: its machines stop to wait for it.
    export RAY_gcs_rpc_server_reconnect_timeout_s=20
    [ -z "$redis" ] || RAY_gcs_rpc_server_reconnect_timeout_s=120
    ulimit -n 65535 2>/dev/null || true # Ray asks for as many; it works with less
}

run_ray() {
    ray_environment
    if [ "${1:-}" != start ]; then
        exec ray "$@"
    fi
    printf '%q ' "$@" >"$home/started"
    rm -f "$home/served"
    finish tidy
    case " $* " in
    *" --head "*)
        begin_state
        set -- "$@" --system-config="$system_config"
        [ ! -s "$home/secrets/redis_password" ] ||
            set -- "$@" --redis-password="$(cat "$home/secrets/redis_password")"
        ;;
    esac
    ray "$@" --object-store-memory="${SHOAL_OBJECT_STORE_BYTES:-268435456}"
    begin tidy
}

# Where Ray ends by itself on a machine, as it does without its head, some helpers stay: end them.
tidy() {
    while grep -qsx -e raylet -e gcs_server /proc/[0-9]*/comm; do
        sleep 2
    done
    "$home/venv/bin/ray" stop --force >/dev/null
}

# The head's state in Redis is this run's alone: a `ray up` must not find the actors of old code.
begin_state() {
    [ -n "$redis" ] || return 0
    if [ ! -f "$home/goes_on" ] || [ ! -f "$home/state" ]; then
        forget_state
        date +%s%N >"$home/state"
    fi
    rm -f "$home/goes_on"
    export RAY_REDIS_ADDRESS=$redis RAY_external_storage_namespace=shoal-$(cat "$home/state")
}

forget_state() {
    [ -f "$home/state" ] || return 0
    python - "$redis" "shoal-$(cat "$home/state")" "$home/secrets/redis_password" <<'END' || true
import pathlib, sys
from ray._private.gcs_utils import cleanup_redis_storage
address, namespace, file = sys.argv[1:]
host, _, port = address.rpartition(":")
password = pathlib.Path(file).read_text() if pathlib.Path(file).exists() else ""
cleanup_redis_storage(host, int(port), password, False, namespace)
END
}

serve() {
    local machines=$1 found
    ray_environment
    echo "$machines" >"$home/served"
    SHOAL_NODES=$machines begin keep "$home/gateway.log"
    . "$home/login.sh"
    until found=$(shoal status --json 2>/dev/null); do
        pid_of keep >/dev/null || fail "the gateway ended: $(tail -n 3 "$home/gateway.log")"
        sleep 2
    done
    found=$(python -c 'import json, sys; print(json.load(sys.stdin)["nodes"])' <<<"$found")
    [ "$found" -ge "$machines" ] ||
        fail "$found of $machines machines have joined; the gateway serves on these"
    echo "the gateway serves at port $gateway_port, on $found machines"
}

# Run the gateway for as long as the head's Ray answers, again where it ends before.
keep() {
    local gateway='' missed
    head=$(cat /tmp/ray/ray_current_cluster) # where Ray says that the one that was just started is
    trap '[ -z "$gateway" ] || kill "$gateway" 2>/dev/null; wait; exit 0' TERM
    ray_environment
    export SHOAL_TOKEN=$(cat "$home/secrets/gateway_token") SHOAL_IDLE_SHUTDOWN_S=0
    export SHOAL_RAY_ADDRESS=$head
    while ray_answers; do
        shoal serve --host 0.0.0.0 --port $gateway_port &
        gateway=$! missed=0
        while kill -0 "$gateway" 2>/dev/null && [ $missed -lt 3 ]; do
            sleep 2
            if ray_answers; then missed=0; else missed=$((missed + 1)); fi
        done
        kill "$gateway" 2>/dev/null || true
        wait "$gateway" || true
        sleep 1
    done
}

ray_answers() {
    (exec 3<>"/dev/tcp/${head%:*}/${head##*:}") 2>/dev/null
}

# Do one of these functions in the background; what it says goes to a file.
begin() {
    setsid bash "$bundle/node.sh" "$1" >"${2:-/dev/null}" 2>&1 </dev/null &
    echo $! >"$home/$1.pid"
}

# Print the process that does it; false where there is none.
pid_of() {
    local pid
    pid=$(cat "$home/$1.pid" 2>/dev/null) || return 1
    grep -qsz "^$1\$" "/proc/$pid/cmdline" && echo "$pid"
}

finish() {
    local pid
    if pid=$(pid_of "$1"); then
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 150); do
            pid_of "$1" >/dev/null || break
            sleep 0.2
        done
    fi
    rm -f "$home/$1.pid"
}

restart() {
    local started machines
    started=$(cat "$home/started" 2>/dev/null) || fail "Ray never ran on $(hostname)"
    machines=$(cat "$home/served" 2>/dev/null) || machines=
    stop
    touch "$home/goes_on"
    eval "bash \"$bundle/node.sh\" ray $started"
    [ -z "$machines" ] || bash "$bundle/node.sh" serve "$machines"
}

stop() {
    finish tidy
    finish keep
    [ ! -x "$home/venv/bin/ray" ] || "$home/venv/bin/ray" stop --force >/dev/null
}

case ${1:-} in
install | serve | keep | tidy | restart | stop) "$@" ;;
ray) run_ray "${@:2}" ;;
*) fail "what shall be done? install, ray, serve, restart or stop" ;;
esac
