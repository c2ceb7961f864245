"""The history in ClickHouse (docs/history.md): every verb answers as with the embedded one, nothing waits for it, nothing is
lost while it is away."""
import json
import os
import unittest
import urllib.request

from clickhouse import ClickHouse, make_certificate
from harness import House, wait_until
from test_bad_input import clean_environment, nexus


def page(house, path):
    return urllib.request.urlopen(f"http://{house.http}{path}", timeout=10).read().decode()


def metric(house, name):
    for line in page(house, "/metrics").splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    raise AssertionError(f"no metric {name}")


class HistoryInClickHouse(unittest.TestCase):
    def setUp(self):
        self.clickhouse = ClickHouse()
        self.addCleanup(self.clickhouse.close)
        self.house = House()
        self.addCleanup(self.house.__exit__)

    def serve(self, *flags):
        return self.house.start_server("--history", self.clickhouse.url, *flags)

    def everything(self, house):
        """What every verb on ended tasks says; every one says something."""
        ids = []
        for i in range(6):
            ids.append(house.submit_exec("sh", "-c", f"exit {1 if i == 3 else 0}", flags=["--type", f"t{i % 2}", "--attempts", "2"]))
        house.run("queue", "pause", "mail", "--reason", "a test")
        house.run("queue", "resume", "mail", "--reason", "it is over")
        house.await_idle()
        wait_until("all have ended", lambda: len(house.json("task", "list", "--state", "succeeded")["tasks"]) == 5)
        told = []
        for words in (["task", "list", "--state", "succeeded"], ["task", "list", "--state", "dead"],
                      ["task", "list", "--state", "succeeded", "--type", "t1"],
                      ["task", "list", "--state", "succeeded", "--worker", "w1"], ["task", "list"],
                      ["task", "get", ids[0]], ["task", "get", ids[3]], ["task", "explain", ids[1]], ["task", "logs", ids[2]],
                      ["decision", "list"], ["decision", "list", "--task", ids[0]], ["audit", "list"], ["audit", "verify"],
                      ["config", "history"], ["type", "list"], ["task", "list", "--state", "succeeded", "--limit", "2"]):
            done = house.run(*words, "-o", "json", check=False)
            self.assertEqual(done.returncode, 0, f"{words}: {done.stderr}")
            text = done.stdout
            for number, task in enumerate(ids):
                text = text.replace(task, f"task-{number}")
            told.append((words[:-1], sorted(facts(json.loads(text)) if text.startswith("{") else {("text", text)})))
        dead = house.json("task", "retry", ids[3])
        self.assertTrue(dead)
        return told

    def test_every_verb_answers_as_with_the_embedded_history(self):
        with House() as embedded:
            embedded.start_server()
            embedded.start_worker("w1", slots=1)
            embedded.worker_ready(1)
            want = self.everything(embedded)
        self.serve()
        self.house.start_worker("w1", slots=1)
        self.house.worker_ready(1)
        got = self.everything(self.house)
        for one, other in zip(want, got, strict=True):
            self.assertEqual(one, other)
        self.assertIn(f"[+] history: {self.clickhouse.url}", page(self.house, "/readyz?verbose"))
        self.assertIn(self.clickhouse.url, self.house.run("config", "show").stdout)
        self.assertFalse((self.house.folder / "data" / "history.db").exists())
        wait_until("the decisions are there", lambda: self.clickhouse.number("SELECT count() FROM scheduler_decisions") >= 7)
        words = {row[0] for row in self.clickhouse.ask("SELECT DISTINCT reasoning FROM scheduler_decisions")}
        self.assertTrue(words <= {"prediction", "fallback_round_robin", "capability_match", "load_balance"}, words)
        # Without a server of ours.
        offline = nexus("audit", "verify", "--data", self.house.folder / "data", "--history", self.clickhouse.url,
                        env=clean_environment(), text=True)
        self.assertEqual(offline.returncode, 0, offline.stderr)
        self.assertIn("sound: 2 entries", offline.stdout)

    def count(self, table):
        return self.clickhouse.number(f"SELECT count() FROM {table} FINAL")

    def test_nothing_is_lost_while_it_is_away_and_nothing_waits(self):
        house = self.house
        self.serve()
        house.start_worker("w1")
        house.worker_ready(1)
        house.bulk_exec(40, lambda i: ["true"], "before")
        house.await_idle()
        wait_until("all are in ClickHouse", lambda: self.count("tasks") == 40)
        self.clickhouse.kill()
        house.bulk_exec(60, lambda i: ["true"], "away")
        house.await_idle()
        wait_until("the spool has them", lambda: metric(house, "nexus_history_spool_rows") >= 180)
        self.assertEqual(metric(house, "nexus_history_up"), 0)
        ready = page(house, "/readyz?verbose")  # answers 200: work is accepted
        self.assertIn("[!] history: not written to " + self.clickhouse.url, ready)
        doctor = house.run("doctor", "--data", str(house.folder / "data"), check=False)
        self.assertIn("The history is not written to " + self.clickhouse.url, doctor.stdout)
        log = (house.folder / "server.log").read_text()
        self.assertIn("history_away", log)
        # The server dies as well; a new one starts without ClickHouse, with what waits.
        house.kill_server()
        self.serve()
        house.worker_ready(1)
        house.bulk_exec(20, lambda i: ["true"], "still-away")
        house.await_idle()
        self.clickhouse.start()
        wait_until("all are in ClickHouse", lambda: self.count("tasks") == 120, 60)
        wait_until("nothing waits", lambda: metric(house, "nexus_history_spool_rows") == 0)
        self.assertEqual(metric(house, "nexus_history_up"), 1)
        self.assertEqual(metric(house, "nexus_history_dropped_total"), 0)
        self.assertEqual(self.count("attempts"), 120)
        # A task may be decided about more than once (prefetched, asked back); each has its decision.
        self.assertEqual(self.clickhouse.number("SELECT uniqExact(task_id) FROM scheduler_decisions"), 120)
        self.assertIn("history_back", (house.folder / "server.log").read_text())
        listed = house.json("task", "list", "--state", "succeeded", "--limit", "1000")["tasks"]
        self.assertEqual(len(listed), 120)

    def test_the_login_comes_from_a_private_file_and_is_told_nowhere(self):
        house = self.house
        login = house.folder / "login"
        login.write_text("nexus:open sesame\n")
        login.chmod(0o644)
        refused = nexus("serve", "--data", house.folder / "x", "--listen", "127.0.0.1:0", "--http", "off", "--history",
                        self.clickhouse.url, "--set", f"server.history_login_file={login}", env=clean_environment(), text=True)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("chmod 600", refused.stderr)
        login.chmod(0o600)
        self.serve("--set", f"server.history_login_file={login}")
        house.start_worker("w1")
        house.worker_ready(1)
        house.bulk_exec(5, lambda i: ["true"], "login")
        house.await_idle()
        wait_until("all are in ClickHouse", lambda: self.count("tasks") == 5)
        told = house.run("config", "show").stdout + page(house, "/readyz?verbose") + page(house, "/metrics")
        told += (house.folder / "server.log").read_text()
        self.assertNotIn("sesame", told)
        # A wrong one: said, and work goes on.
        login.write_text("nexus:wrong\n")
        house.kill_server()
        self.serve("--set", f"server.history_login_file={login}")
        wait_until("it is said", lambda: "[!] history" in page(house, "/readyz?verbose"))
        bad = nexus("serve", "--data", house.folder / "y", "--history", "clickhouse://nexus:secret@localhost/x",
                    env=clean_environment(), text=True)
        self.assertNotEqual(bad.returncode, 0)
        self.assertIn("server.history_login_file", bad.stderr)
        self.assertNotIn("secret", bad.stderr)

    def test_over_tls_with_a_server_that_proves_who_it_is(self):
        house = self.house
        url = f"clickhouses://localhost:{self.clickhouse.https}/nexus"
        other = make_certificate(house.folder, "other")
        house.start_server("--history", url, "--set", f"server.history_ca_file={other}")
        wait_until("another's certificate is refused", lambda: "[!] history" in page(house, "/readyz?verbose"))
        self.assertIn("certificate verify failed", page(house, "/readyz?verbose"))
        house.start_worker("w1")
        house.worker_ready(1)
        house.bulk_exec(5, lambda i: ["true"], "tls")
        house.await_idle()
        house.kill_server()
        house.start_server("--history", url, "--set", f"server.history_ca_file={self.clickhouse.folder}/tls.pem")
        wait_until("all are in ClickHouse", lambda: metric(house, "nexus_history_written_total") >= 15)
        self.assertEqual(self.count("tasks"), 5)


def facts(value, key=""):
    """What a document says of what happened, without figures, which differ from run to run."""
    if isinstance(value, dict):
        return {fact for name, part in value.items() for fact in facts(part, name)}
    if isinstance(value, list):
        return {fact for part in value for fact in facts(part, key)}
    if key == "id" and str(value).isdigit():
        return set()  # the event of a decision
    return {(key, value)} if key in ("id", "task_id", "state", "type", "tenant", "queue", "worker", "action", "author", "outcome") else set()


if __name__ == "__main__":
    os.environ.setdefault("NO_COLOR", "1")
    unittest.main()
