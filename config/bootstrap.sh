#!/bin/sh
# Makes .venv with exactly the locked packages; needs Python 3.11 and nothing else, and no rights beyond this folder.
#   config/bootstrap.sh run    what the system needs (requirements.txt)
#   config/bootstrap.sh dev    what the tests need too (requirements-dev.txt); serves `run` as well
# Quick when nothing changed: the locks' hash is kept in .venv.
set -eu

cd "$(dirname "$0")/.."
kind=${1:-run}
venv=.venv

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

find_python() {
    for name in ${PYTHON311:-} python3.11 python3 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
}

case $kind in
run) locks="requirements.txt" ;;
dev) locks="requirements.txt requirements-dev.txt" ;;
*) fail "usage: config/bootstrap.sh run|dev" ;;
esac

# A folder that was moved or whose Python is gone does not run: it is made anew.
if ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    python=$(find_python)
    [ -n "$python" ] || fail "Python 3.11 was not found (looked for python3.11, python3 and python on the PATH)." \
        "Install it, or name it: make run PYTHON311=/path/to/python3.11"
    echo "Making $venv with $python"
    rm -rf "$venv"
    "$python" -m venv "$venv" || {
        rm -rf "$venv"
        fail "$python cannot make a virtual environment (its own message is above)." \
            "On Debian and Ubuntu the package python3.11-venv is missing."
    }
fi

uv_pin=$(sed -n 's/^uv==\([^ ;]*\).*/\1/p' requirements-dev.txt)
[ -n "$uv_pin" ] || fail "requirements-dev.txt pins no uv; run \`make lock\`."
hash_locks() {
    # The environment's own path is part of it: a copied folder installs again.
    cat "$@" | "$venv/bin/python" -c 'import hashlib, sys
print(hashlib.sha256(sys.stdin.buffer.read() + sys.version.encode() + sys.prefix.encode()).hexdigest())'
}
wanted=$(hash_locks $locks)
stamp="$venv/.installed-$kind"
complete="$venv/.installed-dev"
# What Tollgate adds to MLflow, as an editable install would leave it.
register() { "$venv/bin/python" -m config.register; }
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    register
    exit 0
fi
if [ "$kind" = run ] && [ -f "$complete" ] &&
    [ "$(cat "$complete")" = "$(hash_locks requirements.txt requirements-dev.txt)" ]; then
    register
    exit 0
fi

rm -f "$venv/.installed-run" "$venv/.installed-dev"
# In a folder of its own, so that a sync of the locks never removes it.
uv="$venv/.uv/bin/uv"
if [ "$("$uv" --version 2>/dev/null | cut -d' ' -f2)" != "$uv_pin" ]; then
    echo "Installing uv $uv_pin"
    rm -rf "$venv/.uv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --target "$venv/.uv" "uv==$uv_pin" ||
        fail "uv could not be installed: is the package index reachable?"
fi
count=$(cat $locks | grep -c '^[a-zA-Z0-9].*==')
echo "Installing $count packages from $(echo $locks | sed 's/ / and /') into $venv (about 500 MB the first time)"
VIRTUAL_ENV="$PWD/$venv" "$uv" pip sync --compile-bytecode $locks ||
    fail "Installing failed; the message is above. Run the same command again to go on where it stopped."
register
printf '%s' "$wanted" > "$stamp"
echo "The environment is ready."
