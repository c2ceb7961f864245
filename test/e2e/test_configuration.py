"""Configuration of a running server: files and a folder, reload, history, rollback (docs/configuration.md), and the cases
of the configuration list that need more than one file or a server: C1, C3, C14, C15, C18, C19, C20."""
import json
import os
import pathlib
import re
import signal
import unittest
import urllib.request

from harness import House, wait_until
from test_bad_input import NOT_FOUND, REFUSED, USAGE, Case, clean_environment, nexus


class Files(Case):
    def write(self, name, content):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        return str(path)

    def test_a_folder_beside_the_file_is_read_by_name(self):
        main = self.write("nexus.toml", '[scheduler]\nlease = "7s"\nttl = "1h"\n')
        self.write("nexus.d/20-b.toml", '[scheduler]\nlease = "9s"\n[queues.mail]\nrunning_max = 2\n')
        self.write("nexus.d/10-a.toml", '[scheduler]\nlease = "8s"\nattempts_max = 4\n')
        self.write("nexus.d/.hidden.toml", "nonsense")
        self.write("nexus.d/readme.txt", "nonsense")
        shown = nexus("config", "show", "--effective", "--config", main).stdout.decode()
        self.assertRegex(shown, r'lease = "9s" +# file .*nexus.d/20-b.toml, over file .*nexus.d/10-a.toml')
        self.assertRegex(shown, r'ttl = "1h" +# file .*nexus.toml')
        self.assertRegex(shown, r"attempts_max = 4 +# file .*10-a.toml")
        self.assertRegex(shown, r"\[\[queues\]\]  # file .*20-b.toml")
        shown = nexus("config", "show", "--effective", "--config", main, "--set", "scheduler.lease=10s",
                      env=clean_environment(NEXUS_SCHEDULER_TTL="2h")).stdout.decode()
        self.assertRegex(shown, r'lease = "10s" +# flag')
        self.assertRegex(shown, r'ttl = "2h" +# environment NEXUS_SCHEDULER_TTL')
        other = self.write("other/x.toml", '[scheduler]\nlease = "11s"\n')
        shown = nexus("config", "show", "--config", main, "--config-dir", str(pathlib.Path(other).parent)).stdout.decode()
        self.assertIn('lease = "11s"', shown)
        self.assert_refused(nexus("config", "show", "--config-dir", str(self.folder / "none")), NOT_FOUND, "none")

    def test_C1_C3_files_of_a_folder_are_judged_as_any_other(self):
        main = self.write("nexus.toml", "")
        self.write("nexus.d/a.toml", '[scheduler]\nlease = "5s"\nlease = "6s"\n')
        self.assert_refused(nexus("config", "show", "--config", main), USAGE, "a.toml", "line 3")
        self.write("nexus.d/a.toml", '[scheduler]\nleese = "5s"\n')
        self.assert_refused(nexus("config", "validate", main, str(self.folder / "nexus.d")), USAGE, "a.toml", "line 2", "lease")
        (self.folder / "nexus.d" / "a.toml").unlink()
        os.mkfifo(self.folder / "nexus.d" / "a.toml")
        self.assert_refused(nexus("config", "validate", str(self.folder / "nexus.d")), USAGE, "regular file")

    def test_files_have_to_fit_together_only_when_all_are_read(self):
        self.write("nexus.d/a.toml", '[scheduler]\nbackoff_first = "1h"\n')
        self.assert_refused(nexus("config", "validate", str(self.folder / "nexus.d")), USAGE, "backoff_max")
        self.write("nexus.d/b.toml", '[scheduler]\nbackoff_max = "2h"\n')
        self.assertEqual(nexus("config", "validate", str(self.folder / "nexus.d")).returncode, 0)

    def test_C15_there_are_no_includes(self):
        self.assert_refused(nexus("config", "validate", self.write("a.toml", 'include = "a.toml"\n')), USAGE, "include", "line 1")

    def test_C18_a_password_in_an_address_is_no_setting_and_is_not_shown_whole(self):
        secret = "s3cret-" * 30
        done = nexus("config", "show", "--set", f"server.redis=redis://user:{secret}@host")
        self.assert_refused(done, USAGE, "redis")
        self.assertNotIn(b"s3cret", done.stderr)

    def test_C19_retention(self):
        for value in ("0s", "-1d", "36501d", "0"):
            self.assert_refused(nexus("config", "show", "--set", f"server.history_retention={value}"), USAGE, "history_retention")
        for value in ("1m", "36500d"):
            self.assertEqual(nexus("config", "show", "--set", f"server.history_retention={value}").returncode, 0)


class Running(Case):
    def setUp(self):
        super().setUp()
        self.house = House()
        self.addCleanup(self.house.__exit__)
        (self.house.folder / "nexus.d").mkdir()
        self.main = self.house.folder / "nexus.toml"

    def files(self, main="", folder=""):
        self.main.write_text(main)
        (self.house.folder / "nexus.d" / "limits.toml").write_text(folder)

    def log(self):
        return (self.house.folder / "server.log").read_text()

    def value(self, key):
        return self.house.run("config", "get", key).stdout.strip()

    def start(self, **kwargs):
        self.house.start_server("--config", str(self.main), **kwargs)

    def test_C14_reload_takes_over_live_keys_and_names_what_needs_a_restart(self):
        self.files('[scheduler]\nlease = "7s"\n', "[queues.mail]\nrunning_max = 2\n")
        self.start()
        self.house.run("config", "set", "ttl=5h", "attempts_max=9", "--reason", "by hand")
        self.house.run("queue", "pause", "bulk")
        self.files('[server]\nmodel = "ema"\nhttp_hosts = "box"\n[scheduler]\nlease = "8s"\nttl = "6h"\n', "[queues.mail]\nrunning_max = 3\n")
        shown = self.house.run("config", "diff", str(self.main), str(self.house.folder / "nexus.d"), check=False)
        self.assertEqual(shown.returncode, 1)
        self.assertRegex(shown.stdout, r"server\.model +\"mixture\" +\"ema\" +a restart")
        self.assertRegex(shown.stdout, r"scheduler\.lease +\"7s\" +\"8s\" +a reload")
        self.assertRegex(shown.stdout, r"queues\.mail\.running_max +2 +3 +a reload")
        self.house.server.send_signal(signal.SIGHUP)
        wait_until("the files are read again", lambda: "files read again" in self.log())
        self.assertIn("needs a restart: server.http_hosts, server.model", self.log())
        self.assertEqual((self.value("lease"), self.value("ttl"), self.value("attempts_max")), ("8s", "6h", "9"))
        toml = self.house.run("config", "get").stdout
        self.assertRegex(toml, r'name = "bulk"\npaused = true')
        self.assertRegex(toml, r'name = "mail"\n.*\n.*\nrunning_max = 3')
        newest = self.house.json("config", "history", "--limit", "1")["versions"][0]
        self.assertEqual(newest["author"], "SIGHUP")
        self.assertEqual({change["key"] for change in newest["changes"]}, {"scheduler.lease", "scheduler.ttl", "queues.mail.running_max"})
        # Once more: nothing differs, so there is no version.
        version = self.house.json("config", "get")["version"]
        done = self.house.json("config", "reload", "--author", "ann")
        self.assertEqual((done["version"], done["changes"]), (version, []))
        self.assertEqual(done["restart_keys"], ["server.http_hosts", "server.model"])
        said = self.house.run("config", "reload").stderr
        self.assertIn("needs a restart: server.model", said)
        running = self.house.run("config", "show", "--running").stdout
        self.assertRegex(running, r'lease = "8s" +# file .*nexus.toml')
        self.assertRegex(running, r"attempts_max = 9 +# the journal: changed while it ran")
        self.assertRegex(running, r'listen = ".*" +# flag')

    def test_a_bad_file_changes_nothing_and_says_which_line(self):
        self.files('[scheduler]\nlease = "7s"\n')
        self.start()
        before = self.house.run("config", "get").stdout
        self.files('[scheduler]\nttl = "6h"\n', '[scheduler]\nlease = "9s"\nleese = "8s"\n')
        self.house.server.send_signal(signal.SIGHUP)
        wait_until("it is refused", lambda: "nothing was changed" in self.log())
        self.assertRegex(self.log(), r"limits\.toml: line 3.*leese.*lease")
        done = self.house.run("config", "reload", check=False)
        self.assertEqual(done.returncode, USAGE)
        self.assertIn("line 3", done.stderr)
        self.main.unlink()
        self.assertNotEqual(self.house.run("config", "reload", check=False).returncode, 0)
        self.assertEqual(self.house.run("config", "get").stdout, before)
        self.assertIsNone(self.house.server.poll())

    def test_environment_and_flags_win_over_files_at_a_reload_too(self):
        self.files('[scheduler]\nlease = "7s"\n')
        self.start(env={"NEXUS_SCHEDULER_LEASE": "8s", "NEXUS_SCHEDULER_TTL": "5h"})
        self.assertEqual(self.value("lease"), "8s")
        self.house.run("config", "set", "ttl=6h", "lease=20s")
        self.files('[scheduler]\nlease = "9s"\n')
        self.house.run("config", "reload")
        self.assertEqual((self.value("lease"), self.value("ttl")), ("8s", "6h"))

    def test_history_and_rollback_survive_a_restart(self):
        self.files('[scheduler]\nlease = "7s"\n')
        self.start()
        self.house.run("config", "set", "lease=8s", "--reason", "slow net", "--author", "ann")
        self.house.run("queue", "pause", "mail", "--reason", "provider is down")
        self.house.run("policy", "set", "fcfs")
        self.house.kill_server()
        self.start()
        self.assertEqual(self.value("policy"), "fcfs")
        text = self.house.run("config", "history").stdout
        self.assertRegex(text, r"2 .*ann +slow net +scheduler\.lease: \"7s\" -> \"8s\"")
        self.assertIn('lease = "8s"', self.house.run("config", "history", "2").stdout)
        self.assertIn("slow net", self.house.run("config", "history", "2").stdout)
        dry = self.house.run("config", "rollback", "2", "--dry-run")
        self.assertIn('scheduler.policy: "fcfs" -> "predictive"', dry.stdout)
        self.assertEqual(self.value("policy"), "fcfs")
        self.assertEqual(self.house.run("config", "rollback", "2", "--etag", "2", check=False).returncode, REFUSED)
        self.assertEqual(self.house.run("config", "rollback", "77", check=False).returncode, NOT_FOUND)
        self.assertEqual(self.house.run("config", "rollback", check=False).returncode, USAGE)
        self.house.run("config", "rollback", "2", "--reason", "too early")
        self.assertEqual((self.value("policy"), self.value("lease")), ("predictive", "8s"))
        self.assertNotIn("[[queues]]", self.house.run("config", "get").stdout)
        newest = self.house.json("config", "history", "--limit", "1")["versions"][0]
        self.assertEqual(newest["reason"], "back to version 2: too early")
        # The start with which it all began.
        self.house.run("config", "rollback", "1")
        self.assertEqual(self.value("lease"), "7s")

    def test_a_dry_run_tells_and_changes_nothing(self):
        self.files()
        self.start()
        done = self.house.run("config", "set", "lease=8s", "--dry-run")
        self.assertIn('scheduler.lease: "5s" -> "8s"', done.stdout)
        self.assertIn("nothing was changed", done.stderr)
        self.assertEqual(self.value("lease"), "5s")
        self.assertEqual(self.house.run("config", "set", "lease=1s", "--dry-run", check=False).returncode, USAGE)
        self.assertEqual(self.house.json("audit", "list")["entries"], [])

    def test_over_http(self):
        self.files('[scheduler]\nlease = "7s"\n')
        self.start()

        def call(method, path, body=None):
            request = urllib.request.Request(f"http://{self.house.http}{path}", method=method, data=json.dumps(body).encode() if body else None,
                                             headers={"Content-Type": "application/json"} if body else {})
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.loads(answer.read())

        call("PUT", "/v1/config", {"toml": '[scheduler]\nlease = "9s"\n', "author": "ann", "reason": "why"})
        self.assertEqual(call("GET", "/v1/config/history")["versions"][0]["reason"], "why")
        self.assertIn('lease = "7s"', call("GET", "/v1/config/history?version=1")["versions"][0]["toml"])
        self.assertEqual(call("POST", "/v1/config/reload", {"author": "bob"})["version"], 3)
        self.assertEqual(call("POST", "/v1/config/rollback", {"version": 2, "author": "bob"})["version"], 4)
        self.assertIn("# the journal", call("GET", "/v1/config?effective=true")["toml"])
        self.assertTrue(call("GET", "/v1/audit/verify")["good"])

    def test_C20_a_limit_for_a_tenant_that_nobody_knows_is_in_force(self):
        self.files('[tenants.nobody]\nwaiting_max = 1\n')
        self.start()
        self.house.run("task", "submit", "--type", "a", "--tenant", "nobody", "--payload", "x")
        done = self.house.run("task", "submit", "--type", "a", "--tenant", "nobody", "--payload", "x", check=False)
        self.assertEqual(done.returncode, REFUSED)
        self.assertRegex(done.stderr, "nobody")


if __name__ == "__main__":
    unittest.main()
