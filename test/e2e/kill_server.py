"""T1: kill -9 of the server at random moments under load. Nothing acknowledged is lost, every task has one outcome, nothing
runs again for a restart of less than 4 s (contract C1, C6, C13). With --pending that many tasks wait meanwhile, and the time
from start to ready is what a recovery of that size costs."""
import argparse
import random
import time

from checker import Checker, percentile
from harness import House

GRACE_S = 4.0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--pending", type=int, default=0)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--longest", type=float, default=2.0, help="seconds from ready to the kill, at most")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with House() as house:
        house.start_server()
        if args.pending:
            house.await_load(house.load("submit", "parked", "--prefix", "parked", "--type", "parked", "--worker", "nobody", "--count", args.pending,
                                        "--batch", 500, "--threads", 2), 300)
        for n in range(4):
            house.load_worker(f"w{n}", slots=8)
        # More than is needed; the submitter is ended when the kills are done.
        count = int(args.kills * (args.longest + 1) * args.rate)
        submitter = house.load("submit", "client", "--count", count, "--rate", args.rate, "--threads", 16, "--run-us", 60_000)
        ready, away = [], []
        for _ in range(args.kills):
            time.sleep(rng.uniform(0.05, args.longest))
            killed = time.monotonic()
            house.kill_server()
            ready.append(house.start_server())
            away.append(time.monotonic() - killed)
        submitter.kill()
        submitter.wait()
        house.await_idle(180, parked=args.pending)
        checker = house.checked(skip=("parked", "waiting"))
        slow = sum(seconds >= GRACE_S for seconds in away)
        again = checker.run_again()
        waiting = int(house.status().get("waiting", 0))
        print(f"T1: {args.kills} kill -9 of the server, {len(checker.acks)} acknowledged, 0 lost, 0 double outcomes, {len(again)} run again "
              f"({slow} restarts took 4 s or more); ready p50 {percentile(ready, .5):.3f} p99 {percentile(ready, .99):.3f} max {max(ready):.3f} s "
              f"with {waiting} pending")
        if args.pending:
            house.await_load(house.load("collect", "waiting", "--type", "parked"))
            parked = Checker(house.folder, skip={f.stem for f in house.folder.glob("*.journal")} - {"parked", "waiting"})
            lost = [task for task in parked.acked_ids() if parked.outcomes.get(task) != ["waiting"]]
            assert len(parked.acks) == args.pending and not lost, f"{len(lost)} of {len(parked.acks)} parked tasks lost"
        assert not again or slow, f"run again over short restarts: {list(again.items())[:3]}"


if __name__ == "__main__":
    main()
