#!/bin/sh
# The browser that the slow tests and the pictures need: installed when it is missing and this user may; else only said.
set -eu

for name in "${TOLLGATE_BROWSER:-}" chromium chromium-browser google-chrome-stable google-chrome; do
    if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Chromium for the browser tests"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
    exit 0
fi
echo "There is no Chromium and this user may not install one: what needs a browser will fail." \
    "Install it, or name it: TOLLGATE_BROWSER=/path/to/chrome" >&2
