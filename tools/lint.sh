#!/bin/sh
# Lint: format, rooms, the second compiler with its warnings as errors, and clang-tidy over what differs from BASE (default: all).
set -eu
cd "$(dirname "$0")/.."
make --no-print-directory fmt-check
python3 tools/rooms.py
tools/build.sh build/release RelWithDebInfo all_verify_interface_header_sets
CC=clang-19 CXX=clang++-19 tools/build.sh build/clang RelWithDebInfo all
files=$(git ls-files 'src/*.cc' 'sdk/*.cc' 'faults/*.cc')
[ -z "${BASE:-}" ] || files=$(git diff --name-only --diff-filter=d "$BASE" -- 'src/*.cc' 'sdk/*.cc' 'faults/*.cc')
[ -z "$files" ] || echo "$files" | xargs -P "$(nproc)" -n 4 clang-tidy-19 -p build/clang --quiet --warnings-as-errors='*'
