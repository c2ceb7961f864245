"""The journal in Redis: kill -9 of the server, and of Redis, under load. A redis-server of the test's own, on a Unix socket."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

from harness import House, NEXUS, wait_until
from test_restart import starts

TASKS = 200


class Redis:
    """In a folder of its own; in memory where there is such a place, since kill -9 loses no file."""

    def __init__(self, *settings):
        if not shutil.which("redis-server") or not shutil.which("redis-cli"):
            raise AssertionError("redis-server and redis-cli are needed: apt-get install redis-server redis-tools")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="nexus-redis-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
        self.socket = self.folder / "redis.sock"
        self.url = f"redis+unix://{self.socket}"
        self.settings = settings
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        with open(self.folder / "redis.log", "a") as log:
            self.process = subprocess.Popen(
                ["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder), "--save", "",
                 "--appendonly", "yes", "--appendfsync", "always", *self.settings], stdout=log, stderr=log)
        wait_until("Redis answers", lambda: self.cli("ping", check=False) == "PONG")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def cli(self, *words, check=True):
        done = subprocess.run(["redis-cli", "-s", str(self.socket), *words], capture_output=True, text=True, timeout=30)
        if check and done.returncode != 0:
            raise AssertionError(f"redis-cli {words}: {done.stdout}{done.stderr}")
        return done.stdout.strip()


def ended(house):
    status = house.status()
    return int(status.get("waiting", 0)) + int(status.get("running", 0)) == 0


def submit_many(house, sleep="0.05"):
    house.bulk_exec(TASKS, lambda i: ["/bin/sh", "-c", f"echo {i} >> {house.folder}/starts; sleep {sleep}"], "redis")


def refusal(house, *flags):
    """How `nexus serve` ends that may not start."""
    return subprocess.run([NEXUS, "serve", "--listen", "127.0.0.1:0", "--http", "off", *flags], capture_output=True, text=True,
                          timeout=60, cwd=house.folder)


class OnRedis(unittest.TestCase):
    def judge(self, house):
        wait_until("all tasks have ended", lambda: ended(house), 120)
        counts = starts(house)
        self.assertEqual(len(counts), TASKS, "a task was lost")
        self.assertEqual([i for i, n in counts.items() if n > 1], [], "a task ran twice")
        listed = house.json("task", "list", "--state", "succeeded", "--limit", "1000")
        self.assertEqual(len(listed["tasks"]), TASKS, "each has exactly one outcome")

    def test_kill_9_of_the_server_loses_nothing_and_runs_nothing_twice(self):
        with Redis() as redis, House() as house:
            house.start_server("--store", redis.url)
            told = house.json("task", "submit", "--type", "nobody", "--payload", "x")
            self.assertEqual(told["durability"], "disk")
            house.run("task", "cancel", told["id"])
            for name in ("w1", "w2"):
                house.start_worker(name)
            submit_many(house)
            for kill in range(3):
                wait_until("some more tasks have run", lambda: len(starts(house)) >= (kill + 1) * TASKS // 6, 60)
                house.kill_server()
                house.start_server("--store", redis.url)
            self.judge(house)

    def test_kill_9_of_redis_is_a_typed_refusal_until_it_is_back(self):
        with Redis() as redis, House() as house:
            house.start_server("--store", redis.url)
            house.start_worker("w1")
            house.start_worker("w2")
            submit_many(house)
            for kill in range(2):
                wait_until("some more tasks have run", lambda: len(starts(house)) >= (kill + 1) * TASKS // 5, 60)
                redis.kill()
                took = wait_until("a submission is refused", lambda: self.refused(house), 30)
                self.assertLess(took, 5, "a refusal is told, not waited for")
                redis.start()
                wait_until("submissions are taken again", lambda: not self.refused(house), 30)
            self.assertIsNone(house.server.poll(), "the server needs no restart")
            wait_until("the work has ended", lambda: len(starts(house)) == TASKS, 120)
            wait_until("its outcomes are told", lambda: len(
                house.json("task", "list", "--state", "succeeded", "--limit", "1000")["tasks"]) == TASKS, 60)
            self.assertEqual([i for i, n in starts(house).items() if n > 1], [], "a task ran twice")

    def refused(self, house):
        """Seconds until a submission was refused as unavailable or unknown; None when it was taken."""
        begin = time.monotonic()
        done = subprocess.run([NEXUS, "task", "submit", "--server", house.grpc, "--type", "nobody", "--payload", "x", "--timeout", "10s"],
                              capture_output=True, text=True, timeout=60, cwd=house.folder)
        if done.returncode == 0:
            return None
        self.assertRegex(done.stderr, "store|unavailable|unknown", "it says why")
        return max(time.monotonic() - begin, 0.001)

    def test_what_cannot_keep_the_promise_is_refused_with_what_to_set(self):
        with Redis("--appendfsync", "everysec") as redis, House() as house:
            done = refusal(house, "--store", redis.url, "--data", "a")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("appendfsync always", done.stderr)
            house.start_server("--store", redis.url, "--durability", "process")
            self.assertEqual(house.json("task", "submit", "--type", "t", "--payload", "x")["durability"], "process")
            taken = refusal(house, "--store", redis.url, "--durability", "process", "--data", "b")
            self.assertNotEqual(taken.returncode, 0)
            self.assertIn("another server owns this journal", taken.stderr)
            embedded = refusal(house, "--data", str(house.folder / "data"))
            self.assertNotEqual(embedded.returncode, 0)
            house.kill_server()
            embedded = refusal(house, "--data", str(house.folder / "data"))
            self.assertIn("belongs to a journal in Redis", embedded.stderr)
            redis.cli("flushall")
            emptied = refusal(house, "--store", redis.url, "--durability", "process", "--data", str(house.folder / "data"))
            self.assertNotEqual(emptied.returncode, 0)
            self.assertIn("is not there", emptied.stderr)
            secret = refusal(house, "--store", "redis://me:hunter2@127.0.0.1:1", "--data", "c")
            self.assertNotEqual(secret.returncode, 0)
            self.assertNotIn("hunter2", secret.stderr + secret.stdout)
            away = refusal(house, "--store", "redis://127.0.0.1:1", "--data", "d")
            self.assertNotEqual(away.returncode, 0)
            self.assertIn("is redis-server running there?", away.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
