"""Stores: moved from a data directory to Redis and back, backed up, checked; models measured on what the history holds."""
import base64
import json
import os
import re
import sqlite3
import subprocess
import threading
import unittest
import urllib.error

from clickhouse import ClickHouse
from harness import House, NEXUS, wait_until
from test_redis import Redis, refusal
from test_restart import starts

WAITING = 2000
ENDED = {4: "succeeded", 5: "dead"}  # core::TaskState
PARKED = ("--type", "nobody", "--require", "zone=nowhere")  # no worker may run it


def nexus(*words, code=0, env=None, timeout=120):
    """Runs a verb that needs no server, and expects this exit code."""
    done = subprocess.run([NEXUS, *map(str, words)], capture_output=True, text=True, timeout=timeout, env={**os.environ, **(env or {})})
    if done.returncode != code:
        raise AssertionError(f"nexus {words} exited {done.returncode}, not {code}:\n{done.stdout}\n{done.stderr}")
    return done


def stop(house):
    house.server.terminate()
    house.server.wait(timeout=30)
    house.server.stdout.close()


def state(house, task):
    return house.json("task", "get", task)["state"].removeprefix("TASK_STATE_").lower()


def counts(house):
    status = house.status()
    return int(status.get("waiting", 0)), int(status.get("running", 0))


def data(house):
    return str(house.folder / "data")


def submit(house, *flags):
    return house.json("task", "submit", *flags)["id"]


class Moved(unittest.TestCase):
    def fill(self, house):
        """Something of each kind; the workers are there, and one long task runs on each."""
        house.start_worker("w1", slots=1)
        house.start_worker("w2", slots=1)
        house.worker_ready(2)
        self.done = house.submit_exec("/bin/echo", "kept")
        self.failed = house.submit_exec("/bin/false", flags=("--attempts", "1"))
        wait_until("two have ended", lambda: state(house, self.done) == "succeeded" and state(house, self.failed) == "dead")
        self.keyed = submit(house, *PARKED, "--payload", "a", "--key", "once")
        self.ended_key = submit(house, *PARKED, "--payload", "b", "--key", "gone")
        house.run("task", "cancel", self.ended_key)
        self.running = [house.submit_exec("/bin/sh", "-c", f"echo {n} >> {house.folder}/starts; while [ ! -e {house.folder}/go ]; do sleep 0.1; done")
                        for n in ("long1", "long2")]
        wait_until("they run", lambda: all(state(house, task) == "running" for task in self.running))
        self.after = house.submit_exec("/bin/sh", "-c", f"echo after >> {house.folder}/starts", flags=("--after", self.running[0]))
        house.bulk_exec(WAITING, lambda i: ["/bin/sh", "-c", f"echo {i} >> {house.folder}/starts"], "moved", "short")

    def judge_the_copy(self, house):
        """Before anything more has run at the other store."""
        self.assertEqual(counts(house), (WAITING + 2, 2))
        result = json.loads(base64.b64decode(house.json("task", "get", self.done)["result"]))
        self.assertEqual(result["stdout"], "kept\n", "what a task left has come along")
        self.assertEqual(submit(house, *PARKED, "--payload", "a", "--key", "once"), self.keyed, "the key is known")
        self.assertEqual(submit(house, *PARKED, "--payload", "b", "--key", "gone"), self.ended_key)
        other = house.run("task", "submit", *PARKED, "--payload", "other", "--key", "once", check=False)
        self.assertNotEqual(other.returncode, 0, "another body under the same key is refused")
        self.assertEqual(len(house.json("task", "list", "--state", "waiting", "--type", "short", "--limit", "1000")["tasks"]), 1000)

    def judge_the_end(self, house, total):
        (house.folder / "go").touch()
        house.start_worker("w3", slots=6)
        house.run("task", "cancel", self.keyed)
        house.await_idle(180)
        ran = starts(house)
        self.assertEqual(len(ran), total, "a task was lost")
        self.assertEqual([i for i, n in ran.items() if n > 1], [], "a task ran twice")
        for task in (*self.running, self.after):
            self.assertEqual(state(house, task), "succeeded")
        self.assertEqual([len(house.json("task", "get", task)["attempts"]) for task in self.running], [1, 1], "their leases went on")

    def test_to_redis_and_back_loses_nothing_and_runs_nothing_twice(self):
        with Redis() as redis, House() as house:
            house.start_server()
            self.fill(house)
            held = nexus("store", "migrate", "--from", data(house), "--to", redis.url, code=4)
            self.assertIn("is held by process", held.stderr)
            self.assertIn("stop that server first", held.stderr)

            stop(house)
            moved = nexus("store", "migrate", "--from", data(house), "--to", redis.url)
            self.assertRegex(moved.stdout, rf"{WAITING + 4:,} payloads, 4 results, .* in [\d.]+ s")
            self.assertIn("the history was not moved", moved.stdout)
            refused = refusal(house, "--data", data(house))
            self.assertEqual(refused.returncode, 1)
            self.assertIn("its journal was moved to redis+unix:", refused.stderr)
            self.assertIn("nexus store reopen", refused.stderr)
            twice = nexus("store", "migrate", "--from", data(house), "--to", redis.url, code=4)
            self.assertIn("it holds a journal", twice.stderr)
            house.start_server("--store", redis.url)
            house.worker_ready(2)
            self.judge_the_copy(house)
            again = house.run("task", "retry", self.failed, "-o", "json")
            self.assertEqual(again.returncode, 0, "the body of a task that failed has come along")

            owned = nexus("store", "migrate", "--from", redis.url, "--to", data(house), code=4)
            self.assertIn("stop that server first", owned.stderr)
            stop(house)
            nexus("store", "migrate", "--from", redis.url, "--to", data(house))
            gone = refusal(house, "--store", redis.url, "--data", str(house.folder / "other"))
            self.assertIn("its journal was moved to " + data(house), gone.stderr)
            house.start_server()
            house.worker_ready(2)
            self.assertEqual(counts(house), (WAITING + 3, 2))
            nexus("journal", "verify", "--data", data(house))

            # A third time, to where the same journal has been.
            stop(house)
            nexus("store", "migrate", "--from", data(house), "--to", redis.url)
            house.start_server("--store", redis.url)
            house.worker_ready(2)
            nexus("journal", "verify", "--store", redis.url)
            self.judge_the_end(house, WAITING + 3)

    def test_a_journal_without_a_snapshot_moves_as_well(self):
        with Redis() as redis, House() as house:
            house.start_server()
            task = submit(house, "--type", "nobody", "--payload", "x")
            house.kill_server()
            nexus("store", "migrate", "--from", data(house), "--to", redis.url)
            house.start_server("--store", redis.url)
            self.assertEqual(state(house, task), "waiting")
            house.kill_server()
            nexus("store", "migrate", "--from", redis.url, "--to", house.folder / "new")
            self.assertIn("its journal was moved to", refusal(house, "--data", data(house)).stderr)
            nexus("journal", "verify", "--data", house.folder / "new")

    def test_an_interrupted_move_leaves_the_source_whole_and_is_repeated(self):
        with Redis() as redis, House() as house:
            house.start_server()
            house.bulk_exec(20000, lambda i: ["/bin/true", "x" * 400], "many")
            stop(house)

            def interrupted(source, target, begun):
                process = subprocess.Popen([NEXUS, "store", "migrate", "--from", source, "--to", target], stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)
                wait_until("it copies", begun)
                process.kill()
                process.wait()

            interrupted(data(house), redis.url, lambda: redis.cli("hget", "{nexus:0}:head", "closed"))
            half = refusal(house, "--store", redis.url, "--data", str(house.folder / "other"))
            self.assertIn("it holds an unfinished copy of " + data(house), half.stderr)
            self.assertIn("repeat `nexus store migrate`", half.stderr)
            self.assertIn("unfinished copy", nexus("store", "reopen", "--store", redis.url, code=1).stderr)
            nexus("journal", "verify", "--data", data(house))
            house.start_server()  # it is as it was
            self.assertEqual(counts(house), (20000, 0))
            stop(house)
            nexus("store", "migrate", "--from", data(house), "--to", redis.url)

            new = house.folder / "new"
            interrupted(redis.url, str(new), (new / "journal.closed").exists)
            self.assertIn("it holds an unfinished copy of redis+unix:", refusal(house, "--data", str(new)).stderr)
            nexus("store", "migrate", "--from", redis.url, "--to", new)
            self.assertFalse((new / "journal.closed").exists())
            house.start_server(data=new)
            self.assertEqual(counts(house), (20000, 0))

    def test_a_move_is_undone_and_what_is_not_empty_is_refused(self):
        with Redis() as redis, House() as house, House() as other:
            house.start_server()
            submit(house, "--type", "nobody", "--payload", "x")
            stop(house)
            self.assertIn("is open", nexus("store", "reopen", "--data", data(house), code=1).stderr)
            nexus("store", "migrate", "--from", data(house), "--to", redis.url)
            self.assertIn("is closed", nexus("journal", "backup", "--data", data(house), house.folder / "b", code=1).stderr)
            undone = nexus("store", "reopen", "--data", data(house))
            self.assertIn("never start both", undone.stdout)
            house.start_server()
            self.assertEqual(counts(house), (1, 0))
            other.start_server()
            stop(other)
            self.assertIn("it holds a journal", nexus("store", "migrate", "--from", data(other), "--to", redis.url, code=4).stderr)
            self.assertIn("it holds a journal", nexus("store", "migrate", "--from", redis.url, "--to", data(other), code=4).stderr)
            self.assertIn("by way of", nexus("store", "migrate", "--from", redis.url, "--to", redis.url, code=2).stderr)
            self.assertIn("it holds no journal", nexus("store", "migrate", "--from", other.folder / "none", "--to", redis.url, code=3).stderr)
            # Another prefix is another journal; a server that promises less is refused as by serve.
            nexus("store", "migrate", "--from", data(other), "--to", redis.url, "--store-prefix", "second")
            redis.cli("config", "set", "appendfsync", "everysec")
            stop(house)
            weak = nexus("store", "migrate", "--from", data(house), "--to", redis.url, "--store-prefix", "third", code=1)
            self.assertIn("appendfsync always", weak.stderr)
            nexus("store", "migrate", "--from", data(house), "--to", redis.url, "--store-prefix", "third", "--durability", "process")

    def test_a_damaged_source_is_refused_and_nothing_is_closed(self):
        with Redis() as redis, House() as house:
            house.start_server("--store", redis.url)
            submit(house, "--type", "nobody", "--payload", "x")
            stop(house)
            second = redis.cli("eval", "return redis.call('XRANGE', KEYS[1], '-', '+')[2][1]", "1", "{nexus:0}:journal")
            self.assertEqual(redis.cli("xdel", "{nexus:0}:journal", second), "1")
            broken = nexus("store", "migrate", "--from", redis.url, "--to", house.folder / "new", code=74)
            self.assertIn("nothing was changed at the source", broken.stderr)
            self.assertEqual(redis.cli("hget", "{nexus:0}:head", "closed"), "")
            self.assertIn("problem:", nexus("journal", "verify", "--store", redis.url, code=1).stdout)


class Backups(unittest.TestCase):
    def test_a_backup_of_redis_under_load_has_all_that_was_acknowledged_before(self):
        with Redis() as redis, House() as house:
            house.start_server("--store", redis.url)
            for name in ("w1", "w2"):
                house.start_worker(name)
            parked = [submit(house, *PARKED, "--payload", str(i)) for i in range(20)]
            ended = house.submit_exec("/bin/echo", "kept")
            wait_until("it has ended", lambda: state(house, ended) == "succeeded")
            acknowledged, going = [], threading.Event()

            def produce():
                while not going.is_set():
                    acknowledged.append(house.submit_exec("/bin/true"))

            producers = [threading.Thread(target=produce) for _ in range(2)]
            for thread in producers:
                thread.start()
            backups = []
            try:
                for n in range(3):
                    wait_until("more is acknowledged", lambda: len(acknowledged) >= 10 * (n + 1), 60)
                    before = list(acknowledged)
                    nexus("journal", "backup", "--store", redis.url, house.folder / f"backup{n}")
                    backups.append((house.folder / f"backup{n}", before))
            finally:
                going.set()
                for thread in producers:
                    thread.join()
            self.assertIsNone(house.server.poll())
            for folder, before in backups:
                verdict = nexus("journal", "verify", "--data", folder)
                self.assertIn("sound", verdict.stdout)
                self.assertGreaterEqual(int(re.search(r"(\d+) results", verdict.stdout)[1]), 1, "what ended tasks left")
                # Each acknowledged before is in it: as a task, or as what has ended by then.
                with House() as restored:
                    restored.start_server(data=folder)
                    for task in parked:
                        self.assertEqual(state(restored, task), "waiting")
                    restored.start_worker("w1")
                    restored.await_idle(60, parked=len(parked))
                exported = nexus("journal", "export", "--data", folder).stdout
                self.assertEqual([task for task in before if task not in exported], [], "acknowledged, and not in the backup")
            # Back to Redis.
            stop(house)
            nexus("store", "migrate", "--from", backups[-1][0], "--to", redis.url, "--store-prefix", "restored")
            house.start_server("--store", redis.url, "--store-prefix", "restored", data=house.folder / "data2")
            self.assertEqual(state(house, parked[0]), "waiting")

    def test_verify_and_export_of_redis_while_its_server_runs(self):
        with Redis() as redis, House() as house:
            house.start_server("--store", redis.url)
            house.start_worker("w1")
            for i in range(5):
                house.submit_exec("/bin/true")
            task = submit(house, *PARKED, "--payload", "x")
            verdict = nexus("journal", "verify", "--store", redis.url).stdout
            self.assertRegex(verdict, r"events 1 to \d+ .*\n\d+ events replayed, every digest as recorded\nsound")
            events = [json.loads(line) for line in nexus("journal", "export", "--store", redis.url).stdout.splitlines()]
            self.assertEqual([event["sequence"] for event in events], list(range(1, len(events) + 1)))
            self.assertEqual(sum(event["event"] == "TaskSubmitted" for event in events), 6)
            late = nexus("journal", "export", "--after", len(events) - 1, env={"REDIS_URL": redis.url}).stdout.splitlines()
            self.assertEqual(json.loads(late[0])["sequence"], len(events))
            page = next(key for key in redis.cli("keys", "{nexus:0}:body:*").split())
            redis.cli("del", page)
            self.assertIn(f"task {task} has no payload", nexus("journal", "verify", "--store", redis.url, code=1).stdout)
            none = nexus("journal", "verify", "--store", redis.url, "--store-prefix", "empty", code=3)
            self.assertIn("it holds no journal", none.stderr)


def tasks_in(clickhouse):
    try:
        return clickhouse.number("SELECT count() FROM tasks")
    except urllib.error.HTTPError:
        return 0  # no such table


class FromHistory(unittest.TestCase):
    def figures(self, *flags):
        """What was measured, without how long that took and what the workload is called."""
        told = json.loads(nexus("evaluate", *flags, "--model", "mixture,ema", "--by-type", "-o", "json").stdout)["results"]
        self.assertEqual(len(told), 2)
        for run in told:
            for key in ("trace", "predict_ns_mean", "learn_ns_mean", "elapsed_s"):
                del run[key]
        return told

    def test_both_histories_give_the_figures_of_the_same_runs(self):
        clickhouse = ClickHouse()
        self.addCleanup(clickhouse.close)
        with House() as house, House() as other:
            house.start_server()
            self.assertIn("holds no task that succeeded", nexus("evaluate", "--from-history", "--data", data(house), code=2).stderr)
            house.start_worker("w1", slots=8)
            house.bulk_exec(60, lambda i: ["/bin/sleep", f"0.{i % 5}"], "quick", "quick")
            house.bulk_exec(40, lambda i: ["/bin/sh", "-c", f"exit {i % 2}"], "half", "half")
            house.await_idle()
            wait_until("all have been written", lambda: len(house.json("task", "list", "--state", "succeeded", "--limit", "1000")["tasks"]) == 80)
            running = self.figures("--from-history", "--data", data(house))  # beside its server
            self.assertEqual([run["rows"] for run in running], [80, 80], "of those that did not succeed nothing is learned")
            self.assertEqual({kind["type"]: kind["rows"] for kind in running[0]["types"]}, {"quick": 60, "half": 20})
            self.assertEqual(self.figures("--from-history", "--data", data(house), "--limit", "30")[0]["rows"], 30)

            # The same rows in ClickHouse, and as a trace.
            other.start_server("--history", clickhouse.url)
            submit(other, "--type", "cancelled", "--payload", "x", "--key", "c")
            other.run("task", "cancel", other.json("task", "list")["tasks"][0]["id"])
            wait_until("the tables are made", lambda: other.json("task", "list", "--state", "cancelled")["tasks"])
            wait_until("its row is there", lambda: tasks_in(clickhouse) == 1)
            rows = sqlite3.connect(house.folder / "data" / "history.db").execute(
                "SELECT finished_us, hex(task), state, t.text, n.text, w.text, submitted_us, started_us, run_us, payload_bytes FROM task"
                " JOIN name t ON t.id = type JOIN name n ON n.id = tenant JOIN name w ON w.id = worker ORDER BY task").fetchall()
            self.assertEqual(len(rows), 100)
            lines = []
            for finished, task, state_, type_, tenant, worker, submitted, started, run, payload in rows:
                task = re.sub("(.{8})(.{4})(.{4})(.{4})(.{12})", r"\1-\2-\3-\4-\5", task.lower())
                lines.append(f"({finished}, '{task}', {ENDED[state_]!r}, {type_!r}, {tenant!r}, 'default', {worker!r}, 5,"
                             f" {submitted}, {started}, {run}, 1, 0, 0, {payload}, 0, 0, 0, 0, 0, '', '', 0)")
            clickhouse.ask("INSERT INTO tasks (finished_us, task, state, type, tenant, queue, worker, priority, submitted_us, started_us, run_us,"
                           " attempts, failures, crashes, payload_bytes, result_bytes, predicted_p50_us, predicted_p90_us,"
                           " eta_finish_p50_us, eta_finish_p90_us, error, redrive_of, shard) VALUES " + ", ".join(lines))
            self.assertEqual(self.figures("--from-history", "--history", clickhouse.url), running)
            trace = house.folder / "trace.csv"
            first = min(row[6] for row in rows if row[2] == 4)
            with open(trace, "w") as file:
                file.write("submit_time_s,duration_s,type,group_or_user,payload_size,worker\n")
                for row in sorted((row for row in rows if row[2] == 4), key=lambda row: (row[6], row[1])):
                    file.write(f"{(row[6] - first) / 1e6:.6f},{row[8] / 1e6:.6f},{row[3]},{row[4]},{row[9]},{row[5]}\n")
            self.assertEqual(self.figures("--trace", trace), running)
            away = nexus("evaluate", "--from-history", "--history", "clickhouse://127.0.0.1:1/nexus", code=1)
            self.assertIn("127.0.0.1:1", away.stderr)
        self.assertIn("--trace FILE, or --from-history", nexus("evaluate", code=2).stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
