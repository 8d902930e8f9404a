#!/usr/bin/env bash
# Brings all that the program (run), its image engine (images) or its tests (test) need: system libraries, .venv, uv, the locked packages.
# Idempotent: a second call costs well under a second when nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=${1:-run}

# Qt's xcb plugin aborts with a misleading text when any of these is missing (docs/architecture.md, "Fresh machines").
run_packages="libgl1 libegl1 libglib2.0-0 libfontconfig1 libxkbcommon0 libdbus-1-3 libxcb-cursor0 libxcb-icccm4
 libxcb-keysyms1 libxcb-shape0 libxcb-xkb1 libxkbcommon-x11-0 python3-venv"
# The image engine is built from source for the tests; Xvfb carries the recorded walk through the real window.
images_packages="$run_packages build-essential cmake git pkg-config python3-dev libgomp1"
test_packages="$images_packages xvfb xauth fonts-dejavu-core"

missing_packages() {
    command -v dpkg-query >/dev/null 2>&1 || return 0
    local name
    for name in $1; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' && continue
        # Debian 13 and Ubuntu 24.04 renamed some libraries in the 64-bit time transition.
        dpkg-query -W -f '${Status}' "${name}t64" 2>/dev/null | grep -q 'ok installed' && continue
        echo "$name"
    done
}

packages=$run_packages
[ "$mode" = images ] && packages=$images_packages
[ "$mode" = test ] && packages=$test_packages
absent=$(missing_packages "$packages" | tr '\n' ' ')
if [ -n "${absent// /}" ]; then
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $absent >/dev/null
    elif command -v apt-get >/dev/null 2>&1 && command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        sudo apt-get update -qq && sudo DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $absent >/dev/null
    else
        echo "System libraries are missing. Please run:" >&2
        echo "  sudo apt-get install -y --no-install-recommends $absent" >&2
        exit 1
    fi
fi

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "GenAI Desktop needs Python 3.11 or newer ($python is not). Set PYTHON=/path/to/python3.11." >&2
    exit 1
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install -q --disable-pip-version-check uv

lock=requirements.lock
[ "$mode" = images ] && lock=requirements-images.lock
[ "$mode" = test ] && lock=requirements-dev.lock
stamp=.venv/.installed-$mode
want=$(cat pyproject.toml "$lock" tools/setup.sh | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$want" ]; then
    # install, not sync: the test environment is a superset and `make run` must not strip it
    VIRTUAL_ENV=.venv .venv/bin/uv pip install -q --require-hashes -r "$lock"
    VIRTUAL_ENV=.venv .venv/bin/uv pip install -q --no-deps -e .
    echo "$want" > "$stamp"
fi
