#!/bin/sh
# One digest for the same seeds: the simulator built by g++ and clang, without and with optimisation, must come to the same
# worlds. SEEDS=A..B chooses how many (default 1..200).
set -eu
cd "$(dirname "$0")/.."
seeds=${SEEDS:-1..200}
first=''
for lane in "g++ -O2" "g++ -O0" "clang++-19 -O2" "clang++-19 -O0"; do
    compiler=${lane% *} level=${lane#* }
    case $compiler in clang*) c=clang-19 ;; *) c=gcc ;; esac
    directory=build/digest-$(echo "$lane" | tr -d ' +')
    CC=$c CXX=$compiler tools/build.sh "$directory" None nexus_faults "-DCMAKE_CXX_FLAGS=$level" >"$directory.log" 2>&1 || {
        tail -30 "$directory.log" >&2
        exit 1
    }
    digest=$("$directory/test/faults/nexus_faults" --seeds "$seeds" --jobs "$(nproc)" | sed -n 's/.*digest //p')
    echo "$lane: $digest"
    [ -n "$first" ] || first=$digest
    [ "$digest" = "$first" ] || { echo "digests: $lane differs" >&2; exit 1; }
done
