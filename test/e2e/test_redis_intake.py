"""A producer and workers of the old Nexus, written from its wire alone with a stock client, against the journal in Redis.
Names (X9, X11, ...) are those of the catalogue of bad entries in docs/testing.md."""
import collections
import glob
import http.client
import json
import os
import random
import sys
import threading
import time
import unittest

sys.path += glob.glob("/usr/lib/python3/dist-packages")  # python3-redis of Debian, whichever python runs this
import redis as stock  # noqa: E402

from harness import House, wait_until  # noqa: E402
from test_redis import Redis, metric  # noqa: E402

PENDING, DEAD, COMPLETED, GROUP = "nexus:tasks:pending", "nexus:tasks:dead", "nexus:tasks:completed", "scheduler-group"


def client(redis):
    return stock.Redis(unix_socket_path=str(redis.socket), decode_responses=True, socket_timeout=30)


class OldWorker:
    """Subscribes to its channel, runs each task by writing down that it ran, and reports to the stream of completions."""

    def __init__(self, redis, name, slots=4, takes_s=0.0, capabilities=(), describe=True):
        self.redis, self.name, self.takes_s = redis, name, takes_s
        self.runs, self.told = [], set()
        self.stopped = threading.Event()
        self.client = client(redis)
        if describe:
            self.client.hset(f"nexus:workers:{name}", mapping={
                "capabilities": json.dumps(list(capabilities)), "maxConcurrency": slots, "status": "idle", "hostname": "h", "version": "1"})
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.ready = threading.Event()
        self.thread.start()
        self.ready.wait(10)

    def listen(self):
        while not self.stopped.is_set():
            try:
                channel = self.client.pubsub(ignore_subscribe_messages=False)
                channel.subscribe(f"nexus:worker:{self.name}")
                while not self.stopped.is_set():
                    message = channel.get_message(timeout=0.2)
                    if message and message["type"] == "subscribe":
                        self.ready.set()
                    if message and message["type"] == "message":
                        threading.Thread(target=self.run, args=(json.loads(message["data"]),), daemon=True).start()
                channel.close()
            except (stock.exceptions.ConnectionError, stock.exceptions.TimeoutError, stock.exceptions.BusyLoadingError, OSError):
                time.sleep(0.05)

    def run(self, message):
        begin = time.time()
        self.runs.append(message)
        time.sleep(self.takes_s)
        end = time.time()
        entry = {"taskId": message["taskId"], "taskType": message["task"]["type"], "workerId": self.name, "startedAt": str(begin),
                 "completedAt": str(end), "durationMs": str(int((end - begin) * 1000)), "success": "true", "result": "done"}
        while not self.stopped.is_set():
            try:
                self.client.xadd(COMPLETED, entry)
                return self.told.add(id(message))
            except (stock.exceptions.ConnectionError, stock.exceptions.TimeoutError, stock.exceptions.BusyLoadingError, OSError):
                time.sleep(0.05)

    def stop(self):
        self.stopped.set()
        self.thread.join(10)

    def untold(self):
        return [message for message in self.runs if id(message) not in self.told]

    def die(self):
        """As kill -9: what runs is neither ended nor told."""
        self.stop()


def pending_count(redis):
    return client(redis).xpending(PENDING, GROUP)["pending"]


def succeeded(house):
    return int(house.status().get("succeeded", 0))


class Intake(unittest.TestCase):
    def test_entries_become_tasks_once_and_workers_of_redis_run_them(self):
        with Redis() as redis, House() as house:
            house.start_server("--store", redis.url)
            worker = OldWorker(redis, "w 1", slots=8, capabilities=["gpu"])
            producer = client(redis)
            metadata = json.dumps({"requiredCapabilities": ["gpu"], "estimatedDurationMs": 20, "extra": [1]})
            for i in range(50):
                producer.xadd(PENDING, {"id": f"job {i}", "type": "resize image", "payload": json.dumps({"n": i}), "priority": "7",
                                        "createdAt": "2020-01-01T00:00:00.000Z", "metadata": metadata})
            wait_until("all have ended", lambda: succeeded(house) == 50, 60)
            self.assertEqual(sorted(m["taskId"] for m in worker.runs), sorted(f"job {i}" for i in range(50)))
            message = worker.runs[0]
            self.assertEqual(set(message), {"taskId", "task", "assignedAt"})
            self.assertEqual(message["task"], {
                "id": message["taskId"], "type": "resize image", "payload": {"n": int(message["taskId"].split()[1])}, "priority": 7,
                "createdAt": "2020-01-01T00:00:00.000Z", "metadata": json.loads(metadata)})
            wait_until("all is acknowledged", lambda: pending_count(redis) == 0)
            wait_until("completions, too", lambda: producer.xpending(COMPLETED, GROUP)["pending"] == 0)
            self.assertEqual(metric(house, 'nexus_intake_entries_total{result="submitted"}'), 50)
            self.assertEqual(metric(house, "nexus_redis_workers"), 1)
            shown = house.json("worker", "list")["workers"][0]
            self.assertEqual(shown["name"], "w_1")
            worker.stop()

    def test_priorities_keep_the_order_of_the_old_numbers(self):
        with Redis() as redis, House() as house:
            house.start_server("--store", redis.url)
            producer = client(redis)
            for priority in ("0", "9", "10", "999", "5"):
                producer.xadd(PENDING, {"id": priority, "type": "t", "priority": priority})
            wait_until("all wait", lambda: int(house.status().get("waiting", 0)) == 5)
            worker = OldWorker(redis, "w", slots=1)
            wait_until("all have ended", lambda: succeeded(house) == 5, 60)
            self.assertEqual([m["taskId"] for m in worker.runs], ["999", "10", "9", "5", "0"])
            worker.stop()

    def test_what_cannot_become_a_task_is_told_and_put_aside(self):
        """X1, X3, X4, X6, X18, X20."""
        with Redis() as redis, House() as house:
            house.start_server("--store", redis.url)
            producer = client(redis)
            bad = producer.xadd(PENDING, {"id": "x", "payload": "{no json", "type": "a\r\nb"})
            producer.xadd(PENDING, {"foo": "bar"})
            redis.cli("xadd", PENDING, "*", "type", "t", "payload", "1", "payload", "2")  # X4
            producer.xadd(PENDING, {"type": "t", "priority": "urgent"})
            wait_until("the good ones wait", lambda: int(house.status().get("waiting", 0)) == 2)
            wait_until("the bad ones stand aside", lambda: producer.xlen(DEAD) == 2)
            dead = producer.xrange(DEAD)[0][1]
            self.assertEqual(dead, {"id": bad, "reason": "payload: is no JSON", "original:id": "x", "original:payload": "{no json",
                                    "original:type": "a\r\nb"})
            wait_until("all is acknowledged", lambda: pending_count(redis) == 0)
            self.assertEqual(metric(house, 'nexus_intake_entries_total{result="dead"}'), 2)
            self.assertEqual(metric(house, "nexus_intake_warnings_total"), 1)
            doctor = house.run("doctor", check=False)
            self.assertIn("2 entries of nexus:tasks:pending could not become tasks", doctor.stdout)

    def test_entries_of_a_dead_consumer_are_taken_over_and_deleted_ones_forgotten(self):
        """X11, X13."""
        with Redis() as redis, House() as house:
            producer = client(redis)
            producer.xgroup_create(PENDING, GROUP, id="0", mkstream=True)
            ids = [producer.xadd(PENDING, {"type": "t", "id": str(i)}) for i in range(3)]
            producer.xreadgroup(GROUP, "old-scheduler", {PENDING: ">"}, count=10)
            producer.xdel(PENDING, ids[1])
            house.start_server("--store", redis.url, "--set", "server.intake_claim_after=2s")
            wait_until("they are taken over", lambda: int(house.status().get("waiting", 0)) == 2, 30)
            wait_until("all is acknowledged", lambda: pending_count(redis) == 0)
            # X13: somebody deletes the group. What was acknowledged does not come again.
            producer.xgroup_destroy(PENDING, GROUP)
            producer.xadd(PENDING, {"type": "t", "id": "after"})
            wait_until("the new one is taken", lambda: int(house.status().get("waiting", 0)) == 3, 30)
            wait_until("all is acknowledged", lambda: pending_count(redis) == 0)
            self.assertEqual(int(house.status().get("waiting", 0)), 3)

    def test_X12_a_key_that_is_no_stream_stops_the_intake_alone(self):
        with Redis() as redis, House() as house:
            client(redis).set(PENDING, "text")
            house.start_server("--store", redis.url)
            wait_until("it is told", lambda: metric(house, "nexus_intake_stopped") == 1)
            self.assertIn("WRONGTYPE", house.run("doctor", check=False).stdout)
            house.json("task", "submit", "--type", "t", "--payload", "x")
            client(redis).delete(PENDING)
            client(redis).xadd(PENDING, {"type": "t"})
            wait_until("it goes on", lambda: int(house.status().get("waiting", 0)) == 2, 30)

    def test_a_worker_that_does_not_listen_loses_nothing(self):
        with Redis() as redis, House() as house:
            house.start_server("--store", redis.url, "--set", "server.redis_worker_timeout=2s")
            first = OldWorker(redis, "first", takes_s=3600)
            client(redis).xadd(PENDING, {"type": "t", "id": "one"})
            wait_until("it runs", lambda: len(first.runs) == 1)
            first.stop()  # as if it had died: its task goes elsewhere when its time is over
            second = OldWorker(redis, "second")
            wait_until("the other one has run it", lambda: succeeded(house) == 1, 60)
            self.assertEqual([m["taskId"] for m in second.runs], ["one"])
            # A late word of the first changes nothing.
            client(redis).xadd(COMPLETED, {"taskId": "one", "workerId": "first", "success": "false", "durationMs": "1"})
            wait_until("it is of no use", lambda: metric(house, 'nexus_redis_completions_total{result="stale"}') >= 1)
            self.assertEqual(succeeded(house), 1)
            second.stop()

    def test_a_worker_that_died_and_is_back_under_its_name_loses_nothing(self):
        with Redis() as redis, House() as house:
            house.start_server("--store", redis.url, "--set", "server.redis_worker_timeout=2s")
            first = OldWorker(redis, "w1", slots=2, takes_s=60)
            for i in range(2):
                client(redis).xadd(PENDING, {"id": f"job-{i}", "type": "t", "metadata": '{"estimatedDurationMs": 500}'})
            wait_until("both run", lambda: len(first.runs) == 2)
            first.die()
            wait_until("its end is seen", lambda: house.json("worker", "list")["workers"][0]["state"] == "WORKER_STATE_DRAINING", 10)
            second = OldWorker(redis, "w1", slots=2)
            wait_until("both have run there", lambda: succeeded(house) == 2, 30)
            self.assertEqual(sorted(m["taskId"] for m in second.runs), ["job-0", "job-1"])
            self.assertIn("redis_worker_forgot", (house.folder / "server.log").read_text())
            wait_until("nothing is noted any more", lambda: client(redis).hlen("{nexus:0}:sent") == 0)
            second.stop()

    def test_kill_9_of_server_redis_and_workers(self):
        """Nothing is lost, nothing has two outcomes, nothing is left unaccounted; what ran twice was with a worker that died."""
        kills = int(os.environ.get("NEXUS_KILLS", "12"))
        dice = random.Random(int(os.environ.get("NEXUS_SEED", "7")))
        with Redis() as redis, House() as house:
            flags = ("--store", redis.url, "--set", "server.redis_worker_timeout=3s")
            house.start_server(*flags)
            new_worker = lambda i: OldWorker(redis, f"w{i}", slots=4, takes_s=0.02)  # noqa: E731
            workers, gone = [new_worker(i) for i in range(3)], []
            sent, over = [], threading.Event()

            def produce():
                producer = client(redis)
                while not over.is_set():
                    if len(sent) - sum(len(worker.runs) for worker in workers + gone) > 300:  # the queue is not what is tried
                        time.sleep(0.02)
                        continue
                    name = f"job-{len(sent)}"
                    try:
                        producer.xadd(PENDING, {"id": name, "type": "t", "payload": json.dumps({"n": len(sent)})})
                        sent.append(name)
                    except (stock.exceptions.ConnectionError, stock.exceptions.TimeoutError, stock.exceptions.BusyLoadingError, OSError):
                        sent.append(name)  # it may or may not have been written: the name is not used again
                        time.sleep(0.02)
                    time.sleep(0.004)
            thread = threading.Thread(target=produce, daemon=True)
            thread.start()
            killed = collections.Counter()
            for kill in range(kills):
                time.sleep(dice.uniform(0.05, 0.6))
                what = dice.choices(("server", "Redis", "worker"), (5, 3, 2))[0]
                killed[what] += 1
                if what == "Redis":
                    redis.kill()
                    redis.start()
                elif what == "server":
                    house.kill_server()
                    house.start_server(*flags)
                else:
                    i = dice.randrange(len(workers))
                    workers[i].die()
                    gone.append(workers[i])
                    time.sleep(dice.uniform(1.1, 2))  # a shorter absence under the same name is not seen (docs/redis.md)
                    workers[i] = new_worker(i)
            over.set()
            thread.join()
            entries = client(redis).xrange(PENDING)
            names = [fields["id"] for _, fields in entries]
            wait_until("all is acknowledged", lambda: pending_count(redis) == 0, 60)
            try:
                house.await_idle(180)
            except AssertionError:
                for state in ("waiting", "assigned", "running"):
                    for task in house.json("task", "list", "--state", state, "--limit", "5")["tasks"]:
                        print(state, json.dumps(task))
                print((house.folder / "server.log").read_text()[-3000:])
                raise
            wait_until("completions are acknowledged", lambda: client(redis).xpending(COMPLETED, GROUP)["pending"] == 0, 60)
            runs = collections.Counter(m["taskId"] for worker in workers + gone for m in worker.runs)
            with_dead = {m["taskId"] for worker in gone for m in worker.untold()}
            twice = {name for name, n in runs.items() if n > 1}
            missing = set(names) - set(runs)
            print(f"\n{kills} kills ({dict(killed)}), {len(names)} entries, {len(runs)} run, {len(twice)} twice, {len(missing)} missing")
            self.assertEqual(missing, set(), "an entry was lost")
            self.assertEqual(twice - with_dead, set(), "an entry ran twice that no dead worker held")
            self.assertEqual(client(redis).xlen(DEAD), 0)
            self.assertEqual(self.outcomes(house), len(names), "each entry has exactly one outcome")
            for worker in workers:
                worker.stop()

    @staticmethod
    def outcomes(house):
        tasks, token = [], ""
        while True:
            page = house.json("task", "list", "--state", "succeeded", "--limit", "1000", *(["--page", token] if token else []))
            tasks += [task["id"] for task in page.get("tasks", [])]
            token = page.get("next_page_token", "")
            if not token:
                assert len(tasks) == len(set(tasks))
                return len(tasks)

    def test_a_new_journal_knows_what_the_old_nexus_learned(self):
        for value, known in ((json.dumps({"predictions": {"resize": {"ema": 2500, "sampleCount": 40, "lastUpdated": "2026-01-01T00:00:00Z"}},
                                          "savedAt": "2026-01-01T00:00:00Z", "version": 1}), True), ("{", False)):
            with self.subTest(known=known), Redis() as redis, House() as house:
                client(redis).set("scheduler:predictions", value)
                house.start_server("--store", redis.url)
                types = {kind["type"]: kind for kind in house.json("type", "list")["types"]}
                self.assertEqual("resize" in types, known)
                if known:
                    self.assertAlmostEqual(int(types["resize"]["p50_us"]), 2_500_000, delta=600_000)
                else:
                    self.assertIn("scheduler:predictions is not read", (house.folder / "server.log").read_text())


if __name__ == "__main__":
    unittest.main(verbosity=2)
