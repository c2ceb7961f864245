"""Bad configurations (C1-C16) and bad command lines (K1-K12) of the contract: each is refused with its documented exit
code and a message that names what is wrong; nothing crashes, hangs or is stored."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from harness import NEXUS, House, wait_until

USAGE, NOT_FOUND, REFUSED, UNAVAILABLE, TIMED_OUT, INTERRUPTED, STORE_FAILED = 2, 3, 4, 5, 124, 130, 74


def clean_environment(**more):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
    return {**kept, **more}


def nexus(*args, env=None, timeout=20, **kwargs):
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([NEXUS, *args], capture_output=True, timeout=timeout, env=env or clean_environment(), **kwargs)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="nexus-bad-")
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)

    def assert_refused(self, done, code, *words):
        """Ended by itself with that code; what it said on standard error is short, plain and contains the words."""
        said = done.stderr.decode(errors="replace")
        codes = code if isinstance(code, tuple) else (code,)
        self.assertIn(done.returncode, codes, f"{done.args}: {said}{done.stdout.decode(errors='replace')[-300:]}")
        self.assertTrue(said.strip(), f"{done.args}: nothing on standard error")
        self.assertLess(len(said), 2000, done.args)
        self.assertNotRegex(said, r"terminate called|what\(\)|Assertion|MUST|core dumped")
        self.assertNotIn("\x1b", said)
        for word in words:
            self.assertIn(word.lower(), said.lower(), done.args)

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)


class Configuration(Case):
    def refuse_file(self, content, code=USAGE, *words):
        path = self.file("bad.toml", content)
        flags = [] if "[server]" in content else ["--listen", "127.0.0.1:0", "--http", "off"]  # a flag would win over the file
        with self.subTest(content=content[:60]):
            self.assert_refused(nexus("config", "validate", path), code, *words)
            # serve refuses the same file before it makes anything.
            done = nexus("serve", "--config", path, "--data", str(self.folder / "never"), *flags)
            self.assert_refused(done, code, *words)
            self.assertFalse((self.folder / "never").exists())

    def test_C1_files_that_are_none(self):
        self.assert_refused(nexus("config", "validate", str(self.folder / "missing.toml")), (USAGE, NOT_FOUND), "missing.toml")
        self.assert_refused(nexus("config", "validate", str(self.folder)), NOT_FOUND, "no file in this folder")
        self.assert_refused(nexus("config", "show", "--config", str(self.folder)), (USAGE, NOT_FOUND), "regular file")
        os.mkfifo(self.folder / "pipe")
        self.assert_refused(nexus("config", "validate", str(self.folder / "pipe")), USAGE, "regular file")
        with open(self.folder / "large.toml", "wb") as large:
            large.truncate(1 << 30)
        self.assert_refused(nexus("config", "validate", str(self.folder / "large.toml")), USAGE, "more than")
        self.assert_refused(nexus("config", "validate", "/dev/zero"), USAGE, "regular file")
        self.assertEqual(nexus("config", "validate", self.file("empty.toml", "")).returncode, 0)

    def test_C2_unknown_keys_name_the_nearest(self):
        self.refuse_file('[scheduler]\nleese = "5s"\n', USAGE, "leese", "lease", "line 2")
        self.refuse_file('[server]\nlisten_on = "127.0.0.1:1"\n', USAGE, "listen")
        self.refuse_file('[schedular]\n', USAGE, "scheduler")
        self.assert_refused(nexus("config", "show", "--set", "scheduler.leas=5s"), USAGE, "lease")
        self.assert_refused(nexus("config", "show", "--set", "leas"), USAGE, "key=value")

    def test_C3_duplicate_key(self):
        self.refuse_file('[scheduler]\nlease = "5s"\nlease = "6s"\n', USAGE, "line 3")

    def test_C4_types_and_units(self):
        for value in ("5", '"5"', '"5x"', '"-1s"', '"1e9d"', "[]", "{}", "true", "1.5", '""'):
            self.refuse_file(f"[scheduler]\nlease = {value}\n", USAGE, "lease")
        self.refuse_file('[server]\nlisten = 7070\n', USAGE, "listen")

    def test_C5_weights(self):
        for share in ("0", "-1", "nan", "inf", "9223372036854775807", "99999999999999999999"):
            self.refuse_file(f'[[tenants]]\nname = "a"\nshare = {share}\n', USAGE, "line 3")

    def test_C6_ranges_that_contradict(self):
        self.refuse_file('[scheduler]\nbackoff_first = "2m"\nbackoff_max = "1m"\n', USAGE, "backoff")
        self.refuse_file('[scheduler]\nlease = "1500ms"\n', USAGE, "lease")
        self.refuse_file('[scheduler]\nlease = "3s"\nclose_grace = "4s"\n', USAGE, "close_grace", "lease")

    def test_C7_ports(self):
        for address in ("127.0.0.1:70000", "127.0.0.1", "127.0.0.1:", ":7070", "127.0.0.1:x", ""):
            self.refuse_file(f'[server]\nlisten = "{address}"\n', USAGE, "listen")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            done = nexus("serve", "--listen", address, "--http", "off", "--data", str(self.folder / "data"))
            self.assert_refused(done, REFUSED, address, "--listen")
            done = nexus("serve", "--listen", "127.0.0.1:0", "--http", address, "--data", str(self.folder / "data"))
            self.assert_refused(done, (REFUSED, 1), address, "--http")

    def test_C8_only_loopback(self):
        for address in ("0.0.0.0:7081", "[::]:7081", "10.1.2.3:7081", "example.org:7081"):
            self.refuse_file(f'[server]\nlisten = "{address}"\n', REFUSED, "loopback")
            self.refuse_file(f'[server]\nhttp = "{address}"\n', REFUSED, "loopback")

    def test_C9_same_port_twice(self):
        self.refuse_file('[server]\nlisten = "127.0.0.1:7070"\nhttp = "127.0.0.1:7070"\n', USAGE, "same port")

    def test_C11_data_directories(self):
        serve = ("serve", "--listen", "127.0.0.1:0", "--http", "off", "--data")
        plain = self.file("plain", "not a directory")
        codes = (1, USAGE, NOT_FOUND, REFUSED, UNAVAILABLE, STORE_FAILED)
        self.assert_refused(nexus(*serve, plain), codes, "plain")
        os.symlink(self.folder / "loop", self.folder / "loop")
        self.assert_refused(nexus(*serve, str(self.folder / "loop")), codes, "loop")
        self.assert_refused(nexus(*serve, "/proc/nexus-data"), codes, "/proc/nexus-data")

    def test_field_N_planted_links_are_never_followed(self):
        serve = ("serve", "--listen", "127.0.0.1:0", "--http", "off", "--data")
        data = self.folder / "data"
        with House() as house:
            house.start_server()
            house.kill_server()
            names = sorted(file.name for file in (house.folder / "data").iterdir())
        self.assertIn("journal.db", names)
        for name in [*names, "journal.db-wal", "journal.db-shm", "history.db-wal"]:
            with self.subTest(name=name):
                data.mkdir(mode=0o700)
                victim = self.folder / "victim"
                victim.write_text("precious")
                victim.chmod(0o644)
                (data / name).symlink_to(victim)
                # It refuses, or goes on without the file; whatever it does, the victim stays as it was.
                done = subprocess.Popen([NEXUS, *serve, str(data)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
                ready = done.stdout.readline()
                done.kill()
                _, said = done.communicate()
                if not ready:
                    self.assertTrue(said)
                self.assertEqual(victim.read_text(), "precious")
                self.assertEqual(victim.stat().st_mode & 0o777, 0o644)
                shutil.rmtree(data)
        # The directory itself may be a link.
        (self.folder / "real").mkdir(mode=0o700)
        (self.folder / "link").symlink_to(self.folder / "real")
        done = subprocess.Popen([NEXUS, *serve, str(self.folder / "link")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
        self.assertIn(b"ready", done.stdout.readline())
        done.kill()
        done.communicate()

    def test_C11_C12_locked_by_a_live_instance(self):
        with House() as house:
            house.start_server()
            done = nexus("serve", "--listen", "127.0.0.1:0", "--http", "off", "--data", str(house.folder / "data"))
            self.assert_refused(done, REFUSED, str(house.server.pid))
            self.assertEqual(house.status()["waiting"], "0")

    def test_C13_environment(self):
        for name, value in (("NEXUS_SCHEDULER_LEASE", "5"), ("NEXUS_SCHEDULER_LEASE", "\xff"), ("NEXUS_SERVER_LISTEN", "nowhere"),
                            ("NEXUS_SCHEDULER_LEESE", "5s"), ("NEXUS_SCHEDULER_TASKS_MAX", "-1"), ("NEXUS_SERVER_DURABILITY", "always")):
            with self.subTest(name=name, value=value):
                self.assert_refused(nexus("config", "show", env=clean_environment(**{name: value})), USAGE)
        done = nexus("config", "show", "--effective", env=clean_environment(NEXUS_SCHEDULER_LEASE="7s"))
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout.decode(), r'lease = "7s" +# environment NEXUS_SCHEDULER_LEASE')

    def test_C14_restart_only_keys_are_no_live_keys(self):
        with House() as house:
            house.start_server()
            path = self.file("live.toml", '[server]\nlisten = "127.0.0.1:1"\n')
            before = house.run("config", "get").stdout
            done = house.run("config", "set", "--file", path, check=False)
            self.assertEqual(done.returncode, USAGE)
            self.assertIn("server", done.stderr)
            done = house.run("config", "set", "leese=5s", check=False)
            self.assertEqual(done.returncode, USAGE)
            self.assertIn("lease", done.stderr)
            done = house.run("config", "set", "lease=6s", "--etag", "9999", check=False)
            self.assertEqual(done.returncode, REFUSED)
            self.assertEqual(house.run("config", "get").stdout, before)
            house.run("config", "set", "lease=6s", "--reason", "a test")
            self.assertEqual(house.run("config", "get", "lease").stdout, "6s\n")
            self.assertIn("a test", house.run("audit", "list", "-o", "jsonl").stdout)

    def test_C16_odd_files(self):
        fine = self.file("odd.toml", b"\xef\xbb\xbf[scheduler]\r\n\tlease\t=\t\"8s\"\r\n")
        self.assertEqual(nexus("config", "validate", fine).returncode, 0)
        self.refuse_file("a: &a [x,x]\nb: &b [*a,*a]\n", USAGE, "line 1")
        self.refuse_file("[" * 100_000, USAGE)
        self.refuse_file('x = "\x00"', USAGE)

    def test_C17_a_model_that_is_not_there(self):
        self.refuse_file('[server]\nmodel = "mixtrue"\n', NOT_FOUND, "server.model", "mixture")

    def test_shown_configuration_is_valid_again(self):
        shown = nexus("config", "show")
        self.assertEqual(shown.returncode, 0)
        path = self.file("shown.toml", shown.stdout)
        self.assertEqual(nexus("config", "validate", path).returncode, 0)


class CommandLine(Case):
    def test_K1_words_and_flags(self):
        for args in ([], ["tsak"], ["task"], ["task", "sbumit"], ["status", "--unknown"], ["task", "get"], ["task", "list", "--limit", "0"],
                     ["task", "submit"], ["task", "submit", "--priority", "10", "--type", "a"], ["queue", "pause"], ["override", "set", "pin"],
                     ["override", "set", "jump"], ["completion", "tcsh"], ["worker", "drain"], ["type", "force", "a"]):
            with self.subTest(args=args):
                self.assert_refused(nexus(*args), USAGE)
        self.assert_refused(nexus("status", "--server", "127.0.0.1:1", "--server", "127.0.0.1:2"), (USAGE, UNAVAILABLE))

    def test_K2_values(self):
        for args in (["status", "--server"], ["task", "submit", "--type"], ["status", "-o", "xml"], ["status", "--timeout", "-1s"],
                     ["status", "--timeout", "5"], ["status", "--server", "nowhere"], ["status", "--server", "a:0"], ["status", "--server", "a:70000"],
                     ["task", "submit", "--type", "a", "--require", "zone"], ["task", "submit", "--type", "a", "--memory", "5"],
                     ["task", "submit", "--type", "a", "--run-at", "soon"]):
            with self.subTest(args=args):
                self.assert_refused(nexus(*args), USAGE)

    def test_K3_streams(self):
        port = free_port()
        env = clean_environment(NEXUS_SERVER=f"127.0.0.1:{port}")
        # Standard input closed, and no terminal anywhere.
        done = subprocess.run([NEXUS, "task", "submit", "--file", "-"], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, env=env)
        self.assertIn(done.returncode, (0, UNAVAILABLE))
        closed = subprocess.run(["/bin/sh", "-c", f'"{NEXUS}" task submit --type a --payload-file - <&-'], capture_output=True, timeout=20, env=env)
        self.assertGreater(closed.returncode, 0)
        with House() as house:
            house.start_server()
            env = clean_environment(NEXUS_SERVER=house.grpc)
            house.run("task", "submit", "--type", "a", "--payload", "x")
            done = subprocess.run(["/bin/sh", "-c", f'"{NEXUS}" task list >&-'], capture_output=True, timeout=20, env=env)
            self.assertIn("standard output", done.stderr.decode())
            # The reader of the pipe is gone before anything is written.
            reader, writer = os.pipe()
            os.close(reader)
            done = subprocess.run([NEXUS, "config", "get"], stdout=writer, stderr=subprocess.PIPE, timeout=20, env=env)
            os.close(writer)
            self.assertGreaterEqual(done.returncode, 0, "ended by a signal")
            self.assertEqual(done.stderr, b"")
            done = nexus("top", env=env)
            self.assertEqual(done.returncode, 0)
            self.assertNotIn(b"\x1b", done.stdout)

    def test_K4_files(self):
        for path, words in ((str(self.folder / "missing"), ["missing"]), (str(self.folder), ["directory"])):
            for flag in ("--payload-file", "--file"):
                with self.subTest(path=path, flag=flag):
                    args = ["task", "submit", flag, path] + (["--type", "a"] if flag == "--payload-file" else [])
                    self.assert_refused(nexus(*args), USAGE, *words)
        self.assert_refused(nexus("task", "submit", "--type", "a", "--payload-file", "/dev/zero"), USAGE, "/dev/zero")
        with House() as house:
            house.start_server()
            for content, word in (("{", "line 1"), ('{"type": "a"}\n{"type": "a", "prioirty": 3}\n', "line 2"), ("\x00\x01", "line 1"),
                                  ('{"type": "a b"}\n', "type"), ('{"type": "a"}\n' + "x" * (2 << 20), "line 2")):
                with self.subTest(content=content[:40]):
                    done = house.run("task", "submit", "--file", self.file("bad.jsonl", content), check=False)
                    self.assertNotEqual(done.returncode, 0)
                    self.assertIn(word, done.stderr)
            done = house.run("task", "submit", "--file", "/dev/zero", check=False)
            self.assertEqual(done.returncode, USAGE)
            house.run("task", "submit", "--file", "-", stdin='{"type": "stdin"}\n\n{"type": "stdin"}')
            self.assertEqual(len(house.json("task", "list", "--type", "stdin")["tasks"]), 2)

    def test_K5_K6_arguments(self):
        with House() as house:
            house.start_server()
            done = subprocess.run([NEXUS, b"task", b"submit", b"--server", house.grpc.encode(), b"--type", b"\xff\xfe"], capture_output=True, timeout=20)
            self.assert_refused(done, USAGE, "type")
            done = subprocess.run([NEXUS, b"task", b"get", b"\xff\xfe", b"--server", house.grpc.encode()], capture_output=True, timeout=20)
            self.assert_refused(done, (USAGE, NOT_FOUND))
            long = "x" * 100_000
            self.assert_refused(nexus("task", "get", long, "--server", house.grpc), (USAGE, NOT_FOUND))
            self.assert_refused(nexus(long), USAGE)
            self.assert_refused(nexus("task", "submit", "--type", long, "--server", house.grpc), USAGE, "type")
            self.assert_refused(nexus("task", "get", "0190c1d2-0000-7000-8000-000000000001", "--server", house.grpc), NOT_FOUND)

    def test_K7_server_down(self):
        done = nexus("status", "--server", f"127.0.0.1:{free_port()}")
        self.assert_refused(done, UNAVAILABLE, "connection refused", "nexus dev")

    def test_K7_server_hangs(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            begin = time.monotonic()
            done = nexus("status", "--server", f"127.0.0.1:{silent.getsockname()[1]}", "--timeout", "700ms")
            self.assert_refused(done, (TIMED_OUT, UNAVAILABLE))
            self.assertLess(time.monotonic() - begin, 5)

    def test_K7_wrong_protocol(self):
        with House() as house:
            house.start_server()
            done = nexus("status", "--server", house.http, "--timeout", "3s")
            self.assert_refused(done, (UNAVAILABLE, TIMED_OUT, 1), house.http)

    def test_K8_interrupted_submit_tells_the_key(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            submit = subprocess.Popen([NEXUS, "task", "submit", "--type", "a", "--key", "my-key", "--server", f"127.0.0.1:{silent.getsockname()[1]}"],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
            accepted, _ = silent.accept()  # it is connected: the call is under way
            with accepted:
                submit.send_signal(signal.SIGINT)
                _, said = submit.communicate(timeout=10)
            self.assertEqual(submit.returncode, INTERRUPTED, said)
            self.assertIn(b"unknown", said)
            self.assertIn(b"my-key", said)

    def test_K9_recordings_of_another_version_or_cut_off(self):
        with House() as house:
            house.start_server()
            house.run("task", "submit", "--type", "a", "--payload", "x")
            house.kill_server()
            data = house.folder / "data"
            whole = (data / "journal.db").read_bytes()
            for name, content in (("cut", whole[:len(whole) // 2]), ("noise", b"SQLite format 3\x00" + os.urandom(5000)), ("empty", b"")):
                with self.subTest(journal=name):
                    (data / "journal.db").write_bytes(content)
                    for suffix in ("-wal", "-shm"):
                        (data / f"journal.db{suffix}").unlink(missing_ok=True)
                    done = nexus("journal", "verify", "--data", str(data))
                    self.assertGreater(done.returncode, 0)
                    self.assertTrue(done.stdout + done.stderr)
        for content in ("{", '{"version": 99}\n', "\x00\x01"):
            self.assert_refused(nexus("evaluate", "--trace", self.file("trace", content)), USAGE, "line 1")

    def test_K10_surroundings(self):
        bare = {"PATH": os.environ["PATH"]}
        self.assert_refused(nexus("status", "--server", f"127.0.0.1:{free_port()}", env=bare, cwd="/proc"), UNAVAILABLE)
        with House() as house:
            house.start_server()
            with open("/dev/full", "wb") as full:
                done = subprocess.run([NEXUS, "config", "get", "--server", house.grpc], stdout=full, stderr=subprocess.PIPE, timeout=20)
            self.assertIn(b"standard output", done.stderr)

    def test_K11_locale_and_zone(self):
        with House() as house:
            house.start_server()
            house.run("task", "submit", "--type", "a", "--payload", "x")
            for odd in ({"LC_ALL": "C"}, {"LC_ALL": "xx_YY.ISO-8859-1"}, {"TZ": ":/nowhere"}, {"TZ": "XXX-99"}, {"LC_ALL": "C.UTF-8", "TERM": "dumb"}):
                with self.subTest(odd=odd):
                    done = nexus("task", "list", "--server", house.grpc, env=clean_environment(**odd))
                    self.assertEqual(done.returncode, 0)
                    self.assertIn(b"waiting", done.stdout)
            plain = nexus("top", "--server", house.grpc, env=clean_environment(LC_ALL="C"))
            self.assertTrue(plain.stdout.isascii())

    def verbs(self, *path):
        """All verbs below `path` as the help lists them."""
        text = nexus(*path, "--help").stdout.decode()
        found = re.search(r"Subcommands:\n((?:  .*\n?)*)", text)
        return [line.split()[0] for line in found[1].splitlines() if line.startswith("  ") and line[2] != " "] if found else []

    def test_K12_help_everywhere_with_an_example(self):
        seen = 0
        manual = (pathlib.Path(__file__).parents[2] / "docs" / "commands.md").read_text()
        paths = [(verb,) for verb in self.verbs()]
        self.assertGreater(len(paths), 10)
        while paths:
            path = paths.pop()
            below = self.verbs(*path)
            paths += [path + (verb,) for verb in below]
            done = nexus(*path, "--help")
            with self.subTest(path=path):
                self.assertEqual(done.returncode, 0)
                self.assertEqual(done.stderr, b"")
                if not below:
                    self.assertIn("nexus " + " ".join(path), manual, "missing in docs/commands.md")
                    self.assertIn(b"nexus " + " ".join(path).encode(), done.stdout.split(b"Examples:")[-1], "no example")
            seen += 1
        self.assertGreater(seen, 35)
        self.assertEqual(nexus("--help").returncode, 0)
        self.assertRegex(nexus("version").stdout.decode(), r"^nexus \d+\.\d+\.\d+\n$")
        for shell in ("bash", "zsh", "fish"):
            self.assertIn("__complete", nexus("completion", shell).stdout.decode())
        checked = subprocess.run(["bash", "-n"], input=nexus("completion", "bash").stdout, capture_output=True, timeout=20)
        self.assertEqual(checked.returncode, 0, checked.stderr)


class Doctor(Case):
    def test_tells_problems_and_is_silent_otherwise(self):
        with House() as house:
            house.start_server()
            done = house.run("doctor", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("nexus worker --allow exec", done.stdout)
            house.start_worker("w1")
            wait_until("the worker is ready", lambda: house.status()["workers_ready"] == 1)
            done = house.run("doctor", "--quiet", check=False)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
            house.run("task", "submit", "--type", "a", "--require", "zone=nowhere", "--payload", "x")
            done = house.run("doctor", "-o", "json", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertEqual([problem["check"] for problem in json.loads(done.stdout)["problems"]], ["waiting"])
            address = house.grpc
        self.assertEqual(nexus("doctor", "--server", address).returncode, UNAVAILABLE)


if __name__ == "__main__":
    unittest.main()
