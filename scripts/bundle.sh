#!/usr/bin/env bash
# Makes build/cluster, which `ray up` copies to every machine of a cluster: `make bundle` calls it.
#   bundle/   Shoal's wheel, a lock of what it needs with all wheels of that, uv and node.sh, so that
#             machines need nothing but Python; without wheels (BUNDLE_WHEELS=0), an index as well
#   secrets/  the tokens of the cluster's Ray and of its gateway, made once, readable by you alone
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$(cd "${VENV:-.venv}" && pwd)
uv=$venv/bin/uv
bundle=build/cluster/bundle
secrets=build/cluster/secrets
mkdir -p "$bundle" "$secrets"
chmod 700 "$secrets"

for name in ray_token gateway_token; do
    [ -s "$secrets/$name" ] ||
        (umask 077 && "$venv/bin/python" -c 'import secrets; print(secrets.token_hex(32), end="")' >"$secrets/$name")
done

rm -f "$bundle"/shoal-*.whl
"$uv" build --quiet --wheel --no-build-isolation --python "$venv/bin/python" --out-dir "$bundle" .
rm -f "$bundle/.gitignore"
cp cluster/node.sh "$bundle/node.sh"
cp "$uv" "$bundle/uv"
"$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' >"$bundle/python"
"$uv" pip compile --quiet --python "$venv/bin/python" --extra cluster --constraint requirements.lock \
    --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
    pyproject.toml --output-file "$bundle/requirements.txt"

if [ "${BUNDLE_WHEELS:-1}" = 0 ]; then
    rm -rf "$bundle/wheels"
elif ! cmp -s "$bundle/requirements.txt" "$bundle/wheels/.requirements"; then
    rm -rf "$bundle/wheels"
    "$venv/bin/python" -m pip download --quiet --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
        --require-hashes --requirement "$bundle/requirements.txt" --dest "$bundle/wheels"
    cp "$bundle/requirements.txt" "$bundle/wheels/.requirements"
fi
