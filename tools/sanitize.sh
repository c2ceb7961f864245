#!/bin/sh
# The tests under ASan+UBSan; then the rooms with threads of their own, without gRPC, under TSan (gRPC's own locks are not
# instrumented and drown real reports).
set -eu
cd "$(dirname "$0")/.."
export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
tools/build.sh build/asan Debug all -DNEXUS_SANITIZE=address,undefined
ctest --test-dir build/asan --output-on-failure --timeout 1800 -R 'unit\.|stories|conformance|sim'
tools/build.sh build/tsan Debug engine_test -DNEXUS_SANITIZE=thread
tools/build.sh build/tsan Debug store_test
export TSAN_OPTIONS=halt_on_error=1
ctest --test-dir build/tsan --output-on-failure --timeout 1800 -R 'unit\.(engine|store)$'
