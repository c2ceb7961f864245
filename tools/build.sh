#!/bin/sh
# build.sh DIRECTORY BUILD_TYPE TARGET [cmake option...]: configures once and builds one target with ninja.
# RelWithDebInfo has function names and lines (-g1), enough for every backtrace; full debug information costs 40 % more to compile.
set -eu
directory=$1 type=$2 target=$3
shift 3
if [ ! -f "$directory/build.ninja" ] || [ $# -gt 0 ]; then
    mkdir -p "$directory"
    cmake -S . -B "$directory" -G Ninja -DCMAKE_BUILD_TYPE="$type" \
        -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O2 -g1 -DNDEBUG" "$@" >"$directory/configure.log" 2>&1 || {
        cat "$directory/configure.log" >&2
        echo "build: configuring failed (above)" >&2
        exit 1
    }
fi
exec ninja -C "$directory" ${JOBS:+-j$JOBS} "$target"
