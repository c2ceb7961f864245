"""T2: kill -9 (or SIGSTOP, with --silent) of random workers under load. Each of their tasks begins elsewhere soon, and has one
outcome (contract C5, C6, C12)."""
import argparse
import random
import signal
import time

from checker import percentile
from harness import House, wait_until


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--silent", action="store_true", help="SIGSTOP for 8 s, then CONT")
    parser.add_argument("--every", type=float, default=0.3, help="seconds between two kills")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    run_s = 0.8
    with House() as house:
        house.start_server()
        alive = {f"w{n}": house.load_worker(f"w{n}", args.slots) for n in range(args.workers)}
        house.worker_ready(args.workers)
        rate = 0.4 * args.workers * args.slots / run_s
        submitter = house.load("submit", "client", "--count", int(rate * (args.kills * args.every + 5) * 3), "--rate", rate, "--run-us", int(run_s * 1e6))
        time.sleep(1)
        struck = []  # worker, moment
        asleep = []


        def busy():
            return [row["name"] for row in house.json("worker", "list")["workers"] if row["name"] in alive and row["running"]]
        for n in range(args.kills):
            name = rng.choice(sorted(wait_until("a worker runs something", busy)))
            worker = alive.pop(name)
            struck.append((name, time.monotonic()))
            if args.silent:
                worker.send_signal(signal.SIGSTOP)
                asleep.append((time.monotonic() + 8, name, worker))
            else:
                worker.kill()
                worker.wait()
                alive[f"n{n}"] = house.load_worker(f"n{n}", args.slots)
            end = time.monotonic() + args.every * rng.uniform(0.2, 1.8)
            while time.monotonic() < end or (args.silent and len(alive) < args.workers // 2):
                while asleep and time.monotonic() >= asleep[0][0]:
                    _, woken, process = asleep.pop(0)
                    process.send_signal(signal.SIGCONT)
                    alive[woken] = process
                time.sleep(0.01)
        time.sleep(max([0, *(at - time.monotonic() for at, _, _ in asleep)]))
        for _, _, process in asleep:
            process.send_signal(signal.SIGCONT)
        submitter.kill()
        submitter.wait()
        wait_until("all workers are there", lambda: int(house.status().get("workers_ready", 0)) == args.workers, 60)
        house.await_idle(120)
        checker = house.checked()
        moved, again = [], []  # again: the next attempt went to a worker that had just been struck too, and never began
        for name, at in struck:
            for runs in checker.runs.values():
                for run, later in zip(runs, runs[1:]):
                    # The end of a run may be written down while its report never left.
                    if run.worker == name and run.at <= at < run.over:
                        (moved if later.number == run.number + 1 else again).append(later.at - at)
        stale = int(house.status().get("stale_reports", 0))
        overlaps = len(checker.overlaps())
        print(f"T2: {args.kills} {'SIGSTOP' if args.silent else 'kill -9'} of workers, {len(checker.acks)} tasks, 0 lost, one outcome each; {len(moved)} tasks "
              f"went elsewhere after p50 {percentile(moved, .5):.2f} p99 {percentile(moved, .99):.2f} max {max(moved, default=0):.2f} s; "
              f"{len(again)} were caught a second time before they began, max {max(again, default=0):.2f} s; "
              f"{overlaps} overlapping runs, fenced; {stale} stale reports refused")
        assert moved, "no task was caught by a kill"
        assert not args.silent or stale, "no stale report was counted"


if __name__ == "__main__":
    main()
