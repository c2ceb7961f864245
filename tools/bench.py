#!/usr/bin/env python3
"""bench.py NEXUS: measures every case of docs/performance.md RUNS times (default 3) and prints the medians beside the budgets.

The budgets are for a machine with 2 cores that does nothing else meanwhile, the clients and workers on the same cores."""
import json
import os
import statistics
import subprocess
import sys

E2E = ["bench", "e2e", "--payload", "100"]


def metric(name, scale=1.0):
    return lambda result: float(result[name]) * scale


def core(workers, pending, budget_us):
    return (["bench", "core", "--workers", str(workers), "--pending", str(pending)],
            [(f"decision p99, {workers:,} workers, {pending:,} waiting", "us", metric("p99_ns", 1e-3), budget_us)])


# command, then rows of (what, unit, value of the result, budget; a negative budget is a least value)
CASES = [
    core(1000, 1000, 5),
    core(1000, 1000000, 5),
    core(10000, 1000, 15),
    core(10000, 1000000, 15),
    ([*E2E, "--tasks", "1000", "--rate", "100", "--workers", "2", "--slots", "50"],
     [("submit to start p50, 100/s", "ms", metric("submit_to_start_us_p50", 1e-3), 0.8),
      ("submit to start p99, 100/s", "ms", metric("submit_to_start_us_p99", 1e-3), 2)]),
    ([*E2E, "--tasks", "5000", "--rate", "1000", "--workers", "2", "--slots", "50"],
     [("submit to start p99, 1,000/s", "ms", metric("submit_to_start_us_p99", 1e-3), 3)]),
    ([*E2E, "--tasks", "300000", "--rate", "max", "--workers", "2", "--slots", "50"],
     [("completed, 2 workers x 50 slots, batches of 500", "1/s", metric("completed_per_s"), -50000)]),
    ([*E2E, "--tasks", "40000", "--rate", "max", "--workers", "2", "--slots", "50", "--batch", "1", "--inflight", "64"],
     [("completed, one call per task, 64 in flight", "1/s", metric("completed_per_s"), -10000)]),
    ([*E2E, "--tasks", "80000", "--rate", "max", "--workers", "1000", "--slots", "1"],
     [("completed, 1,000 workers x 1 slot", "1/s", metric("completed_per_s"), -15000)]),
    ([*E2E, "--tasks", "20", "--rate", "2", "--workers", "1000", "--slots", "1"],
     [("memory with 1,000 workers connected", "MB", metric("server_rss_bytes", 1e-6), 150),
      ("CPU with 1,000 idle workers, of one core", "%", lambda r: 100 * r["server_cpu_s"] / r["took_s"], 5)]),
    (["bench", "recover", "--pending", "1"], [("memory, idle", "MB", metric("server_rss_bytes", 1e-6), 60)]),
    (["bench", "recover", "--pending", "100000"], [("kill -9 to first dispatch, 100,000 waiting", "s", metric("dispatch_s"), 1)]),
    (["bench", "recover", "--pending", "1000000"],
     [("kill -9 to first dispatch, 1,000,000 waiting", "s", metric("dispatch_s"), 4),
      ("memory per waiting task, 1,000,000 waiting", "B", metric("server_rss_bytes", 1e-6), 400)]),
    (["bench", "readers"],
     [("submit to start p99, 50/s, 500,000 waiting: beside an open page and lists, against alone", "x", metric("p99_ratio"), 1.2),
      ("one task found by its type behind 500,000", "ms", metric("find_ms_p50"), 50)]),
]


def main():
    nexus, runs = sys.argv[1], int(os.environ.get("RUNS", "3"))
    values = {}
    for run in range(runs):
        for number, (command, rows) in enumerate(CASES, 1):
            print(f"run {run + 1} of {runs}, case {number} of {len(CASES)}: nexus {' '.join(command)}", file=sys.stderr, flush=True)
            done = subprocess.run([nexus, *command, "-o", "json"], capture_output=True, text=True, timeout=300)
            if done.returncode != 0:
                sys.exit(f"nexus {' '.join(command)} exited {done.returncode}:\n{done.stderr[-2000:]}")
            result = json.loads(done.stdout)["results"][0]
            if result.get("lost", 0) or result.get("duplicated", 0):
                sys.exit(f"nexus {' '.join(command)}: {result['lost']} tasks lost, {result['duplicated']} run twice")
            for what, _, value, _ in rows:
                values.setdefault(what, []).append(value(result))
    print("| what | median | lowest to highest | budget | |\n|---|---|---|---|---|")
    for _, rows in CASES:
        for what, unit, _, budget in rows:
            seen = values[what]
            middle = statistics.median(seen)
            held = middle >= -budget if budget < 0 else middle <= budget
            show = (lambda v: f"{v:,.0f}") if middle >= 100 else (lambda v: f"{v:.2f}")
            bound = f"at least {-budget:,}" if budget < 0 else f"at most {budget}"
            print(f"| {what} | {show(middle)} {unit} | {show(min(seen))} to {show(max(seen))} | {bound} | {'held' if held else 'missed'} |")


if __name__ == "__main__":
    main()
