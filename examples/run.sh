#!/bin/sh
# Builds the C++ examples and runs them against a server.
#
#   NEXUS=path/to/nexus examples/run.sh               starts a server of its own on free ports, and stops it
#   NEXUS=path/to/nexus examples/run.sh HOST:PORT     uses the server there
#
# BUILD (default: a new temporary folder) keeps the built examples; BUILT: a folder where they already are, nothing is built.
# PREFIX: an installed SDK to build against instead of this checkout. Ends with 0 when both examples did what they should.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
checkout=$(dirname "$here")
NEXUS=${NEXUS:-$checkout/bin/nexus}
scratch=$(mktemp -d)
BUILD=${BUILT:-${BUILD:-$scratch/build}}
server=
worker=
stop() {
    for process in $worker $server; do kill "$process" 2>/dev/null && wait "$process" || true; done
    rm -rf "$scratch"
}
trap stop EXIT INT TERM

where="-DNEXUS_SOURCE=$checkout"
[ -z "${PREFIX:-}" ] || where="-DCMAKE_PREFIX_PATH=$PREFIX"
for example in cpp-worker cpp-submit; do
    [ -z "${BUILT:-}" ] || break
    cmake -S "$here/$example" -B "$BUILD/$example" -DCMAKE_BUILD_TYPE=Release "$where" >"$scratch/cmake.log" 2>&1 ||
        { cat "$scratch/cmake.log" >&2; exit 1; }
    cmake --build "$BUILD/$example" -j2 >"$scratch/build.log" 2>&1 || { tail -40 "$scratch/build.log" >&2; exit 1; }
done

address=${1:-}
if [ -z "$address" ]; then
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    web=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    address=127.0.0.1:$port
    "$NEXUS" serve --listen "$address" --http "127.0.0.1:$web" --data "$scratch/data" >"$scratch/server.log" 2>&1 &
    server=$!
fi
"$BUILD/cpp-worker/cpp-worker" "$address" 2>"$scratch/worker.log" &
worker=$!
"$BUILD/cpp-submit/cpp-submit" "$address" || { cat "$scratch"/*.log >&2; exit 1; }

# The worker drains on SIGTERM and ends with 0.
kill "$worker"
wait "$worker" || { cat "$scratch/worker.log" >&2; exit 1; }
worker=
echo "the examples work"
