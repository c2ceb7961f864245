#!/bin/sh
# The tests under ASan+UBSan, end-to-end ones with real processes among them, with some worlds of the fault simulator; then the
# rooms with threads of their own, without gRPC, under TSan (gRPC's own locks are not instrumented and drown real reports).
# Left out: what preloads a library or asserts the memory or the time of a release (disks, starved, descriptors, bad_grpc, herd).
set -eu
cd "$(dirname "$0")/.."
flags='-DCMAKE_CXX_FLAGS=-O1 -g1 -DNDEBUG'  # as released: toml++ asserts on bad input without NDEBUG
found=$PWD/build/asan/found  # processes that nobody waits for, killed servers and workers, tell here
tools/build.sh build/asan None all -DNEXUS_SANITIZE=address,undefined "$flags"
rm -f "$found".*
export ASAN_OPTIONS=detect_stack_use_after_return=1:log_path="$found" UBSAN_OPTIONS=print_stacktrace=1:log_path="$found"
failed=0
ctest --test-dir build/asan --output-on-failure --timeout 1800 -R 'unit\.|stories|conformance|contract|sdk|fuzz|faults\.kept' || failed=1
ctest --test-dir build/asan --output-on-failure --timeout 600 \
    -R 'e2e\.(restart|page|worker_death|bad_input)|live\.(kill_server|kill_worker|stop_worker|half_open|damaged_files|stopped)' || failed=1
build/asan/test/faults/nexus_faults --seeds 1..400 --jobs "$(nproc)" || failed=1
for report in "$found".*; do
    [ ! -e "$report" ] || { cat "$report"; failed=1; }
done
[ $failed = 0 ] || exit 1
for target in engine_test store_test contract_test; do
    tools/build.sh build/tsan None $target -DNEXUS_SANITIZE=thread "$flags"
done
export TSAN_OPTIONS=halt_on_error=1
ctest --test-dir build/tsan --output-on-failure --timeout 1800 -R 'unit\.(engine|store)$|contract'
