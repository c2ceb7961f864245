"""The command line with what people type (the field's cases D, F, G, J): real processes, each case by its name."""
import gzip
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

from harness import NEXUS, House, wait_until

OK, FAILURE, USAGE, NOT_FOUND, REFUSED = 0, 1, 2, 3, 4


class Field(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House()
        cls.house.start_server()
        cls.house.start_worker("w1", slots=8)
        cls.house.worker_ready(1)

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def nexus(self, *args, stdin=None, **kwargs):
        env = {**os.environ, "NEXUS_SERVER": self.house.grpc}
        return subprocess.run([NEXUS, *args], capture_output=True, timeout=60, input=stdin, env=env, cwd=self.house.folder, **kwargs)

    def submitted(self, *args):
        done = self.nexus("task", "submit", *args)
        self.assertEqual(done.returncode, OK, done.stderr)
        return done.stdout.decode().strip()

    def file(self, content):
        handle, path = tempfile.mkstemp(dir=self.house.folder, suffix=".jsonl")
        with os.fdopen(handle, "wb") as out:
            out.write(content if isinstance(content, bytes) else content.encode())
        return path

    def count(self, type_name):
        return len(self.house.json("task", "list", "--type", type_name, "--limit", "1000")["tasks"])

    # ---- D: the command line does not change the command

    def test_field_D_two_dashes_end_our_flags(self):
        first = self.submitted("--type", "first", "--", "true")
        words = ["%s\n", "a.py", "--priority", "9", "--exclusive", "--", "-o", "json", "[.a, .b]", "[0-9]", "[]", "", "a,b", "ö€𝄞", "{}"]
        for flags in (["--after", first], ["--require", "zone=a", "--require", "disk=ssd"], ["--metadata", "k=[1,2]"], ["--feature", "x=1"], []):
            with self.subTest(flags=flags):
                if flags and flags[0] == "--require":
                    self.house.start_worker("w2", "--label", "zone=a", "--label", "disk=ssd")
                done = self.nexus("task", "submit", *flags, "--wait", "--type", "print", "--", "printf", *words)
                self.assertEqual(done.stdout.decode(), "".join(word + "\n" for word in words[1:]), done.stderr)
                self.assertEqual(done.returncode, OK)

    def test_field_D_text_that_is_not_utf8_is_refused_before_anything_is_sent(self):
        for bad in (b"\xed\xa0\xbd", b"\xc0\xaf", b"\xff", b"a\xe2\x82"):
            for args in ((b"--", b"printf", bad), (b"--metadata", b"a=" + bad, b"--", b"true"), (b"--key", bad, b"--", b"true"),
                         (b"--type", b"utf", b"--payload", b"x", b"--require", b"zone=" + bad)):
                with self.subTest(args=args):
                    done = self.nexus("task", "submit", "--type", "utf", *args) if b"--type" not in args else self.nexus("task", "submit", *args)
                    self.assertEqual(done.returncode, USAGE, done.stderr)
                    self.assertIn(b"UTF-8", done.stderr)
        self.assertEqual(self.count("utf"), 0)

    def test_field_D_every_program_has_a_type(self):
        for program, want in (("g++", "g__"), ("./my prog", "my_prog"), ("/usr/bin/true", "true"), ("..", ".."), ("größe", "gr____e"), ("x" * 300, "x" * 128)):
            with self.subTest(program=program):
                task = self.submitted("--run-at", "+1h", "--", program, "x.cc")
                self.assertEqual(self.house.json("task", "get", task)["type"], want)
                self.house.run("task", "cancel", task)

    def test_field_D_shared_flags_work_in_both_places(self):
        for args in (["--server", self.house.grpc, "status"], ["status", "--server", self.house.grpc], ["-o", "json", "task", "list"],
                     ["task", "-o", "json", "list"], ["--timeout=5s", "-q", "worker", "list"]):
            with self.subTest(args=args):
                self.assertEqual(self.nexus(*args).returncode, OK)
        done = self.nexus("--server", "x:1", "completion", "bash")
        self.assertEqual(done.returncode, USAGE)
        self.assertNotIn(b"did you mean --server", done.stderr)
        self.assertIn(b"put -- before a program", self.nexus("task", "submit", "sleep", "1").stderr)

    def test_field_D_all_policies_by_their_names(self):
        for name in ("round-robin", "round_robin", "least-loaded", "power-of-two", "nexus-ema", "least-work", "fcfs", "random", "predictive"):
            with self.subTest(name=name):
                self.assertEqual(self.nexus("policy", "set", name).returncode, OK)
        done = self.nexus("policy", "set", "round-robbin")
        self.assertEqual(done.returncode, USAGE)
        self.assertIn(b'did you mean "round-robin"', done.stderr)

    def test_field_D_what_nothing_is_called_is_noted(self):
        for args in (("queue", "pause", "nosuchqueue"), ("queue", "resume", "nosuchqueue"), ("override", "set", "hold", "--type", "nosuchtype")):
            with self.subTest(args=args):
                done = self.nexus(*args)
                self.assertEqual(done.returncode, OK)
                self.assertIn(b"knows no task of", done.stderr)
        self.submitted("--queue", "known", "--type", "queued", "--", "true")
        self.assertNotIn(b"knows no task", self.nexus("queue", "pause", "known").stderr)
        self.nexus("queue", "resume", "known")
        self.nexus("override", "clear", "1")

    # ---- F: files

    def test_field_F_a_refusal_of_the_server_names_the_line_and_what_was_stored(self):
        lines = ['{"type":"bulk-a"}'] * 7
        lines[4] = '{"type":"bulk a"}'
        done = self.nexus("task", "submit", "--file", self.file("\n".join(lines)), "--batch", "3")
        self.assertEqual(done.returncode, USAGE)
        said = done.stderr.decode()
        self.assertRegex(said, r"jsonl line 5: type: must match")
        self.assertIn("of lines 4 to 6 nothing was stored", said)
        self.assertIn("3 tasks stored", said)
        self.assertNotIn("tasks[", said)
        prefix = said.split("--key-prefix ")[1].split(":")[0]
        # The mended file with that prefix doubles nothing.
        lines[4] = '{"type":"bulk-a"}'
        done = self.nexus("task", "submit", "--file", self.file("\n".join(lines)), "--batch", "3", "--key-prefix", prefix)
        self.assertEqual(done.returncode, OK, done.stderr)
        self.assertEqual(self.count("bulk-a"), 7)

    def test_field_F_a_bad_line_tells_the_prefix_of_what_was_stored(self):
        lines = ['{"type":"bulk-b"}'] * 6
        lines[4] = "{"
        done = self.nexus("task", "submit", "--file", self.file("\n".join(lines)), "--batch", "2")
        self.assertEqual(done.returncode, USAGE)
        said = done.stderr.decode()
        self.assertIn("line 5", said)
        self.assertIn("4 tasks stored", said)
        prefix = said.split("--key-prefix ")[1].split(":")[0]
        lines[4] = '{"type":"bulk-b"}'
        self.nexus("task", "submit", "--file", self.file("\n".join(lines)), "--key-prefix", prefix)
        self.assertEqual(self.count("bulk-b"), 6)
        done = self.nexus("task", "submit", "--file", self.file("{"))
        self.assertIn(b"nothing was stored", done.stderr)

    def test_field_F_a_limit_names_tenant_and_number(self):
        path = self.file('[tenants.small]\nwaiting_max = 5\n')
        self.assertEqual(self.nexus("config", "set", "--file", path).returncode, OK)
        lines = "\n".join(['{"type":"limited","tenant":"small","labels_required":{"zone":"nowhere"}}'] * 8)
        done = self.nexus("task", "submit", "--file", self.file(lines), "--batch", "1")
        self.assertEqual(done.returncode, REFUSED, done.stderr)
        said = done.stderr.decode()
        self.assertIn("line 6", said)
        self.assertIn("tenant: small has as many waiting tasks as its waiting_max allows (5)", said)
        self.assertIn("5 tasks stored", said)

    def test_field_F_flags_are_for_lines_that_say_nothing(self):
        path = self.file('{"type":"own","priority":2}\n{}\n{"queue":"q2"}\n')
        done = self.nexus("task", "submit", "--file", path, "--type", "given", "--queue", "mail", "--priority", "9", "--run-at", "+1h", "-o", "name")
        self.assertEqual(done.returncode, OK, done.stderr)
        tasks = [self.house.json("task", "get", task) for task in done.stdout.decode().split()]
        self.assertEqual([(t["type"], t["queue"], t["priority"]) for t in tasks], [("own", "mail", 2), ("given", "mail", 9), ("given", "q2", 9)])
        self.assertTrue(all(t["waiting"]["reason"] == "WAIT_REASON_NOT_BEFORE" for t in tasks))
        for flags in (["--payload", "x"], ["--wait"], ["--key", "k"]):
            self.assertEqual(self.nexus("task", "submit", "--file", path, *flags).returncode, USAGE)
        for task in tasks:
            self.house.run("task", "cancel", task["id"])

    def test_field_F_files_of_other_kinds_get_a_hint_and_crash_nothing(self):
        deep = '{"type":"d","metadata":' + "[" * 200_000 + "]" * 200_000 + "}"
        rows = (
            (deep, "nested deeper"),
            ('[{"type":"a"},{"type":"b"}]', "jq -c '.[]'"),
            ('{\n  "type": "a"\n}\n', "jq -c ."),
            (gzip.compress(b'{"type":"a"}'), "gzip -dc"),
            ("convert a.png b.png\nconvert c.png d.png\n", "if each line is a command"),
            (b"\xef\xbb\xbftype,priority\na,5\n", "line 1"),
        )
        for content, word in rows:
            with self.subTest(word=word):
                done = self.nexus("task", "submit", "--file", self.file(content))
                self.assertEqual(done.returncode, USAGE, done.stderr[-300:])
                self.assertIn(word, done.stderr.decode())
        done = self.nexus("task", "submit", "--file", self.file(b'\xef\xbb\xbf{"type":"bom"}\r\n'))
        self.assertEqual(done.returncode, OK, done.stderr)

    def test_field_F_evaluate_reads_what_people_have(self):
        sacct = "JobID|JobName|User|Submit|ElapsedRaw|State\n" + "".join(
            f"{i}|train|ann|2026-03-01T12:{i:02}:00|{60 + i}|COMPLETED\n{i}.batch|batch||2026-03-01T12:{i:02}:00|{60 + i}|COMPLETED\n" for i in range(50))
        done = self.nexus("evaluate", "--format", "sacct", "--trace", self.file(sacct), "-o", "json")
        self.assertEqual(done.returncode, OK, done.stderr)
        self.assertIn(b'"rows": 50', done.stdout)
        joblog = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n" + "".join(
            f"{i}\t:\t{1772366400 + i}.0\t{2 + i / 100}\t0\t0\t0\t0\tgzip f{i}\n" for i in range(50))
        done = self.nexus("evaluate", "--format", "joblog", "--trace", self.file(joblog), "-o", "json")
        self.assertEqual(done.returncode, OK, done.stderr)
        for content, hint in ((sacct, b"--format sacct"), (joblog, b"--format joblog"), ("a,b\n", b"unknown column")):
            done = self.nexus("evaluate", "--trace", self.file(content))
            self.assertEqual(done.returncode, USAGE)
            self.assertIn(hint, done.stderr)

    # ---- G: keys

    def test_field_G_the_work_decides(self):
        base = ["--type", "keyed", "--run-at", "2030-01-01T00:00:00Z", "--key", "g1", "--payload", "x"]
        first = self.submitted(*base)
        for same in (["--hint", "5s"], ["--traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"], ["--feature", "rows=3"]):
            self.assertEqual(self.submitted(*base, *same), first, same)
        self.assertEqual(self.submitted("--type", "keyed", "--run-at", "2030-01-01T01:00:00+01:00", "--key", "g1", "--payload", "x"), first)
        for other in (["--require", "zone=a"], ["--run-timeout", "5s"], ["--priority", "9"], ["--metadata", "a=b"], ["--attempts", "1"], ["--worker", "w1"]):
            done = self.nexus("task", "submit", *base, *other)
            self.assertEqual(done.returncode, REFUSED, other)
            self.assertIn(first.encode(), done.stderr)
        self.house.run("task", "cancel", first)
        done = self.nexus("task", "submit", *base)
        self.assertEqual(done.stdout.decode().strip(), first)
        self.assertIn(b"cancelled", done.stderr)

    # ---- J: figures

    def test_field_J_wait_says_a_line_for_each_change_only(self):
        done = self.nexus("task", "submit", "--type", "waited", "--wait", "--", "sleep", "4")
        self.assertEqual(done.returncode, OK)
        self.assertLessEqual(len(done.stderr.decode().splitlines()), 4, done.stderr.decode())

    def test_field_J_doctor_sees_paused_queues_dead_tasks_and_workers_gone(self):
        with House() as house:
            house.start_server()
            worker = house.start_worker("mayfly")
            house.worker_ready(1)
            self.assertEqual(house.run("doctor", check=False).returncode, OK)
            house.run("queue", "pause", "mail")
            for _ in range(3):
                house.submit_exec("true", flags=("--queue", "mail"))
            house.submit_exec("false", flags=("--attempts", "1", "--type", "doomed"))
            wait_until("it is dead", lambda: int(house.status()["dead"]) == 1)
            worker.kill()
            wait_until("it is gone", lambda: house.json("worker", "get", "mayfly")["state"] == "WORKER_STATE_GONE")
            done = house.run("doctor", check=False)
            self.assertEqual(done.returncode, FAILURE)
            self.assertIn("mail is paused, and 3 tasks wait in it", done.stdout)
            self.assertIn("1 task died within the last hour", done.stdout)
            self.assertIn("mayfly has been gone for", done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=1)
