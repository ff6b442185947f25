#!/bin/sh
# Installs what machines of namespaces are made of (tests/machines), where the system's packages can be.
set -eu

PATH=$PATH:/usr/sbin:/sbin
missing=
for name in ip sshd rsync redis-server; do
    command -v "$name" >/dev/null || missing="$missing $name"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "machines: install$missing by your system's means" >&2
    exit 1
fi
apt-get update -qq # and RUNLEVEL=1: no service is to start
RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    iproute2 openssh-server rsync redis-server >/dev/null
