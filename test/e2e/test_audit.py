"""The audit (docs/audit.md): U1 to U5 of the catalogue of security tests, N4, and D10 of the files."""
import csv
import io
import json
import os
import pathlib
import re
import shutil
import sqlite3
import stat
import subprocess
import unittest
import urllib.error
import urllib.request

from harness import NEXUS, House, wait_until
from test_bad_input import USAGE, clean_environment, nexus


class Audit(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.__exit__)
        self.house.start_server()

    def act(self):
        """One act of each kind; returns their actions, newest first."""
        self.house.start_worker("w1")
        self.house.worker_ready(1)
        task = self.house.json("task", "submit", "--type", "a", "--payload", "x", "--require", "zone=none")["id"]
        pin = lambda: str(self.house.json("override", "list")["overrides"][0]["number"])
        for words in (["config", "set", "lease=8s"], ["policy", "set", "fcfs"], ["queue", "pause", "mail"], ["queue", "resume", "mail"],
                      ["worker", "cordon", "w1"], ["worker", "uncordon", "w1"], ["worker", "drain", "w1"],
                      ["override", "set", "pin", "--task", task, "--worker", "w1"], ["override", "clear"],
                      ["type", "force", "a", "--estimate", "2s"], ["type", "force", "a", "--clear"], ["config", "rollback", "1"]):
            blame = ["--author", "ann"] + ([] if words[:2] == ["override", "clear"] else ["--reason", "because of " + " ".join(words[:2])])
            self.house.run(*words, *([pin()] if words == ["override", "clear"] else []), *blame)
        return [entry["action"] for entry in self.house.json("audit", "list")["entries"]]

    def stored(self, data=None):
        """The history once all entries are written, by itself."""
        count = len(self.house.json("audit", "list", "--limit", "1000")["entries"])
        path = pathlib.Path(data or self.house.folder / "data") / "history.db"

        def rows():
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
                return db.execute("SELECT count(*) FROM audit").fetchone()[0]
        wait_until("the history has the entries", lambda: rows() == count)
        return path

    def test_U1_every_act_says_who_when_why_and_what(self):
        actions = self.act()
        self.assertEqual(len(actions), 12)
        for entry in self.house.json("audit", "list")["entries"]:
            with self.subTest(action=entry["action"]):
                self.assertEqual(entry["author"], "ann")
                self.assertIn("127.0.0.1", entry["caller"])
                self.assertGreater(int(entry["at_unix_us"]), 1_600_000_000_000_000)
                self.assertRegex(entry["hash"], "^[0-9a-f]{64}$")
                self.assertGreater(int(entry["number"]), 0)
                if not entry["action"].startswith("clear override"):
                    self.assertTrue(entry["reason"].startswith(("because", "back to version 1: because")))
        changed = self.house.json("audit", "list", "--search", "scheduler.lease")["entries"][-1]
        self.assertIn('scheduler.lease = "5s"', changed["before"])
        self.assertIn('scheduler.lease = "8s"', changed["after"])

    def test_U2_and_D10_whatever_is_done_to_entries_is_found(self):
        self.act()
        head = self.house.json("audit", "verify")
        self.assertTrue(head["good"], head)
        self.assertEqual(head["entries"], "12")
        path = self.stored()
        damages = {
            "change": "UPDATE audit SET author = 'eve' WHERE action LIKE 'drain%'",
            "change of time": "UPDATE audit SET at_us = at_us - 1 WHERE action LIKE 'drain%'",
            "delete": "DELETE FROM audit WHERE action LIKE 'drain%'",
            "delete the first": "DELETE FROM audit WHERE number = (SELECT min(number) FROM audit)",
            "truncate": "DELETE FROM audit WHERE number = (SELECT max(number) FROM audit)",
            "delete all": "DELETE FROM audit",
            "reorder": "UPDATE audit SET number = CASE action WHEN 'cordon worker w1' THEN (SELECT number FROM audit WHERE action LIKE 'drain%')"
                       " ELSE (SELECT number FROM audit WHERE action LIKE 'cordon%') END WHERE action IN ('cordon worker w1', 'drain worker w1')",
            "insert": "INSERT INTO audit SELECT at_us + 1, shard, number + 1, part, caller, author, action, reason, before, after, hash FROM audit"
                      " WHERE action LIKE 'drain%'",
        }
        for name, sql in damages.items():
            with self.subTest(damage=name):
                copy = self.house.folder / "copy"
                shutil.rmtree(copy, ignore_errors=True)
                copy.mkdir()
                with sqlite3.connect(path) as source, sqlite3.connect(copy / "history.db") as target:
                    source.backup(target)
                sound = nexus("audit", "verify", "--data", str(copy), "--head", head["head"])
                self.assertEqual(sound.returncode, 0, sound.stdout + sound.stderr)
                with sqlite3.connect(copy / "history.db") as db:
                    self.assertGreater(db.execute(sql).rowcount, 0)
                found = nexus("audit", "verify", "--data", str(copy), "--head", head["head"])
                self.assertEqual(found.returncode, 1, found.stdout)
                self.assertRegex(found.stdout.decode(), "^problem: .*(entry|entries)")
        # Of the running server, which holds the head itself.
        with sqlite3.connect(path, timeout=20) as db:
            db.execute(damages["truncate"])
        done = self.house.run("audit", "verify", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("the newest entries are gone", done.stdout)

    def test_D10_files_that_are_cut_or_changed_crash_nothing(self):
        self.act()
        whole = self.stored().read_bytes()
        copy = self.house.folder / "copy"
        copy.mkdir()
        for name, content in (("empty", b""), ("cut", whole[:len(whole) // 2]), ("torn", whole[:-100]), ("noise", os.urandom(8192))):
            with self.subTest(file=name):
                (copy / "history.db").write_bytes(content)
                done = nexus("audit", "verify", "--data", str(copy))
                self.assertGreater(done.returncode, 0)
                self.assertLess(len(done.stderr), 2000)
                self.assertNotIn(b"terminate", done.stderr)
        (copy / "history.db").unlink()
        done = nexus("audit", "verify", "--data", str(copy))
        self.assertGreater(done.returncode, 0)
        self.assertFalse((copy / "history.db").exists())
        self.assertEqual(nexus("audit", "verify", "--head", "x").returncode, USAGE)

    def test_U2_the_head_stands_outside_of_the_history(self):
        self.house.run("queue", "pause", "mail")
        head = self.house.json("audit", "verify")["head"]
        with urllib.request.urlopen(f"http://{self.house.http}/metrics", timeout=20) as answer:
            self.assertIn(f'nexus_audit_head_info{{hash="{head}"}} 1', answer.read().decode())
        self.house.kill_server()
        self.house.start_server()
        file = self.house.folder / "data" / "audit.head"
        wait_until("the head is written", file.exists)
        self.assertEqual(file.read_text(), head + "\n")
        self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o600)
        self.assertIn(f"the audit's head is {head}", (self.house.folder / "server.log").read_text())
        data = str(self.house.folder / "data")
        self.assertEqual(nexus("audit", "verify", "--data", data).returncode, 0)
        file.write_text("0" * 64 + "\n")
        self.assertEqual(nexus("audit", "verify", "--data", data).returncode, 1)

    def test_U4_no_method_changes_or_deletes_an_entry(self):
        self.house.run("queue", "pause", "mail")
        before = self.house.json("audit", "list")
        for method in ("DELETE", "PUT", "POST", "PATCH"):
            for path in ("/v1/audit", "/v1/audit/1", "/v1/audit/verify"):
                request = urllib.request.Request(f"http://{self.house.http}{path}", method=method, data=b"{}",
                                                 headers={"Content-Type": "application/json"})
                with self.subTest(method=method, path=path), self.assertRaises(urllib.error.HTTPError) as refused:
                    urllib.request.urlopen(request, timeout=20)
                self.assertIn(refused.exception.code, (404, 405))
                refused.exception.close()
        self.assertEqual(self.house.json("audit", "list"), before)
        helped = nexus("audit", "--help").stdout.decode()
        self.assertEqual(set(re.findall(r"^  ([a-z]+) ", helped.split("Subcommands:")[1], re.M)), {"list", "export", "verify"})

    def test_N4_csv_is_no_formula_and_stays_whole(self):
        for reason in ('=cmd|"/c calc"!A1', "+1+2", "-2+3", "@SUM(A1)", "a,b", 'say "hi"', "-5"):
            self.house.run("queue", "pause", "mail", f"--reason={reason}")
        text = self.house.run("audit", "export", "-o", "csv").stdout
        rows = list(csv.DictReader(io.StringIO(text)))
        self.assertEqual([row["reason"] for row in reversed(rows)],
                         ['\'=cmd|"/c calc"!A1', "'+1+2", "'-2+3", "'@SUM(A1)", "a,b", 'say "hi"', "-5"])
        self.assertRegex(rows[0]["at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        lines = [json.loads(line) for line in self.house.run("audit", "export").stdout.splitlines()]
        self.assertEqual(len(lines), 7)
        self.assertEqual(lines[-1]["reason"], '=cmd|"/c calc"!A1')
        picked = self.house.run("audit", "export", "-o", "csv", "--columns", "number,action").stdout.splitlines()
        self.assertEqual(picked[0], "number,action")

    def test_filters(self):
        self.house.run("queue", "pause", "mail", "--reason", "provider is down")
        self.house.run("queue", "pause", "bulk", "--author", "bob")
        count = lambda *flags: len(self.house.json("audit", "list", *flags)["entries"])
        self.assertEqual((count(), count("--search", "provider"), count("--search", "bob"), count("--search", "nobody")), (2, 1, 1, 0))
        self.assertEqual((count("--from", "1h"), count("--to", "1h"), count("--from", "2099-01-01T00:00:00Z")), (2, 0, 0))
        self.assertEqual(self.house.run("audit", "list", "--from", "yesterday", check=False).returncode, USAGE)


if __name__ == "__main__":
    unittest.main()
