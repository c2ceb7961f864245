#!/bin/sh
# The tests under ASan+UBSan, with some worlds of the fault simulator; then the rooms with threads of their own, without
# gRPC, under TSan (gRPC's own locks are not instrumented and drown real reports).
set -eu
cd "$(dirname "$0")/.."
flags='-DCMAKE_CXX_FLAGS=-O1 -g1 -DNDEBUG'  # as released: toml++ asserts on bad input without NDEBUG
export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
tools/build.sh build/asan None all -DNEXUS_SANITIZE=address,undefined "$flags"
ctest --test-dir build/asan --output-on-failure --timeout 1800 -R 'unit\.|stories|conformance|contract|sdk|fuzz|sim\.kept'
build/asan/test/sim/nexus_sim --seeds 1..400 --jobs "$(nproc)"
for target in engine_test store_test contract_test; do
    tools/build.sh build/tsan None $target -DNEXUS_SANITIZE=thread "$flags"
done
export TSAN_OPTIONS=halt_on_error=1
ctest --test-dir build/tsan --output-on-failure --timeout 1800 -R 'unit\.(engine|store)$|contract'
