"""The journal in Redis: kill -9 of the server, and of Redis, under load. A redis-server of the test's own, on a Unix socket."""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from harness import House, NEXUS, wait_until
from test_restart import starts

TASKS = 200


class Redis:
    """In a folder of its own; in memory where there is such a place, since kill -9 loses no file."""

    def __init__(self, *settings, auth=()):
        self.auth = list(auth)  # of redis-cli
        if not shutil.which("redis-server") or not shutil.which("redis-cli"):
            raise AssertionError("redis-server and redis-cli are needed: apt-get install redis-server redis-tools")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="nexus-redis-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
        self.socket = self.folder / "redis.sock"
        self.url = f"redis+unix://{self.socket}"
        self.settings = settings
        self.environment = {}    # beside the own one
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, ready=True):
        with open(self.folder / "redis.log", "a") as log:
            self.process = subprocess.Popen(
                ["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder), "--save", "",
                 "--appendonly", "yes", "--appendfsync", "always", *self.settings], stdout=log, stderr=log,
                env={**os.environ, **self.environment})
        wait_until("Redis answers", lambda: self.cli("ping", check=False).startswith("PONG" if ready else ("PONG", "LOADING")))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def cli(self, *words, check=True):
        done = subprocess.run(["redis-cli", "-s", str(self.socket), *self.auth, *words], capture_output=True, text=True, timeout=30)
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


def free_port():
    """Below 55536: the nodes of a Cluster also talk on the port that is 10000 higher."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            if (port := probe.getsockname()[1]) < 55536:
                return port


class Submitter:
    """One connection on which tasks are submitted, so that nothing but the answer is measured."""

    def __init__(self, house):
        self.house, self.connection = house, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.connection:
            self.connection.close()

    def submit(self):
        """(HTTP status, body, milliseconds)."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.house.http, timeout=20)
            self.connection.connect()
        begin = time.monotonic()
        self.connection.request("POST", "/v1/tasks", json.dumps({"type": "nobody"}), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        body = answer.read().decode()
        took = (time.monotonic() - begin) * 1000
        if answer.getheader("Connection", "").lower() == "close":
            self.connection.close()
            self.connection = None
        return answer.status, body, took


def metric(house, name):
    with urllib.request.urlopen(f"http://{house.http}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    for line in text.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[-1])
    raise AssertionError(f"no metric {name}")


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
            away = refusal(house, "--store", "redis://127.0.0.1:1", "--data", "d", "--store-start-limit", "0s")
            self.assertNotEqual(away.returncode, 0)
            self.assertIn("is redis-server running there?", away.stderr)

    def test_redis_away_for_30_s(self):
        """Refused in less than 10 ms once known, what runs goes on, back within a second."""
        away_s = float(os.environ.get("NEXUS_AWAY_S", "8"))
        with Redis() as redis, House() as house:
            house.start_server("--store", redis.url)
            house.start_worker("w1", slots=2)
            house.submit_exec("/bin/sh", "-c", f"sleep {away_s / 2}; echo over >> {house.folder}/starts")
            wait_until("it runs", lambda: int(house.status().get("running", 0)) == 1)
            submitter = Submitter(house)
            self.assertEqual(submitter.submit()[0], 202)
            redis.kill()
            gone = time.monotonic()
            wait_until("it is known", lambda: submitter.submit()[0] == 503 and submitter.submit()[2] < 50, 10)
            took = []
            while time.monotonic() - gone < away_s:
                status, body, ms = submitter.submit()
                self.assertEqual(status, 503, body)
                self.assertIn("store", body)
                took.append(ms)
                time.sleep(0.01)
            took.sort()
            p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
            print(f"\n{len(took)} refusals in {away_s:.0f} s without Redis: p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {took[-1]:.2f} ms")
            self.assertLess(p50, 10)
            self.assertEqual(starts(house)["over"], 1, "what runs goes on")
            self.assertIsNone(house.server.poll(), "no process ends")
            redis.start()
            back = wait_until_back(submitter)
            print(f"back {back * 1000:.0f} ms after Redis")
            self.assertLess(back, 3)
            self.assertEqual(metric(house, "nexus_store_reconnects_total"), 1)
            wait_until("its end is told", lambda: len(house.json("task", "list", "--state", "succeeded")["tasks"]) == 1, 20)

    def test_a_start_waits_for_redis_and_says_so(self):
        with Redis() as redis, House() as house:
            redis.kill()
            away = refusal(house, "--store", redis.url, "--store-start-limit", "1s")
            self.assertNotEqual(away.returncode, 0)
            self.assertGreaterEqual(away.stderr.count("trying again in"), 2, away.stderr)
            self.assertIn("is redis-server running there?", away.stderr)
            waiting = subprocess.Popen([NEXUS, "serve", "--listen", "127.0.0.1:0", "--http", "off", "--store", redis.url], text=True,
                                       cwd=house.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            house.processes.append(waiting)
            while "trying again in" not in waiting.stderr.readline():
                self.assertIsNone(waiting.poll())
            redis.start()
            self.assertIn(f"store {redis.url} (disk)", waiting.stdout.readline())
            waiting.kill()
            waiting.wait()
            waiting.stderr.close()

    def test_a_redis_that_reads_its_file_is_waited_for(self):
        """Meanwhile it says that it has no append-only file: that is no reason to end, nor one to tell."""
        with Redis("--enable-debug-command", "yes") as redis, House() as house:
            house.start_server("--store", redis.url)
            house.bulk_exec(300, lambda i: ["true"], "some")
            waiting = int(house.status()["waiting"])
            # Long to read, and now and then it looks who asks: every 1,024 commands.
            redis.cli("eval", "for i = 1, 8000 do redis.call('set', 'other' .. i, i) end", "0")
            redis.settings = ("--key-load-delay", "500")
            redis.kill()
            redis.start(ready=False)
            house.kill_server()
            house.start_server("--store", redis.url)
            self.assertEqual(int(house.status()["waiting"]), waiting)
            redis.kill()
            redis.start(ready=False)
            wait_until("submissions are taken again", lambda: not self.refused(house), 60)
            log = (house.folder / "server.log").read_text()
            self.assertIn("Redis reads its file; waiting for it", log)
            self.assertNotIn("append-only", log)

    def test_an_end_that_redis_lost_is_stored_again(self):
        """T32, owner alive: Redis comes back without its last appends, as after a failover or a crash between two syncs."""
        with Redis("--appendfsync", "everysec") as redis, House() as house:
            house.start_server("--store", redis.url, "--durability", "process")
            house.start_worker("w1")
            house.submit_exec("/bin/true")
            house.await_idle()
            copy = redis.folder / "copy"
            shutil.copytree(redis.folder / "appendonlydir", copy)
            ids = [house.submit_exec("/bin/sh", "-c", f"echo {i} >> {house.folder}/starts") for i in range(10)]
            waits = house.json("task", "submit", "--type", "nobody", "--payload", "kept")["id"]
            wait_until("they have run", lambda: len(starts(house)) == 10)
            redis.kill()
            shutil.rmtree(redis.folder / "appendonlydir")
            copy.rename(redis.folder / "appendonlydir")
            redis.start()
            wait_until("it is repaired", lambda: metric(house, 'nexus_store_rollbacks_total{result="repaired"}') == 1, 20)
            wait_until("submissions are taken", lambda: not self.refused(house), 20)
            house.kill_server()  # what is in Redis alone is what counts
            house.start_server("--store", redis.url, "--durability", "process")
            for task in ids:
                self.assertEqual(house.json("task", "get", task)["state"], "TASK_STATE_SUCCEEDED")
            self.assertEqual(house.json("task", "get", waits)["state"], "TASK_STATE_WAITING")
            self.assertEqual([n for n in starts(house).values() if n > 1], [], "a task ran twice")

    def test_a_weakened_server_is_told_and_refused_until_it_is_set_back(self):
        with Redis() as redis, House() as house:
            house.start_server("--store", redis.url)

            def ready():
                try:
                    with urllib.request.urlopen(f"http://{house.http}/readyz?verbose", timeout=20) as answer:
                        return answer.status, answer.read().decode()
                except urllib.error.HTTPError as refused:
                    with refused:
                        return refused.code, refused.read().decode()
            self.assertIn("[+] level: " + redis.url + " gives level disk: what is acknowledged survives a power cut", ready()[1])
            self.assertEqual(metric(house, 'nexus_store_level{level="disk"}'), 1)
            redis.cli("config", "set", "appendfsync", "everysec")
            wait_until("it is noticed", lambda: ready()[0] == 503, 20)
            self.assertIn("CONFIG SET appendfsync always", ready()[1])
            self.assertEqual(metric(house, 'nexus_store_level{level="disk"}'), 0)
            redis.cli("config", "set", "appendfsync", "always")
            wait_until("it is ready again", lambda: ready()[0] == 200, 20)

    def test_settings_of_the_store_come_from_file_environment_and_flags(self):
        with House() as house:
            (house.folder / "n.toml").write_text('[server]\nstore = "redis://me:hunter2@file:1"\nstore_prefix = "a"\n')

            def shown(*flags, **env):
                done = subprocess.run([NEXUS, "config", "show", "--config", "n.toml", *flags], capture_output=True, text=True,
                                      cwd=house.folder, env={**os.environ, **env})
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertNotIn("hunter2", done.stdout + done.stderr)
                return {line.split(" = ")[0]: line.split(" = ")[1].split("  ")[0] for line in done.stdout.splitlines() if " = " in line}
            self.assertEqual(shown()["store"], '"redis://me:***@file:1"')
            self.assertEqual(shown(REDIS_URL="redis://old:2")["store"], '"redis://old:2"')
            both = shown(REDIS_URL="redis://old:2", NEXUS_SERVER_STORE="redis://new:3", HEARTBEAT_TIMEOUT_MS="1500",
                         FALLBACK_THRESHOLD="7")
            self.assertEqual((both["store"], both["redis_worker_timeout"], both["fallback_threshold"]), ('"redis://new:3"', '"1500ms"', "7"))
            self.assertEqual(shown("--store", "embedded", REDIS_URL="redis://old:2")["store"], '"embedded"')

    def test_tls_and_a_user_that_may_do_nothing_else(self):
        """The rights are those of docs/redis.md, so the manual is tested, too."""
        manual = (pathlib.Path(__file__).parents[2] / "docs" / "redis.md").read_text()
        rights = manual.split("<!-- rights -->")[1].split("```")[1].split()
        with House() as house:
            cert, key, password = (str(house.folder / name) for name in ("cert.pem", "key.pem", "password"))
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                            "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                           check=True, capture_output=True)
            pathlib.Path(password).write_text("open sesame\n")
            os.chmod(password, 0o600)
            port = free_port()
            with Redis("--tls-port", str(port), "--bind", "127.0.0.1", "--tls-cert-file", cert, "--tls-key-file", key,
                       "--tls-ca-cert-file", cert, "--tls-auth-clients", "no") as redis:
                redis.cli("acl", "setuser", "nexus", "on", ">open sesame", *rights)
                redis.cli("acl", "setuser", "default", "off")
                redis.auth = []
                house.start_server("--store", f"rediss://nexus@127.0.0.1:{port}", "--store-password-file", password, "--store-ca", cert)
                house.start_worker("w1")
                submit_many(house, "0")
                wait_until("all have run", lambda: len(starts(house)) == TASKS, 60)
                self.judge(house)
                log = (house.folder / "server.log").read_text()
                self.assertNotIn("NOPERM", log)
                self.assertNotIn("sesame", log)
                wrong = refusal(house, "--store", f"rediss://nexus@127.0.0.1:{port}", "--data", "other", "--store-ca", cert)
                self.assertNotEqual(wrong.returncode, 0)
                # The verbs that copy and move need no more, and take the same settings.
                url, login = f"rediss://nexus@127.0.0.1:{port}", ("--store-password-file", password, "--store-ca", cert)
                for words in (("journal", "backup", "--store", url, "copy"), ("store", "migrate", "--from", url, "--to", "new"),
                              ("store", "migrate", "--from", "new", "--to", url), ("journal", "verify", "--store", url)):
                    if words[1] == "migrate" and house.server.poll() is None:
                        house.server.terminate()
                        house.server.wait(timeout=30)
                    done = subprocess.run([NEXUS, *words, *login], capture_output=True, text=True, timeout=60, cwd=house.folder)
                    self.assertEqual(done.returncode, 0, f"{words}: {done.stderr}")
                    self.assertNotIn("sesame", done.stdout + done.stderr)


class Many:
    """Several servers of one folder, each on a port."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="nexus-redis-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
        self.processes, self.settings = {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *settings, port=None):
        port = port or free_port()
        folder = self.folder / str(port)
        folder.mkdir(exist_ok=True)
        self.settings[port] = settings
        with open(folder / "log", "a") as log:
            self.processes[port] = subprocess.Popen(
                ["redis-server", *settings, "--port", str(port), "--dir", str(folder)], stdout=log, stderr=log)
        wait_until("it answers", lambda: self.cli(port, "ping") == "PONG")
        return port

    def again(self, port):
        return self.start(*self.settings[port], port=port)

    def node(self, *settings):
        return self.start("--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always", *settings)

    def cli(self, port, *words):
        return subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True, timeout=60).stdout.strip()


class Several(unittest.TestCase):
    def test_sentinel_names_the_master_and_a_failover_is_followed(self):
        with Many() as redis, House() as house:
            master = redis.node("--min-replicas-to-write", "1")
            replicas = [redis.node("--replicaof", "127.0.0.1", str(master), "--min-replicas-to-write", "1") for _ in range(2)]
            watch = redis.folder / "sentinel.conf"
            watch.write_text(f"sentinel monitor main 127.0.0.1 {master} 1\nsentinel down-after-milliseconds main 1000\n"
                             "sentinel failover-timeout main 5000\n")
            sentinel = redis.start(str(watch), "--sentinel", "--bind", "127.0.0.1")
            wait_until("replicas follow", lambda: redis.cli(master, "info", "replication").count("state=online") == 2, 30)
            wait_until("the Sentinel knows them", lambda: "num-slaves\n2" in redis.cli(sentinel, "sentinel", "master", "main"), 40)
            url = f"redis+sentinel://127.0.0.1:{sentinel}/main"
            refused = refusal(house, "--store", url, "--data", "a")
            self.assertIn("--store-replicas", refused.stderr)
            house.start_server("--store", url, "--store-replicas", "1", "--durability", "replicated")
            house.start_worker("w1")
            told = house.json("task", "submit", "--type", "nobody", "--payload", "x")
            self.assertEqual(told["durability"], "replicated(1)")
            house.run("task", "cancel", told["id"])
            for i in range(20):
                house.submit_exec("/bin/sh", "-c", f"echo {i} >> {house.folder}/starts")
            house.await_idle()
            redis.processes[master].kill()
            submitter = Submitter(house)
            gone = time.monotonic()
            wait_until("it is known", lambda: submitter.submit()[0] != 202, 20)
            wait_until("the new master is used", lambda: submitter.submit()[0] == 202, 40)
            print(f"\nSentinel failover: submissions taken again after {time.monotonic() - gone:.1f} s")
            self.assertIsNone(house.server.poll())
            for i in range(20, 30):
                house.submit_exec("/bin/sh", "-c", f"echo {i} >> {house.folder}/starts")
            wait_until("they run", lambda: len(starts(house)) == 30, 60)
            self.assertEqual([i for i, n in starts(house).items() if n > 1], [])
            self.assertTrue(any(redis.cli(port, "role").startswith("master") for port in replicas))

    def test_a_cluster_of_three_and_a_hash_slot_that_moves(self):
        with Many() as redis, House() as house:
            nodes = [redis.node("--cluster-enabled", "yes", "--cluster-node-timeout", "2000") for _ in range(3)]
            made = subprocess.run(["redis-cli", "--cluster", "create", *[f"127.0.0.1:{n}" for n in nodes], "--cluster-yes"],
                                  capture_output=True, text=True, timeout=120)
            self.assertEqual(made.returncode, 0, made.stdout + made.stderr)
            wait_until("it is whole", lambda: all("cluster_state:ok" in redis.cli(n, "cluster", "info") for n in nodes), 30)
            house.start_server("--store", "redis+cluster://" + ",".join(f"127.0.0.1:{n}" for n in nodes))
            house.start_worker("w1")
            for i in range(10):
                house.submit_exec("/bin/sh", "-c", f"echo {i} >> {house.folder}/starts")
            house.await_idle()
            slot = redis.cli(nodes[0], "cluster", "keyslot", "{nexus:0}:head")
            names = {redis.cli(n, "cluster", "myid"): n for n in nodes}
            of = {n: name for name, n in names.items()}
            owner = next(n for n in nodes if redis.cli(n, "exists", "{nexus:0}:head") == "1")
            other = next(n for n in nodes if n != owner)
            redis.cli(other, "cluster", "setslot", slot, "importing", of[owner])
            redis.cli(owner, "cluster", "setslot", slot, "migrating", of[other])
            while keys := redis.cli(owner, "cluster", "getkeysinslot", slot, "100").split():
                redis.cli(owner, "migrate", "127.0.0.1", str(other), "", "0", "5000", "keys", *keys)
            for n in (other, owner, *nodes):
                redis.cli(n, "cluster", "setslot", slot, "node", of[other])
            submitter = Submitter(house)
            wait_until("the new node is used", lambda: submitter.submit()[0] == 202, 30)
            self.assertEqual(redis.cli(other, "exists", "{nexus:0}:head"), "1")
            for i in range(10, 20):
                house.submit_exec("/bin/sh", "-c", f"echo {i} >> {house.folder}/starts")
            wait_until("they run", lambda: len(starts(house)) == 20, 60)
            self.assertEqual([i for i, n in starts(house).items() if n > 1], [])


def wait_until_back(submitter):
    begin = time.monotonic()
    wait_until("submissions are taken again", lambda: submitter.submit()[0] == 202, 30)
    return time.monotonic() - begin


if __name__ == "__main__":
    unittest.main(verbosity=2)
