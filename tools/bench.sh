#!/bin/sh
# bench.sh NEXUS BUILD: the tables of docs/performance.md. RUNS (default 3) runs of each case; read the medians.
set -eu
nexus=$1
runs=${RUNS:-3}
for run in $(seq "$runs"); do
    echo "== run $run of $runs"
    for workers in 100 1000 10000; do
        for pending in 1000 1000000; do
            "$nexus" bench core --workers $workers --pending $pending
        done
    done
    "$nexus" bench e2e --tasks 2000 --rate 100 --workers 4 --slots 4 --payload 100
    "$nexus" bench e2e --tasks 10000 --rate 1000 --workers 4 --slots 4 --payload 100
    "$nexus" bench e2e --tasks 400000 --rate max --workers 2 --slots 50 --payload 100
    "$nexus" bench e2e --tasks 40000 --rate max --workers 2 --slots 50 --payload 100 --batch 1 --inflight 64
    "$nexus" bench e2e --tasks 150000 --rate max --workers 1000 --slots 1 --payload 100
    "$nexus" bench recover --pending 100000
    "$nexus" bench recover --pending 1000000
done
