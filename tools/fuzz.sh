#!/bin/sh
# Each fuzz target for SECONDS_EACH (default 60) from its committed corpus, under ASan and UBSan. A finding is written to build/fuzz.
set -eu
cd "$(dirname "$0")/.."
seconds=${SECONDS_EACH:-60}
CC=clang-19 CXX=clang++-19 tools/build.sh build/fuzz RelWithDebInfo fuzz_targets -DNEXUS_FUZZ=ON -DNEXUS_TESTS=ON
for target in $(find build/fuzz/test/fuzz -maxdepth 1 -type f -name '*_fuzz' | sort); do
    name=$(basename "$target")
    mkdir -p "build/fuzz/corpus/$name"
    seeds="fuzz/corpus/$name"
    [ -d "$seeds" ] || seeds=''
    echo "fuzz: $name for $seconds s"
    log="build/fuzz/$name.log"
    if ! "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix=build/fuzz/ -print_final_stats=1 \
        "build/fuzz/corpus/$name" $seeds >"$log" 2>&1; then
        tail -60 "$log"
        echo "fuzz: $name found something (above); the input is in build/fuzz"
        exit 1
    fi
    tail -8 "$log"
done
