"""What a page of another origin, a hostile text and a flood of names can do to a real server: nothing. Names (W1, N2, D8,
...) are those of the security catalogue in docs/testing.md, which says where the other cases are."""
import csv
import http.client
import io
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import time
import unittest

from harness import NEXUS, House, wait_until
from test_identity import ask, make_certificates, routes

# Line ends, terminal escapes, what turns the line, what ends a line elsewhere, formats, SQL, markup and formulas.
HOSTILE = "=1+1;\"x\"\r\nlevel=error \x1b[31m\u202e\u2028\u2029%s%n{0}{} '; DROP TABLE tasks;-- <img src=x> \\ end"
SENTINEL = "sentinel-4711-of-a-payload"


class Case(unittest.TestCase):
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.house = House()
        cls.addClassCleanup(cls.house.__exit__)
        cls.house.start_server(*cls.flags)

    def ask(self, method, path, body=None, **fields):
        link = http.client.HTTPConnection(self.house.http, timeout=20)
        self.addCleanup(link.close)
        fields = {name.replace("_", "-"): value for name, value in fields.items()}
        if body is not None:
            fields.setdefault("Content-Type", "application/json")
        link.request(method, path, json.dumps(body) if body is not None else None, fields)
        answer = link.getresponse()
        answer.text = "" if answer.getheader("Content-Type") == "text/event-stream" else answer.read().decode()
        return answer

    def ok(self, *args, **fields):
        answer = self.ask(*args, **fields)
        self.assertIn(answer.status, (200, 202), answer.text)
        return json.loads(answer.text)

    def log(self):
        return (self.house.folder / "server.log").read_text()


def targets():
    for name, verb, path, _, _ in routes():
        yield name, verb, path.replace("{id}", "0199f8c0-7d2e-7000-8000-00000000002a").replace("{", "").replace("}", "")


class Browser(Case):
    def test_W1_a_foreign_host_is_answered_by_no_route(self):
        count = 0
        for name, verb, path in targets():
            answer = self.ask(verb, path, {"nonsense": 1} if verb != "GET" else None, Host="evil.example")
            self.assertEqual(answer.status, 421, (verb, path))
            count += 1
        self.assertGreater(count, 60)

    def test_W2_W8_a_foreign_origin_reaches_no_route_and_no_stream(self):
        for name, verb, path in targets():
            for fields in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}):
                answer = self.ask(verb, path, {"nonsense": 1} if verb != "GET" else None, **fields)
                self.assertEqual(answer.status, 403, (verb, path, fields))

    def test_W4_methods_that_a_route_does_not_have_do_nothing(self):
        before = self.ok("GET", "/v1/tasks?limit=1")["tasks"]
        for method in ("DELETE", "PUT", "PATCH", "TRACE", "CONNECT", "OPTIONS"):
            answer = self.ask(method, "/v1/tasks", {"type": "a"})
            self.assertIn(answer.status, (400, 405), method)
        for field in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
            self.assertEqual(self.ask("GET", "/v1/tasks", None, **{field: "POST"}).status, 200)
            self.assertEqual(self.ask("POST", "/v1/tasks/batch?_method=DELETE", {"tasks": [{"type": "a"}]}).status, 400)
        head = self.ask("HEAD", "/v1/tasks")
        self.assertEqual((head.status, head.text), (200, ""))
        self.assertEqual(self.ok("GET", "/v1/tasks?limit=1")["tasks"], before)

    def test_W5_no_answer_lets_another_origin_in(self):
        for fields in ({}, {"Origin": "http://" + self.house.http}, {"Origin": "http://evil.example"}):
            for method in ("GET", "OPTIONS"):
                answer = self.ask(method, "/v1/status", None, **fields, **({"Access-Control-Request-Method": "PUT"} if method == "OPTIONS" else {}))
                self.assertEqual([name for name, _ in answer.getheaders() if name.lower().startswith("access-control")], [], (method, fields))

    def test_W6_W9_every_answer_says_how_it_may_be_used(self):
        for path, status in (("/", 200), ("/v1/status", 200), ("/v1/tasks/none", 404), ("/v1/openapi.json", 200), ("/v1/live?topics=status", 200),
                             ("/metrics", 200), ("/nowhere.js", 404)):
            answer = self.ask("GET", path)
            with self.subTest(path=path):
                self.assertEqual(answer.status, status)
                self.assertEqual(answer.getheader("X-Content-Type-Options"), "nosniff")
                self.assertEqual(answer.getheader("Referrer-Policy"), "no-referrer")
                policy = answer.getheader("Content-Security-Policy")
                self.assertIn("frame-ancestors 'none'", policy)
                self.assertNotIn("unsafe", policy)
                if path.startswith("/v1/") and path != "/v1/openapi.json":
                    self.assertIn(answer.getheader("Cache-Control"), ("no-store", "no-cache"))


class Texts(Case):
    """One task ran and failed, one waits, one was cancelled; every text that a caller may choose is hostile."""
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        house = cls.house
        house.start_worker("w1", slots=1)
        house.worker_ready(1)
        cls.failed = house.submit_exec("sh", "-c", "printf '%s' \"$0\" >&2; exit 3", HOSTILE, flags=("--type", "n-failed", "--attempts", "1"))
        cls.ran = house.submit_exec("echo", SENTINEL, flags=("--type", "n-secret"))
        case = cls("ok")
        cls.waiting = case.ok("POST", "/v1/tasks", {"type": "n-waiting", "payload_text": SENTINEL, "metadata": {"note": HOSTILE}, "labels_required": {"zone": "x"},
                                                    "concurrency_key": HOSTILE, "concurrency_max": 1, "ordering_key": HOSTILE, "idempotency_key": "k-1"})["id"]
        cancelled = case.ok("POST", "/v1/tasks", {"type": "n-cancelled", "run_at_unix_us": 4_000_000_000_000_000, "payload_text": SENTINEL})["id"]
        case.ok("POST", f"/v1/tasks/{cancelled}/cancel", {"reason": HOSTILE})
        case.ok("POST", "/v1/overrides", {"kind": "hold", "type": "n-later", "author": HOSTILE[:100], "reason": HOSTILE})
        case.ok("PUT", "/v1/queues/n-queue", {"paused": True, "reason": HOSTILE})
        house.run("task", "wait", cls.ran, check=False)
        house.run("task", "wait", cls.failed, check=False)
        case.doCleanups()

    def test_N1_a_line_of_the_log_is_one_line_of_json(self):
        self.ask("POST", "/v1/tasks", {"type": HOSTILE})
        self.house.run("config", "set", "scheduler.lease=7s", "--reason", HOSTILE)
        self.house.run("worker", "cordon", "w1", "--reason", HOSTILE)
        self.house.run("worker", "uncordon", "w1", "--reason", HOSTILE)
        lines = self.log().split("\n")[:-1]
        self.assertGreater(len(lines), 3)
        for line in lines:
            self.assertLessEqual({"ts", "level", "event", "msg"}, set(json.loads(line)), line)
            self.assertLessEqual(len(line.encode()), 1024)
            for turned in ("\x1b", "\u202e", "\u2028", "\r"):
                self.assertNotIn(turned, line)

    def test_N2_a_payload_is_in_nothing_but_its_task(self):
        """Where it is: the journal, its result, and what its program wrote. Where it never is: everything else that is shown."""
        seen = self.log() + self.ask("GET", "/metrics").text
        for path in ("/v1/tasks", "/v1/decisions", "/v1/audit", "/v1/status", "/v1/attention", "/v1/types", "/v1/workers", "/v1/queues", f"/v1/tasks/{self.waiting}",
                     f"/v1/tasks/{self.waiting}/explain", f"/v1/tasks/{self.ran}", f"/v1/tasks/{self.ran}/explain", f"/v1/tasks/{self.ran}/attempts"):
            answer = self.ask("GET", path)
            self.assertIn(answer.status, (200, 404), path)
            seen += answer.text
        for words in (("task", "list"), ("decision", "list"), ("audit", "list"), ("doctor",)):
            seen += self.house.run(*words, "-o", "json" if words != ("doctor",) else "table", check=False).stdout
        self.assertIn(self.waiting, seen)
        self.assertNotIn(SENTINEL, seen)
        self.assertIn(SENTINEL, self.house.run("task", "logs", self.ran).stdout)  # so it would have been found

    def test_N4_a_formula_of_somebody_is_text_in_a_spreadsheet(self):
        said = self.house.run("audit", "list", "-o", "csv").stdout
        rows = list(csv.reader(io.StringIO(said)))
        self.assertGreater(len(rows), 2)
        self.assertTrue(any("1+1" in cell for row in rows for cell in row), said)
        for row in rows:
            self.assertEqual(len(row), len(rows[0]))
            for cell in row:
                self.assertNotIn(cell[:1], ("=", "+", "@", "\t"), cell)

    def test_N5_N6_quotes_and_formats_are_text(self):
        for path in ("/v1/tasks?search=%27%3B%20DROP%20TABLE%20tasks%3B--", "/v1/tasks?search=%25s%25n%7B0%7D", "/v1/audit?author=%27%20OR%201%3D1--"):
            self.assertIn(self.ask("GET", path).status, (200, 400), path)
        listed = self.ok("GET", "/v1/tasks?limit=100")["tasks"]
        self.assertLessEqual({self.failed, self.ran, self.waiting}, {task["id"] for task in listed})
        wait_until("the failed one is in the history", lambda: self.ask("GET", f"/v1/tasks/{self.failed}").status == 200)
        self.assertIn("%s%n{0}{} '; DROP TABLE tasks;--", self.ask("GET", "/v1/audit").text)

    def test_N7_names_and_keys_break_no_line_of_the_metrics(self):
        for line in self.ask("GET", "/metrics").text.splitlines():
            self.assertRegex(line, r"^(# (HELP|TYPE) [a-z_0-9]+ .+|[a-z_0-9]+(\{([a-z_0-9]+=\"[^\"\\]*\",?)*\})? [-+.e0-9A-Za-z]+( [0-9]+)?)$")

    def test_N8_a_name_is_no_path(self):
        for name in ("../../etc/x", "/tmp/x", "a/../b", "C:\\x"):
            for field in ("type", "queue", "tenant", "worker"):
                self.assertEqual(self.ask("POST", "/v1/tasks", {"type": "a", field: name}).status, 400, (field, name))
        self.ok("POST", "/v1/tasks", {"type": "..", "queue": "..", "tenant": ".."})  # a name like any other
        self.assertEqual({path.name for path in self.house.folder.iterdir() if path.is_dir()}, {"data"})

    def test_N9_no_request_takes_an_address_to_call(self):
        document = self.ok("GET", "/v1/openapi.json")
        names = set(re.findall(r'"(\w*(?:url|uri|webhook|callback|endpoint)\w*)"', json.dumps(document["components"]["schemas"]), re.I))
        self.assertEqual(names, set())

    def test_N10_a_trace_that_is_none_is_left_off(self):
        for trace in ("garbage", "00-" + "0" * 32 + "-" + "0" * 16 + "-00", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-" + "g" * 32 + "-x-01", "-" * 3000):
            answer = self.ask("POST", "/v1/tasks", {"type": "n-trace"}, traceparent=trace)
            self.assertEqual(answer.status, 202, (trace[:60], answer.text))
        self.assertNotIn("garbage", self.log())


class Pins(Case):
    def test_B6_a_pin_is_a_wish_not_a_right(self):
        self.house.start_worker("w1", slots=1)
        self.house.worker_ready(1)
        self.house.run("worker", "cordon", "w1", "--reason", "test")
        for worker, word in (("w1", "cordoned"), ("nobody", "nobody")):
            task = self.ok("POST", "/v1/tasks", {"type": "pinned", "worker": worker})["id"]
            said = wait_until("it says why it waits", lambda: self.ask("GET", f"/v1/tasks/{task}/explain").text)
            self.assertIn(word, said)
        waiting = self.ok("GET", "/v1/tasks?type=pinned&state=waiting")["tasks"]
        self.assertEqual([task.get("worker", "") for task in waiting if task.get("started_at_unix_us")], [])
        self.assertEqual(len(waiting), 2)


class Floods(Case):
    def test_N3_ten_thousand_types_do_not_widen_the_metrics(self):
        self.ok("POST", "/v1/tasks/batch", {"tasks": [{"type": "first"}]})
        before = len(self.ask("GET", "/metrics").text)
        for begin in range(0, 10_000, 1000):
            self.ok("POST", "/v1/tasks/batch", {"tasks": [{"type": f"flood-{n}", "tenant": f"tenant-{n}", "queue": f"queue-{n}"} for n in range(begin, begin + 1000)]})
        wait_until("the flood is counted", lambda: int(self.ok("GET", "/v1/status").get("waiting", 0)) >= 10_000)
        time.sleep(1.1)  # what scrapers read is at most a second old
        self.assertLess(len(self.ask("GET", "/metrics").text), before + 256_000)

    def test_D5_a_million_keys_are_refused_by_their_size(self):
        body = b'{"type":"a","metadata":{' + b",".join(b'"k%d":"x"' % n for n in range(1_000_000)) + b"}}"
        link = http.client.HTTPConnection(self.house.http, timeout=20)
        self.addCleanup(link.close)
        try:
            link.request("POST", "/v1/tasks", body, {"Content-Type": "application/json"})
            self.assertEqual(link.getresponse().status, 413)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was cut off while it was still sending
        self.assertEqual(self.ask("GET", "/livez").status, 200)

    def test_D10_a_page_has_a_most(self):
        for path in ("/v1/tasks", "/v1/decisions", "/v1/audit", "/v1/workers", "/v1/types"):
            self.assertIn(self.ask("GET", path + "?limit=1000000").status, (400,), path)


class Handshakes(unittest.TestCase):
    def test_D11_handshakes_that_never_end_delay_nobody(self):
        with House() as house:
            make_certificates(house.folder)
            house.start_server("--tls-cert", house.folder / "server.crt", "--tls-key", house.folder / "server.key")
            host, port = house.http.split(":")
            silent = [socket.create_connection((host, int(port)), timeout=20) for _ in range(200)]
            for link in silent[:100]:
                link.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # the beginning of a hello
            trusted = ssl.create_default_context(cafile=house.folder / "server.crt")
            self.assertEqual(ask(house, "GET", "/v1/status", tls=trusted)[0], 200)
            for link in silent:  # each is cut off in time
                link.settimeout(30)
                try:
                    self.assertEqual(link.recv(100)[:1] in (b"", b"\x15"), True)
                except ConnectionResetError:
                    pass
                link.close()


class Secrets(unittest.TestCase):
    def test_K1_a_secret_comes_by_file_or_environment_never_by_flag(self):
        for words in (("status", "--token", "nxt_secret"), ("serve", "--scheduler-key", "secret"), ("worker", "--token", "nxt_secret")):
            done = subprocess.run([NEXUS, *words], capture_output=True, text=True, timeout=20)
            self.assertNotEqual(done.returncode, 0)
            self.assertNotIn("nxt_secret", done.stdout)
        with House() as house:
            house.start_server("--auth", "tokens")
            secret = (house.folder / "data/admin.token").read_text().strip()
            shown = pathlib.Path(f"/proc/{house.server.pid}/cmdline").read_bytes() + pathlib.Path(f"/proc/{house.server.pid}/environ").read_bytes()
            self.assertNotIn(secret.encode(), shown)
            env = {**os.environ, "NEXUS_TOKEN": secret, "NEXUS_SERVER": house.grpc}
            for words in (("config", "show", "--effective"), ("config", "get"), ("audit", "list", "-o", "json"), ("token", "list", "-o", "json")):
                done = subprocess.run([NEXUS, *words], capture_output=True, text=True, timeout=20, env=env)
                self.assertEqual(done.returncode, 0, (words, done.stderr))
                self.assertNotIn(secret, done.stdout)
            for path in (house.folder / "data").iterdir():
                if path.name != "admin.token" and path.is_file():
                    self.assertNotIn(secret.encode(), path.read_bytes(), path)

    def test_K4_a_start_as_root_is_warned_of(self):
        with House() as house:
            house.start_server()
            self.assertEqual("runs as root" in (house.folder / "server.log").read_text(), os.geteuid() == 0)
        self.assertEqual(os.stat(NEXUS).st_mode & 0o6000, 0)

    def test_K8_no_password_is_there_from_the_start(self):
        secrets = set()
        for _ in range(2):
            with House() as house:
                house.start_server("--auth", "tokens")
                secrets.add((house.folder / "data/admin.token").read_text())
                for guess in ("", "admin", "nexus", "password", "nxt_", "nxt_admin"):
                    link = http.client.HTTPConnection(house.http, timeout=20)
                    link.request("GET", "/v1/status", headers={"Authorization": "Bearer " + guess, "X-Scheduler-Key": guess})
                    self.assertIn(link.getresponse().status, (401, 429), guess)
                    link.close()
        self.assertEqual(len(secrets), 2)


if __name__ == "__main__":
    unittest.main()
