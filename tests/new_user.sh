#!/usr/bin/env bash
# What a new user types: from the install of a wheel to a rerun, in a fresh environment and an empty folder.
# Usage: bash tests/new_user.sh WHEEL
set -euo pipefail
wheel=$(realpath "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset PYTHONPATH VIRTUAL_ENV
"${PYTHON:-python3}" -m venv "$folder/venv"
export PATH="$folder/venv/bin:$PATH"
pip install --quiet --disable-pip-version-check "$wheel"
mkdir "$folder/work"
cd "$folder/work"

expect() { # expect CODE TEXT COMMAND...: the command exits with the code and prints the text
    local code=$1 text=$2 got=0 out
    shift 2
    out=$("$@" 2>&1) || got=$?
    if [ "$got" != "$code" ] || [[ "$out" != *"$text"* ]]; then
        printf '%s\nexited with %s, expected %s and the text: %s\n%s\n' "$*" "$got" "$code" "$text" "$out"
        exit 1
    fi
}

expect 0 'rivers ' rivers --version
expect 0 'wrote sales.py' rivers init
expect 0 'ok: 2 assets' rivers check sales.py
expect 0 'dry run: 93 partitions' rivers backfill sales.py --range date=2024-01 -n
expect 1 '92 completed, 1 failed' rivers backfill sales.py --range date=2024-01
expect 0 'the register was broken' rivers errors -v
expect 0 '92' rivers assets
expect 0 'eu' rivers partitions sales.py:sales --missing
expect 0 '1 failed' rivers grid
sed -i.before '/01-17/d; /broken/d' sales.py
expect 0 'completed: 1 completed of 1 partition' rivers rerun
expect 0 '93 completed' python sales.py
expect 0 "storage: $(pwd -P)/.rivers/rivers.db" rivers list
echo 'a new user gets from the install to a rerun'
