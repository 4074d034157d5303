#!/bin/sh
# The load tool that the endpoint's bench needs: installed when it is missing and this user may; else only said.
set -eu

if command -v "${TOLLGATE_WRK:-wrk}" >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing wrk for the endpoint's bench"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends wrk >/dev/null
    exit 0
fi
echo "There is no wrk and this user may not install it: the endpoint cannot be measured." \
    "Install it, or name it: TOLLGATE_WRK=/path/to/wrk" >&2
