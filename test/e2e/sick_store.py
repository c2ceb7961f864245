"""T10, T11, T13, T14, T27: a Redis that is killed, failed over or sick, clocks that jump, a ClickHouse that is away (contract C1,
C4, C11, C16, C18). Each prints its figures; who asks for more gives larger numbers (docs/testing.md)."""
import argparse
import http.client
import itertools
import json
import os
import pathlib
import random
import signal
import struct
import threading
import time

from checker import Checker, percentile
from clickhouse import ClickHouse
from harness import DISK_SHIM, House, wait_until
from proxy import Proxy
from test_redis import Many, Redis, metric, refusal

CLOCK_SHIM = os.environ.get("CLOCK_SHIM", "")
WINDOW_S = 2.0      # of acknowledged tasks that the level `process` may lose with both machines (docs/redis.md)
ACK_TIMEOUT_S = 2.0


def level_of(house):
    return next(level for level in ("process", "disk", "replicated") if metric(house, f'nexus_store_level{{level="{level}"}}') == 1)


class Asker:
    """Submits one task at a time over REST, with a journal like nexus_load's, so that the checker knows of them."""
    made = itertools.count()

    def __init__(self, house):
        self.house, self.connection = house, None
        self.journal = house.folder / f"asker{next(self.made)}.journal"

    def submit(self):
        """HTTP status, 0 when nobody answered."""
        key = f"{self.journal.stem}-{next(self.made)}"
        self.note("submit", key)
        begin = time.monotonic()
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.house.http, timeout=20)
            self.connection.request("POST", "/v1/tasks", json.dumps({"type": "load", "payload": "MTAwMCA="}),
                                    {"Content-Type": "application/json", "Idempotency-Key": key})
            answer = self.connection.getresponse()
            body = json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            self.connection = None
            self.note("unknown", key)
            return 0
        if answer.getheader("Connection", "").lower() == "close":
            self.connection = None
        if answer.status == 202:
            self.note("ack", key, body["id"], "0")
        elif answer.status in (429, 507):
            self.note("refused", key, body["title"], str(time.monotonic() - begin))
        else:
            self.note("unknown", key)
        return answer.status

    def note(self, what, *fields):
        with open(self.journal, "a") as journal:
            journal.write("\t".join([what, f"{time.monotonic():.6f}", *fields]) + "\n")


def taken_again(house, since, limit_s=60):
    """Seconds from `since` until a submission is taken."""
    asker = Asker(house)
    wait_until("submissions are taken again", lambda: asker.submit() == 202, limit_s)
    return time.monotonic() - since


def judged(house, may_lose=lambda task, acked_at: False):
    """The checker's verdict, without what the level may lose; returns (checker, tasks that were lost and may be)."""
    house.await_load(house.load("collect", "outcomes", "--type", "load"))
    checker = Checker(house.folder)
    acked_at = {task: at for ids in checker.acks.values() for task, at in ids.items()}
    gone = {task for task in acked_at if not checker.outcomes.get(task) and may_lose(task, acked_at[task])}
    problems = [each for each in checker.problems() if not any(task in each for task in gone)]
    if problems:
        raise AssertionError(f"{len(problems)} broken promises:\n" + "\n".join(problems[:20]))
    return checker, gone


# ---------------------------------------------------------------------------------------------------- T10: Redis dies


class SlowDisk(Redis):
    """Each sync of this Redis takes some milliseconds longer."""

    def __init__(self, sync_ms, *settings):
        super().__init__(*settings)
        if sync_ms:
            orders = self.folder / "orders"
            orders.write_text(f"sync_ms={sync_ms}")
            self.environment = {"LD_PRELOAD": DISK_SHIM, "NEXUS_SHIM_FOLDER": str(self.folder), "NEXUS_SHIM_ORDERS": str(orders)}


def redis_killed(args):
    """Redis alone, then both in one moment, by append-only mode and speed of the disk."""
    rng = random.Random(args.seed)
    for fsync in ("always", "everysec", "no"):
        for sync_ms in (0, 30):
            with SlowDisk(sync_ms, "--appendfsync", fsync) as redis, House() as house:
                flags = ("--store", redis.url, "--durability", "disk" if fsync == "always" else "process")
                house.start_server(*flags)
                level = level_of(house)
                house.load_worker("w1", slots=8)
                house.load_worker("w2", slots=8)
                house.worker_ready(2)
                client = house.load("submit", "client", "--count", 1_000_000, "--rate", 200, "--threads", 16, "--run-us", 30_000)
                back, both = [], []
                for kill in range(args.kills):
                    time.sleep(rng.uniform(0.3, 1.5))
                    if kill % 2:
                        both.append(time.monotonic())
                        house.kill_server()
                    redis.kill()
                    time.sleep(rng.uniform(0, 1))
                    redis.start()
                    started = time.monotonic()
                    if kill % 2:
                        house.start_server(*flags)
                    back.append(taken_again(house, started))
                client.kill()
                client.wait()
                house.await_idle(180)
                checker, lost = judged(house, lambda _, at: level == "process" and any(died - WINDOW_S <= at <= died for died in both))
                repaired = metric(house, 'nexus_store_rollbacks_total{result="repaired"}')
                print(f"T10: appendfsync {fsync}, syncs {sync_ms} ms longer, level {level}: {args.kills} kill -9 of Redis, every other with the "
                      f"server: {len(checker.acks)} acknowledged, {len(lost)} lost{'' if level == 'disk' else f' of the last {WINDOW_S:g} s'}, 0 double "
                      f"outcomes, {len(checker.run_again())} run again, {repaired:.0f} tails repaired; taken again p50 {percentile(back, .5):.2f} "
                      f"max {max(back):.2f} s after Redis", flush=True)
                if level == "disk":
                    assert not lost


# ------------------------------------------------------------------------------------------------------ T11: failover


class Trio(Many):
    """A master, two replicas and three Sentinels that notice its end after a second."""

    def __init__(self):
        super().__init__()
        self.master = self.node("--min-replicas-to-write", "1")
        self.nodes = [self.master] + [self.node("--replicaof", "127.0.0.1", str(self.master), "--min-replicas-to-write", "1") for _ in range(2)]
        self.sentinels = []
        for n in range(3):
            conf = self.folder / f"sentinel{n}.conf"
            conf.write_text(f"sentinel monitor main 127.0.0.1 {self.master} 2\nsentinel down-after-milliseconds main 1000\n"
                            "sentinel failover-timeout main 5000\n")
            self.sentinels.append(self.start(str(conf), "--sentinel", "--bind", "127.0.0.1"))
        self.whole()

    @property
    def url(self):
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{port}" for port in self.sentinels) + "/main"

    def whole(self):
        def fine():
            self.master = int(self.cli(self.sentinels[0], "sentinel", "get-master-addr-by-name", "main").split()[1])
            states = [self.cli(port, "sentinel", "master", "main") for port in self.sentinels]
            return (self.cli(self.master, "info", "replication").count("state=online") == 2 and
                    all("num-slaves\n2" in state and "num-other-sentinels\n2" in state and "\nmaster\n" in state for state in states))
        wait_until("master, replicas and Sentinels know each other", fine, 60)


def failover(args):
    """The master is killed, or frozen and let go again when another has taken over."""
    with Trio() as redis, House() as house:
        flags = ("--store", redis.url, "--store-replicas", "1", "--durability", "replicated")
        house.start_server(*flags)
        level = level_of(house)
        house.load_worker("w1", slots=8)
        house.worker_ready(1)
        client = house.load("submit", "client", "--count", 1_000_000, "--rate", 200, "--threads", 16, "--run-us", 30_000)
        back = {"killed": [], "frozen": []}
        for n in range(args.failovers):
            time.sleep(2)
            old, how = redis.master, "frozen" if n % 2 else "killed"
            process = redis.processes[old]
            process.send_signal(signal.SIGSTOP if n % 2 else signal.SIGKILL)
            struck = time.monotonic()
            asker = Asker(house)
            wait_until("it is noticed", lambda: asker.submit() != 202, 20)
            back[how].append(taken_again(house, struck))
            if n % 2:
                process.send_signal(signal.SIGCONT)
            else:
                process.wait()
                redis.again(old)
            redis.whole()
        client.kill()
        client.wait()
        assert house.server.poll() is None, "the server ended"
        house.await_idle(120)
        checker, _ = judged(house)
        told = "; ".join(f"{how}: taken again p50 {percentile(times, .5):.1f} max {max(times):.1f} s" for how, times in back.items() if times)
        repaired = metric(house, 'nexus_store_rollbacks_total{result="repaired"}')
        print(f"T11: {args.failovers} failovers by three Sentinels, level {level}: {len(checker.acks)} acknowledged, 0 lost, 0 double outcomes, "
              f"{len(checker.run_again())} run again, {repaired:.0f} tails repaired; {told}")
        assert all(seconds < 6 for times in back.values() for seconds in times), back


# ----------------------------------------------------------------------------------------------------- T13: sick Redis


class Asked(threading.Thread):
    """Submits all the time and keeps what it was answered: (moment, status, seconds)."""

    def __init__(self, house):
        super().__init__(daemon=True)
        self.house, self.answers, self.over = house, [], False
        self.start()

    def run(self):
        asker = Asker(self.house)
        while not self.over:
            begin = time.monotonic()
            status = asker.submit()
            self.answers.append((begin, status, time.monotonic() - begin))
            time.sleep(0.01)

    def between(self, begin, end):
        return [each for each in self.answers if begin <= each[0] <= end]

    def stop(self):
        self.over = True
        self.join(30)


def redis_sick(args):
    """Redis sleeps, pauses, is full, is a replica, forgets its scripts, holds another type under a key."""
    with Redis("--enable-debug-command", "yes") as redis, House() as house:
        house.start_server("--store", redis.url)
        house.load_worker("w1", slots=8)
        house.worker_ready(1)
        client = house.load("submit", "client", "--count", 1_000_000, "--rate", 100, "--threads", 16, "--run-us", 30_000)
        asked = Asked(house)

        def sleeps():
            redis.process.send_signal(signal.SIGSTOP)
            time.sleep(args.seconds)
            redis.process.send_signal(signal.SIGCONT)

        def pauses():
            redis.cli("client", "pause", str(int(args.seconds * 1000)), "all")
            time.sleep(args.seconds)

        def full():
            used = int(next(line for line in redis.cli("info", "memory").splitlines() if line.startswith("used_memory:")).split(":")[1])
            redis.cli("config", "set", "maxmemory", str(used // 2))
            time.sleep(args.seconds)
            redis.cli("config", "set", "maxmemory", "0")

        def replica():
            redis.cli("replicaof", "127.0.0.1", "1")
            time.sleep(args.seconds)
            redis.cli("replicaof", "no", "one")

        def forgets_scripts():
            for _ in range(20):
                redis.cli("script", "flush")
                time.sleep(args.seconds / 20)

        for name, fault in (("asleep", sleeps), ("CLIENT PAUSE", pauses), ("maxmemory", full), ("a replica", replica), ("SCRIPT FLUSH", forgets_scripts)):
            wait_until("it is well", lambda: asked.answers and asked.answers[-1][1] == 202, 20)
            time.sleep(0.5)
            begin = time.monotonic()
            fault()
            end = time.monotonic()
            back = taken_again(house, end)
            time.sleep(0.3)
            answers = asked.between(begin, end)
            counts = {status: sum(each[1] == status for each in answers) for status in sorted({each[1] for each in answers})}
            slowest = max(each[2] for each in asked.between(begin - ACK_TIMEOUT_S, end + ACK_TIMEOUT_S))
            print(f"T13: Redis {name} for {end - begin:.1f} s: answers {counts}, slowest {slowest:.2f} s; taken again {back:.2f} s after", flush=True)
            assert house.server.poll() is None, "the server ended"
            assert set(counts) <= {202, 429, 503, 507}, counts
            assert slowest < ACK_TIMEOUT_S + 1.5, slowest
            assert back < 3, back
        asked.stop()
        client.kill()
        client.wait()
        house.await_idle(120)
        checker, _ = judged(house)
        print(f"T13: {len(checker.acks)} acknowledged, 0 lost, 0 double outcomes, {len(checker.run_again())} run again")
        redis.cli("flushall")
        code = house.server.wait(timeout=30)
        house.server.stdout.close()
        again = refusal(house, "--store", redis.url, "--data", str(house.folder / "data"))
        print(f"T13: FLUSHALL: the server ended with code {code}; the next start: {again.stderr.strip().splitlines()[-1][:160]}")
        assert code == 74 and again.returncode != 0, (code, again.returncode)


# ---------------------------------------------------------------------------------------------------------- T14: clocks


class Calendar:
    """An environment whose calendar jumps when told to."""

    def __init__(self, folder, name):
        self.file = pathlib.Path(folder) / f"{name}.offset"
        self.file.write_bytes(struct.pack("q", 0))
        self.environment = {"LD_PRELOAD": CLOCK_SHIM, "NEXUS_SHIM_CLOCK": str(self.file)}

    def jump(self, seconds):
        with open(self.file, "r+b") as file:
            file.write(struct.pack("q", int(seconds * 1e6)))


def clocks(args):
    """The calendars of Redis, server and a worker jump by 5 s and by an hour, forward and back."""
    redis = Redis()
    with House() as house:
        calendars = {name: Calendar(house.folder, name) for name in ("Redis", "server", "worker")}
        redis.environment = calendars["Redis"].environment
        with redis:
            house.start_server("--store", redis.url, env=calendars["server"].environment)
            os.environ.update(calendars["worker"].environment)
            house.load_worker("bent", slots=4)
            for name in calendars["worker"].environment:
                del os.environ[name]
            house.load_worker("straight", slots=4)
            house.worker_ready(2)
            client = house.load("submit", "client", "--count", 1_000_000, "--rate", 50, "--threads", 8, "--run-us", 50_000)
            jumps = 0
            for name, calendar in calendars.items():
                for seconds in (5, 0, -5, 0, 3600, 0, -3600, 0):
                    calendar.jump(seconds)
                    jumps += 1
                    time.sleep(args.seconds)
            client.kill()
            client.wait()
            house.await_idle(60)
            checker, _ = judged(house)
            log = (house.folder / "server.log").read_text()
            by_worker = {name: sum(run.worker == name for runs in checker.runs.values() for run in runs) for name in ("bent", "straight")}
            print(f"T14: {jumps} jumps of calendars (Redis, server, worker; 5 s and 1 h, forward and back): {len(checker.acks)} acknowledged, 0 lost, "
                  f"{log.count('worker_lost')} workers lost, {log.count('worker_suspected')} suspected, {len(checker.run_again())} run again, 0 stuck; runs by worker {by_worker}")
            assert log.count("worker_lost") == 0
            assert not checker.run_again()
            assert all(by_worker.values())


# ------------------------------------------------------------------------------------------------------ T27: ClickHouse


def clickhouse_sick(args):
    """ClickHouse down, silent, slow: what is submitted starts as before."""
    clickhouse = ClickHouse()
    proxy = Proxy(f"127.0.0.1:{clickhouse.http}")
    try:
        with House() as house:
            house.start_server("--history", f"clickhouse://{proxy.address}/nexus")
            house.load_worker("w1", slots=16)
            house.worker_ready(1)
            client = house.load("submit", "client", "--count", 1_000_000, "--rate", args.rate, "--threads", 16, "--run-us", 5_000)
            time.sleep(3)
            spans = []

            def span(name):
                spans.append((name, time.monotonic(), time.monotonic() + args.seconds))
                time.sleep(args.seconds)
            span("well")
            proxy.up = proxy.down = "stall"
            span("silent")
            proxy.up = proxy.down = "pass"
            clickhouse.kill()
            span("down")
            clickhouse.start()
            span("back")
            client.kill()
            client.wait()
            house.await_idle(60)
            wait_until("nothing waits for ClickHouse", lambda: metric(house, "nexus_history_spool_rows") == 0, 120)
            checker, _ = judged(house)
            began = {task: runs[0].at for task, runs in checker.runs.items()}
            for name, begin, end in spans:
                waits = [began[task] - checker.submitted[key] for key, ids in checker.acks.items() for task in ids
                         if task in began and begin <= checker.submitted[key] < end]
                print(f"T27: ClickHouse {name} for {args.seconds:g} s: {len(waits) / args.seconds:.0f} tasks/s, submit to start p50 "
                      f"{percentile(waits, .5) * 1000:.2f} p99 {percentile(waits, .99) * 1000:.2f} ms")
                assert len(waits) > 0.9 * args.rate * args.seconds, "the load was not kept up"
            rows = clickhouse.number("SELECT uniqExact(task) FROM tasks")
            print(f"T27: {len(checker.acks)} acknowledged, 0 lost; {rows} of {len(checker.outcomes)} tasks in ClickHouse, "
                  f"{metric(house, 'nexus_history_dropped_total'):.0f} rows dropped")
            assert rows == len(checker.outcomes)
    finally:
        proxy.close()
        clickhouse.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(required=True)

    def verb(name, run, **numbers):
        sub = verbs.add_parser(name, help=run.__doc__)
        sub.set_defaults(run=run)
        for flag, (kind, default) in numbers.items():
            sub.add_argument(f"--{flag}", type=kind, default=default)
    verb("killed", redis_killed, kills=(int, 2), seed=(int, 1))
    verb("failover", failover, failovers=(int, 2))
    verb("sick", redis_sick, seconds=(float, 3))
    verb("clocks", clocks, seconds=(float, 0.5))
    verb("clickhouse", clickhouse_sick, seconds=(float, 5), rate=(float, 200))
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
