"""T1: kill -9 of the server at random moments under load. Nothing acknowledged is lost, every task has one outcome, nothing
runs again for a restart of less than 4 s (contract C1, C6, C13). With --pending that many tasks wait meanwhile, from the
kill number --pending-from on, and the time from start to ready is what a recovery of that size costs.

A long series runs in rounds: --round kills each, then the load pauses until all work has ended, which also bounds what is
to be judged at the end. With --lock FILE each round holds that file's lock, so that measurements can have the machine between
two rounds. Each kill is a line in kills.txt of the folder (moment, seconds to ready, seconds away, tasks waiting)."""
import argparse
import contextlib
import fcntl
import random
import time

from checker import Checker, percentile
from harness import House

GRACE_S = 4.0


@contextlib.contextmanager
def held(path):
    """Holds the lock of the file, when one is named."""
    if not path:
        yield
        return
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Series:
    def __init__(self, house, args):
        self.house, self.args = house, args
        self.rng = random.Random(args.seed)
        self.ready, self.away, self.parked = [], [], 0

    def park(self):
        """Tasks that no worker may run: they wait through every kill from here on."""
        self.house.await_load(self.house.load("submit", "parked", "--prefix", "parked", "--type", "parked", "--worker", "nobody", "--count",
                                              self.args.pending, "--batch", 500, "--threads", 2), 300)
        self.parked = self.args.pending

    def round(self, kills, number):
        args, house = self.args, self.house
        workers = [house.load_worker(f"r{number}w{n}", slots=8) for n in range(4)]
        # More than is needed; the submitter is ended when the kills are done.
        count = int(kills * (args.longest + 5) * args.rate)
        submitter = house.load("submit", f"r{number}client", "--prefix", f"r{number}", "--count", count, "--rate", args.rate, "--threads", 16,
                               "--run-us", 60_000)
        for _ in range(kills):
            time.sleep(self.rng.uniform(0.05, args.longest))
            killed = time.monotonic()
            house.kill_server()
            self.ready.append(house.start_server())
            self.away.append(time.monotonic() - killed)
            with open(house.folder / "kills.txt", "a") as file:
                file.write(f"{killed:.3f} {self.ready[-1]:.3f} {self.away[-1]:.3f} {self.parked}\n")
        submitter.kill()
        submitter.wait()
        house.await_idle(180, parked=self.parked)
        for worker in workers:
            worker.terminate()
            worker.wait()


def told(ready, what):
    return f"ready p50 {percentile(ready, .5):.3f} p99 {percentile(ready, .99):.3f} max {max(ready):.3f} s {what}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--round", type=int, default=100, help="kills between two pauses of the load")
    parser.add_argument("--pending", type=int, default=0)
    parser.add_argument("--pending-from", type=int, default=0, help="kills before these tasks are submitted")
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--longest", type=float, default=2.0, help="seconds from ready to the kill, at most")
    parser.add_argument("--lock", help="held during each round")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with House() as house:
        house.start_server()
        series = Series(house, args)
        while len(series.ready) < args.kills:
            with held(args.lock):
                if args.pending and not series.parked and len(series.ready) >= args.pending_from:
                    series.park()
                series.round(min(args.round, args.kills - len(series.ready)), len(series.ready))
            print(f"{len(series.ready)} of {args.kills} kills; {told(series.ready[-args.round:], 'in this round')}", flush=True)
            time.sleep(1)  # whoever waits for the lock gets it
        checker = house.checked(skip=("parked", "waiting"))
        slow = sum(seconds >= GRACE_S for seconds in series.away)
        again = checker.run_again()
        waiting = int(house.status().get("waiting", 0))
        print(f"T1: {args.kills} kill -9 of the server, {len(checker.acks)} acknowledged, 0 lost, 0 double outcomes, {len(again)} run again "
              f"({slow} restarts took 4 s or more); {told(series.ready, f'with {waiting} pending at the end')}")
        if series.parked:
            if args.pending_from:
                print(told(series.ready[:args.pending_from], "with none"), told(series.ready[args.pending_from:], f"with {args.pending}"), sep="; ")
            house.await_load(house.load("collect", "waiting", "--type", "parked"))
            parked = Checker(house.folder, skip={f.stem for f in house.folder.glob("*.journal")} - {"parked", "waiting"})
            lost = [task for task in parked.acked_ids() if parked.outcomes.get(task) != ["waiting"]]
            assert len(parked.acks) == args.pending and not lost, f"{len(lost)} of {len(parked.acks)} parked tasks lost"
        assert not again or slow, f"run again over short restarts: {list(again.items())[:3]}"


if __name__ == "__main__":
    main()
