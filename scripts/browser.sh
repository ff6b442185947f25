#!/bin/sh
# Installs headless Chromium and a font, where the system's packages can be installed and no Chromium is there.
set -eu

for name in chromium chromium-headless-shell chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then
        exit 0
    fi
done
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "browser: install Chromium by your system's means; the tests look for it on PATH" >&2
    exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    chromium-headless-shell fonts-dejavu-core >/dev/null
