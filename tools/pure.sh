#!/bin/sh
# pure.sh LIBRARY...: proves from the linker's point of view that a room cannot reach the clock, chance, threads, files,
# sockets or the environment: none of the undefined symbols of its object files may be one of these.
set -eu
banned='clock_gettime|gettimeofday|time|clock|nanosleep|usleep|rand|srand|random|getrandom|pthread_create|pthread_mutex_lock|open|open64|fopen|fopen64|read|write|socket|connect|getenv|secure_getenv|setlocale|getpid|_ZNSt6chrono.*now.*|_ZNSt13random_device.*|_ZNSt6thread.*|_ZNSt6locale.*'
status=0
for library in "$@"; do
    found=$(nm -C --undefined-only "$library" 2>/dev/null | awk '{print $NF}' | sort -u | grep -xE "($banned)(@.*)?" || true)
    found="$found$(nm --undefined-only "$library" 2>/dev/null | awk '{print $NF}' | sort -u | grep -xE "($banned)(@.*)?" || true)"
    if [ -n "$found" ]; then
        echo "$library is not pure; it reaches: $(echo "$found" | sort -u | tr '\n' ' ')"
        status=1
    fi
done
exit $status
