"""What all verbs of the command line share: formats and columns of lists, exit codes, completion and the manual
(docs/cli.md, docs/commands.md)."""
import csv
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

from harness import NEXUS, House
from test_bad_input import USAGE, clean_environment, free_port, nexus

LISTS = {  # verb: columns that it must know
    ("task", "list"): {"id", "type", "state", "age", "worker", "queue", "tenant", "where"},
    ("worker", "list"): {"name", "state", "running", "speed", "labels"},
    ("type", "list"): {"type", "runs", "p50", "p90", "model"},
    ("decision", "list"): {"id", "task", "worker", "reason"},
    ("override", "list"): {"number", "kind", "target", "reason"},
    ("audit", "list"): {"at", "author", "caller", "action", "reason", "hash"},
    ("config", "history"): {"version", "author", "reason", "changes"},
}


class Formats(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House()
        cls.house.start_server()
        cls.house.start_worker("w1")
        cls.house.worker_ready(1)
        cls.done = cls.house.submit_exec("true", flags=("--wait", "--type", "done"))
        cls.waiting = cls.house.json("task", "submit", "--type", "later", "--payload", "x", "--require", "zone=none")["id"]
        cls.house.run("override", "set", "hold", "--type", "slow", "--reason", "disk, moving")
        cls.house.run("config", "set", "lease=8s", "--reason", "slow net")

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def test_every_list_in_every_format(self):
        for verb, columns in LISTS.items():
            with self.subTest(verb=verb):
                rows = list(csv.DictReader(io.StringIO(self.house.run(*verb, "-o", "csv").stdout)))
                self.assertGreater(len(rows), 0)
                self.assertLessEqual(columns, set(rows[0]))
                for format in ("table", "wide"):
                    self.assertGreaterEqual(len(self.house.run(*verb, "-o", format).stdout.splitlines()), 1 + len(rows))
                names = self.house.run(*verb, "-o", "name").stdout.split()
                self.assertEqual(len(names), len(rows))
                items = [json.loads(line) for line in self.house.run(*verb, "-o", "jsonl").stdout.splitlines()]
                self.assertEqual(len(items), len(rows))
                document = self.house.json(*verb)
                self.assertTrue(any(isinstance(value, list) and len(value) == len(rows) for value in document.values()))
                yaml = self.house.run(*verb, "-o", "yaml").stdout
                self.assertRegex(yaml, r'(?m)^"\w+":\n  -\n    "')
                few = sorted(columns)[:2]
                picked = self.house.run(*verb, "-o", "csv", "--columns", ",".join(few)).stdout
                self.assertEqual(picked.splitlines()[0], ",".join(few))
                header = self.house.run(*verb, "--columns", few[1]).stdout.splitlines()[0]
                self.assertNotIn("  ", header.strip())
                wrong = self.house.run(*verb, "--columns", few[0] + "x", check=False)
                self.assertEqual(wrong.returncode, USAGE)
                self.assertIn(few[0], wrong.stderr)

    def test_one_thing_in_every_format(self):
        for words in (("task", "get", self.done), ("worker", "get", "w1"), ("type", "get", "done")):
            with self.subTest(words=words):
                row = next(csv.DictReader(io.StringIO(self.house.run(*words, "-o", "csv").stdout)))
                self.assertIn(words[2], row.values())
                self.assertEqual(self.house.run(*words, "-o", "name").stdout, words[2] + "\n")
                self.assertIn(f'"{words[2]}"', self.house.run(*words, "-o", "yaml").stdout)
                self.assertEqual(len(self.house.run(*words, "--columns", next(iter(row))).stdout.splitlines()), 2)

    def test_yaml_is_read_by_others(self):
        try:
            import yaml
        except ImportError:
            self.skipTest("no module yaml")
        for words in (("status",), ("task", "list"), ("config", "get"), ("config", "history")):
            with self.subTest(words=words):
                read = yaml.safe_load(self.house.run(*words, "-o", "yaml").stdout)
                as_json = self.house.json(*words)
                if words != ("status",):
                    self.assertEqual(read, as_json)

    def test_a_verb_without_a_list_has_no_csv(self):
        done = self.house.run("status", "-o", "csv", check=False)
        self.assertEqual(done.returncode, USAGE)
        self.assertIn("-o json", done.stderr)
        self.assertEqual(self.house.run("status", "--columns", "a", check=False).returncode, USAGE)

    def test_values_in_csv_are_for_programs(self):
        row = next(row for row in csv.DictReader(io.StringIO(self.house.run("task", "list", "-o", "csv").stdout)) if row["id"] == self.done)
        self.assertRegex(row["ran"], r"^\d+$")
        self.assertRegex(row["submitted"], r"^\d{4}-\d\d-\d\dT.*Z$")
        self.assertEqual(row["state"], "succeeded")
        self.assertNotIn("\x1b", row["state"])

    def complete(self, *words):
        done = nexus("__complete", *words, env=clean_environment(NEXUS_SERVER=self.house.grpc))
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr, b"")
        return [line.split("\t")[0] for line in done.stdout.decode().splitlines()]

    def test_completion_knows_verbs_flags_and_live_names(self):
        self.assertIn("task", self.complete("ta"))
        self.assertNotIn("manual", self.complete(""))
        self.assertEqual(self.complete("task", "ge"), ["get"])
        self.assertIn("--columns", self.complete("task", "list", "--c"))
        self.assertEqual(self.complete("worker", "drain", ""), ["w1"])
        self.assertEqual(self.complete("task", "list", "--worker", "w"), ["w1"])
        self.assertEqual(self.complete("task", "list", "--limit", "5", "--type", "l"), ["later"])
        self.assertEqual(self.complete("type", "get", "do"), ["done"])
        self.assertIn(self.waiting, self.complete("task", "cancel", ""))
        self.assertEqual(self.complete("queue", "pause", "def"), ["default"])
        self.assertEqual(self.complete("policy", "set", "round"), ["round-robin"])
        self.assertEqual(self.complete("config", "set", "leas"), ["lease="])
        self.assertEqual(self.complete("config", "get", "leas"), ["lease"])
        self.assertIn("2", self.complete("config", "rollback", ""))
        self.assertEqual(self.complete("task", "list", "-o", "js"), ["json", "jsonl"])
        self.assertEqual(self.complete("task", "list", "--columns", "sta"), ["state"])
        self.assertEqual(self.complete("worker", "list", "--state", "re"), ["ready"])
        self.assertEqual(self.complete("worker", "drain", "--server", f"127.0.0.1:{free_port()}", ""), [])

    def test_completion_in_bash(self):
        script = nexus("completion", "bash").stdout.decode()
        ask = f'{script}\nCOMP_WORDS=({NEXUS} worker drain ""); COMP_CWORD=3; _nexus; echo "${{COMPREPLY[@]}}"'
        done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, timeout=20, env=clean_environment(NEXUS_SERVER=self.house.grpc))
        self.assertEqual(done.stdout, "w1\n", done.stderr)

    def test_completion_of_other_shells_can_be_read(self):
        for shell in ("zsh", "fish"):
            script = nexus("completion", shell).stdout
            self.assertIn(b"__complete", script)
            if shutil.which(shell):
                self.assertEqual(subprocess.run([shell, "-n"], input=script, capture_output=True, timeout=20).returncode, 0)

    def test_a_server_that_hangs_stops_no_completion(self):
        import socket
        import time
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            begin = time.monotonic()
            done = nexus("__complete", "worker", "drain", "", env=clean_environment(NEXUS_SERVER=f"127.0.0.1:{silent.getsockname()[1]}"))
            self.assertEqual((done.returncode, done.stdout), (0, b""))
            self.assertLess(time.monotonic() - begin, 5)


class Bulk(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.__exit__)
        self.house.start_server()

    def waiting(self, count, type_name="mail"):
        lines = "".join(json.dumps({"type": type_name, "payload_text": "x"}) + "\n" for _ in range(count))
        self.house.run("task", "submit", "--file", "-", stdin=lines)

    def left(self, *flags):
        return len(self.house.run("task", "list", "--limit", "10000", "-o", "name", *flags).stdout.split())

    def test_cancel_by_filter_in_pages_and_slowly(self):
        self.waiting(1200)
        self.waiting(3, "other")
        dry = self.house.run("task", "cancel", "--type", "mail", "--dry-run")
        self.assertEqual(len(dry.stdout.splitlines()), 1200)
        self.assertIn("1,200 tasks would be cancelled", dry.stderr)
        self.assertEqual(self.left("--state", "waiting"), 1203)
        done = self.house.run("task", "cancel", "--type", "mail", "--limit", "30", "--rate", "20/s")
        self.assertEqual(len(done.stdout.splitlines()), 30)
        self.house.run("task", "cancel", "--type", "mail", "--reason", "wrong input", "-q")
        self.assertEqual((self.left("--state", "waiting"), self.left("--state", "cancelled")), (3, 1200))
        again = self.house.run("task", "retry", "--state", "cancelled", "--type", "mail", "--limit", "2", "-o", "jsonl")
        self.assertEqual([bool(json.loads(line)["new_id"]) for line in again.stdout.splitlines()], [True, True])
        self.assertEqual(self.left("--state", "waiting", "--type", "mail"), 2)

    def test_ids_and_filters_are_told_apart(self):
        self.waiting(2)
        ids = self.house.run("task", "list", "-o", "name").stdout.split()
        for words in (["cancel"], ["retry"], ["cancel", ids[0], "--type", "mail"], ["cancel", "--type", "mail", "--rate", "5"],
                      ["cancel", "--state", "wating"], ["retry", "--state", "waiting"]):
            with self.subTest(words=words):
                self.assertEqual(self.house.run("task", *words, check=False).returncode, USAGE)
        dry = self.house.run("task", "cancel", ids[0], "--dry-run")
        self.assertEqual(dry.stdout, f"{ids[0]}  would be cancelled\n")
        self.assertEqual(self.left("--state", "waiting"), 2)
        self.assertEqual(self.house.run("task", "cancel", "--type", "nobody").stderr, "0 tasks cancelled\n")

    def test_queues_and_policies(self):
        self.waiting(2)
        self.house.run("queue", "pause", "default")
        row = next(csv.DictReader(io.StringIO(self.house.run("queue", "list", "-o", "csv").stdout)))
        self.assertEqual((row["name"], row["state"], row["waiting"]), ("default", "paused", "2"))
        self.assertRegex(self.house.run("queue", "get", "default").stdout, r"waiting +2\n")
        policies = list(csv.DictReader(io.StringIO(self.house.run("policy", "list", "-o", "csv").stdout)))
        self.assertEqual([row["name"] for row in policies if row["active"] == "yes"], ["predictive"])
        self.assertEqual(len(policies), 8)


class Manual(unittest.TestCase):
    def test_man_page_has_every_verb_and_the_exit_codes(self):
        page = nexus("manual", "--man").stdout.decode()
        for words in (r'.SS "nexus task submit', r'.SS "nexus config rollback version', r".SH EXIT STATUS", r"\fB124\fR", "NEXUS_SERVER"):
            self.assertIn(words, page)
        if shutil.which("mandoc"):
            lint = subprocess.run(["mandoc", "-T", "lint", "-W", "error"], input=page, text=True, capture_output=True, timeout=20)
            self.assertEqual(lint.returncode, 0, lint.stdout)

    def test_it_is_made_or_refused(self):
        self.assertEqual(nexus("manual").returncode, USAGE)
        self.assertEqual(nexus("manual", "--man", "--markdown").returncode, USAGE)
        self.assertIn(b"## nexus task list", nexus("manual", "--markdown").stdout)


if __name__ == "__main__":
    unittest.main()
