#!/bin/sh
# chdb.sh BUILD: the suites of the history against a current ClickHouse engine, behind test/chdb/shim.mjs. Passwords and a
# server that is killed are what the engine alone does not have: `make test` tries them on Debian's server.
set -eu
build=$1
folder=$build/test/chdb
mkdir -p "$folder"
cp test/chdb/package.json test/chdb/shim.mjs "$folder"
[ -d "$folder/node_modules/chdb" ] || (cd "$folder" && npm install --no-package-lock --no-audit --no-fund --silent)
rm -f "$folder/port"
mkfifo "$folder/port"
(cd "$folder" && exec node shim.mjs >port) &
shim=$!
trap 'kill $shim 2>/dev/null || true; rm -f "$folder/port"' EXIT
read -r NEXUS_CLICKHOUSE_PORT <"$folder/port"
export NEXUS_CLICKHOUSE_PORT
"$build/test/conformance/conformance_test" --test-suite=history,clickhouse --test-case-exclude='T27*,*password*' "${2:---no-intro}"
