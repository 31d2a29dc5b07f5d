# interpreters.sh
#
# To be sourced. Finds Python.

# The interpreter of this version, if it is here.
python_of_version() {
    local found
    found=$(command -v "$HOME/.pyenv/versions/$1".*/bin/python | tail -n 1 || true)
    found=${found:-$(command -v "python$1" || true)}
    [[ -n $found ]] && "$found" -c '' 2>/dev/null && echo "$found"
}

# Whatever is called python3, if it is new enough.
any_python() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "no Python from 3.11 on is here" >&2; return 1; }
    command -v python3
}
