#!/usr/bin/env bash
# demo.sh [OPTION...]
#
# Installs the Python package and a model in a virtual environment of its own, and runs the demonstration of python/demo with
# these options. The table and the chart are left in target/demo.
set -euo pipefail

cd "$(dirname "$0")/.."
. scripts/interpreters.sh
interpreter=$(python_of_version 3.13 || python_of_version 3.12 || python_of_version 3.11 || any_python)
venv=$PWD/target/venvs/demo
python=$venv/bin/python
pip=("$python" -m pip install --quiet --disable-pip-version-check --no-deps)

"$python" -c '' 2>/dev/null || "$interpreter" -m venv --clear "$venv"
# What is there already is not asked for again.
if ! cmp --silent python/demo/requirements.txt "$venv/requirements.txt"; then
    echo "installing the model (85 MB)"
    "${pip[@]}" maturin==1.16.0 -r python/demo/requirements.txt
    cp python/demo/requirements.txt "$venv/requirements.txt"
fi
echo "building and installing shmemo (a minute, the first time)"
PATH="$venv/bin:$PATH" "${pip[@]}" --no-build-isolation --force-reinstall .
echo
exec "$python" python/demo --output target/demo "$@"
