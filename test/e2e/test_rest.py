"""The REST API on a real server: bad requests (R1-R36 of the contract), and the conventions of docs/rest.md. Whatever is
refused is refused by name, stores nothing, and the server lives on."""
import base64
import gzip
import http.client
import json
import re
import socket
import time
import unittest

from harness import House, wait_until

JSON = {"Content-Type": "application/json"}
UNKNOWN = "0190c1d2-0000-7000-8000-000000000001"


class Answer:
    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.bytes = response.read()

    def json(self):
        text = gzip.decompress(self.bytes) if self.headers.get("Content-Encoding") == "gzip" else self.bytes
        return json.loads(text)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House()
        cls.house.start_server()

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def ask(self, method, target, body=None, headers=None):
        connection = http.client.HTTPConnection(self.house.http, timeout=20)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        connection.request(method, target, body, {**(JSON if body is not None else {}), **(headers or {})})
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    def raw(self, data, wait=5.0):
        """What the server says to these bytes until it closes or is silent."""
        host, port = self.house.http.split(":")
        with socket.create_connection((host, int(port)), timeout=wait) as link:
            try:
                link.sendall(data)
                link.shutdown(socket.SHUT_WR)
                got = b""
                while part := link.recv(65536):
                    got += part
            except (TimeoutError, ConnectionError):
                pass
            return got

    def head(self, line, *fields):
        return "\r\n".join([f"{line} HTTP/1.1", f"Host: {self.house.http}", *fields, "", ""]).encode()

    def submit(self, **task):
        answer = self.ask("POST", "/v1/tasks", {"type": "rest", **task})
        self.assertEqual(answer.status, 202, answer.bytes)
        return answer.json()["id"]

    def stored(self):
        """The newest task. (What /v1/status counts may be a second old.)"""
        return [task["id"] for task in self.ask("GET", "/v1/tasks?limit=1").json()["tasks"]]

    def refused(self, answer, status, *words):
        statuses = status if isinstance(status, tuple) else (status,)
        self.assertIn(answer.status, statuses, answer.bytes[:500])
        self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
        problem = answer.json()
        for key in ("type", "title", "status", "detail", "code", "errors", "request_id"):
            self.assertIn(key, problem)
        self.assertEqual(problem["status"], answer.status)
        for word in words:
            self.assertIn(word, problem["detail"] + json.dumps(problem["errors"]))
        return problem


class Bad(Case):
    def bodies(self, status, rows, target="/v1/tasks"):
        before = self.stored()
        for body, *words in rows:
            with self.subTest(body=body[:80]):
                self.refused(self.ask("POST", target, body), status, *words)
        self.assertEqual(self.stored(), before)

    def test_R1_to_R6_what_is_no_json(self):
        self.bodies(400, [(b"", "body"), (b"{", "body"), (b"\xef\xbb\xbf{\"type\":\"a\"}", "byte order mark"),
                          ("{\"type\":\"a\"}".encode("utf-16"), "UTF-8"), (b'{"type":"a\xff"}', "UTF-8"), (b'{"type":"a\\ud800"}', "body")])

    def test_R7_to_R13_values(self):
        self.bodies(400, [
            (b'{"type":"a\\u0000b"}', "type"), (b'[{"type":"a"}]', "object"), (b'{"metadata":' * 50_000, "body"), (b"[" * 100_000, "levels"),
            (b'{"type":"a","type":"b"}', "twice"), (b'{"type":"a","prioirty":3}', "prioirty", "priority"),
            (b'{"type":"a","priority":"5"}', "priority"), (b'{"type":"a","priority":1e400}', "body"), (b'{"type":"a","priority":NaN}', "body"),
            (b'{"type":"a","priority":-0}', "priority"), (b'{"type":"a","priority":9223372036854775808}', "priority"),
            (b'{"type":"a","priority":10}', "priority"), (b'{"type":"a","priority":1.5}', "priority"), (b'{"type":7}', "type"),
            (b'{"type":"a","payload":"cA==","payload_text":"p"}', "payload")])

    def test_R14_to_R18_ranges(self):
        rows = [({"timeout_us": -1}, "timeout_us"), ({"timeout_us": 10**18}, "timeout"), ({"run_at_unix_us": -1}, "run_at"),
                ({"deadline_unix_us": 1}, "deadline"), ({"labels_required": {f"l{i}": "x" for i in range(65)}}, "labels_required"),
                ({"labels_required": {"k" * 10_000: "x"}}, "labels_required")]
        names = ["a" * 129, "", "../../x", "a/b", "a b", "\U0001F600", "\u202eabc"]
        self.bodies(400, [(json.dumps({"type": "a", **more}).encode(), word) for more, word in rows] +
                    [(json.dumps({"type": name}).encode(), "type") for name in names])

    def test_R19_payload_limit(self):
        limit = 256 << 10
        full = base64.b64encode(b"x" * limit).decode()
        self.assertEqual(self.ask("POST", "/v1/tasks", {"type": "a", "payload": full}).status, 202)
        self.refused(self.ask("POST", "/v1/tasks", {"type": "a", "payload": base64.b64encode(b"x" * (limit + 1)).decode()}), (400, 413), "payload")
        answer = self.raw(self.head("POST /v1/tasks", "Content-Type: application/json", "Content-Length: 99999999"))
        self.assertTrue(answer.startswith(b"HTTP/1.1 413"), answer[:100])  # before the body

    def test_R20_R21_R30_framing(self):
        post = ("POST /v1/tasks", "Content-Type: application/json")
        before = self.stored()
        for fields, body in ((["Content-Length: -1"], b""), (["Content-Length: 5", "Content-Length: 6"], b"{}"),
                             (["Content-Length: 2", "Transfer-Encoding: chunked"], b"0\r\n\r\n"), (["Transfer-Encoding: xchunked"], b"{}"),
                             (["Transfer-Encoding: chunked"], b"zz\r\n{}\r\n0\r\n\r\n")):
            with self.subTest(fields=fields):
                self.assertTrue(self.raw(self.head(*post, *fields) + body).startswith(b"HTTP/1.1 400"))
        self.assertEqual(self.raw(self.head(*post, "Content-Length: 50") + b"{}")[:12] in (b"", b"HTTP/1.1 400"), True)  # too big: never whole
        self.assertEqual(self.stored(), before)
        body = json.dumps({"type": "a", "payload_text": "y" * 20_000}).encode()
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
        self.assertTrue(self.raw(self.head(*post, "Transfer-Encoding: chunked") + chunks).startswith((b"HTTP/1.1 202", b"HTTP/1.1 400")))
        self.assertIn(self.raw(b"GET /livez\r\n\r\n")[:12], (b"", b"HTTP/1.1 400", b"HTTP/1.1 505"))
        got = self.raw(b"GET /livez HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n")
        self.assertIn(b" 200 ", got[:20])
        self.assertEqual(self.raw(self.head("GET /livez") * 1000, wait=30).count(b"HTTP/1.1 200"), 1000)

    def test_R22_R23_encodings_and_types(self):
        before = self.stored()
        for coding in ("gzip", "deflate", "br", "unknown"):
            self.refused(self.ask("POST", "/v1/tasks", gzip.compress(b" " * 1_000_000), {"Content-Encoding": coding}), 415)
        for kind in ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            self.refused(self.ask("POST", "/v1/tasks", b'{"type":"a"}', {"Content-Type": kind}), 415, "application/json")
        self.assertEqual(self.stored(), before)

    def test_R24_to_R26_hosts_and_targets(self):
        self.assertTrue(self.raw(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400"))
        self.assertTrue(self.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 400"))
        for host in ("evil.example", "localhost.evil", "localhost:x"):
            self.assertTrue(self.raw(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).startswith(b"HTTP/1.1 421"), host)
        self.assertTrue(self.raw(self.head("GET http://evil.example/")).startswith(b"HTTP/1.1 421"))
        for path in ("//v1//tasks", "/v1/%2e%2e/tasks", "/v1/tasks%00", "/v1/tasks/%2f", "/" + "a" * 60_000):
            got = self.raw(self.head(f"GET {path}"))
            self.assertRegex(got[:12], rb"HTTP/1.1 4(00|04|14|31)", path)

    def test_R27_queries(self):
        for query in ("limit=-1", "limit=1000000000", "limit=1&limit=2", "&".join(f"a{i}=1" for i in range(500)), "colour=red", "state=asleep", "search=" + "x" * 200,
                      "submitted_from_unix_us=-1"):
            self.refused(self.ask("GET", f"/v1/tasks?{query}"), 400)

    def test_R28_ids(self):
        for target in ("nonsense", "x" * 5000, UNKNOWN):
            for verb in ("", "/explain", "/output", "/watch"):
                if target == UNKNOWN and verb == "/watch":
                    continue  # told in the stream
                self.refused(self.ask("GET", f"/v1/tasks/{target}{verb}"), 404)

    def test_R29_methods(self):
        for method in ("TRACE", "FOO", "PATCH", "OPTIONS"):
            answer = self.ask(method, "/v1/tasks")
            self.assertIn(answer.status, (400, 405), method)
        answer = self.ask("DELETE", "/v1/tasks", headers={"X-HTTP-Method-Override": "GET"})
        self.refused(answer, 405)
        self.assertEqual(answer.headers["Allow"], "POST, GET, HEAD")

    def test_R31_idempotency_keys(self):
        def post(key, body):
            return self.ask("POST", "/v1/tasks", {"type": "a", **body}, {"Idempotency-Key": key})
        self.refused(post("k" * 1024, {}), 400, "idempotency_key")
        first = post("R31", {"payload_text": "1"}).json()
        again = post("R31", {"payload_text": "1"}).json()
        self.assertEqual((again["id"], again["duplicate"]), (first["id"], True))
        self.refused(post("R31", {"payload_text": "2"}), 409, first["id"])

    def test_R32_batches(self):
        good = {"type": "a"}
        before = self.stored()
        for tasks in ([], [good] * 1001, [good, {"type": "a b"}, good]):
            problem = self.refused(self.ask("POST", "/v1/tasks/batch", {"tasks": tasks}), 400, "tasks")
        self.assertEqual(problem["field"], "tasks[1].type")
        self.assertEqual(self.stored(), before)

    def test_R33_page_tokens(self):
        for token in ("x", "s" + "0" * 36, "e1.2.3.4"):
            self.refused(self.ask("GET", f"/v1/tasks?cursor={token}"), 400, "cursor")

    def test_R34_cancels(self):
        task = self.submit()
        for _ in range(2):
            self.assertEqual(self.ask("POST", f"/v1/tasks/{task}/cancel").json()["state"], "TASK_STATE_CANCELLED")
        self.refused(self.ask("POST", f"/v1/tasks/{UNKNOWN}/cancel"), 404)

    def test_R35_configuration_versions(self):
        was = self.ask("GET", "/v1/config")
        tag = was.headers["ETag"]
        self.assertEqual(tag, f'"{was.json()["etag"]}"')
        self.refused(self.ask("PUT", "/v1/config", {"toml": ""}, {"If-Match": "5"}), 400, "quotes")
        changed = self.ask("PUT", "/v1/config", {"toml": '[scheduler]\nlease = "7s"\n'}, {"If-Match": tag})
        self.assertEqual(changed.status, 200, changed.bytes)
        self.assertNotEqual(changed.headers["ETag"], tag)
        self.refused(self.ask("PUT", "/v1/config", {"toml": '[scheduler]\nlease = "8s"\n'}, {"If-Match": tag}), 412)
        self.assertIn('lease = "7s"', self.ask("GET", "/v1/config").json()["toml"])

    def test_R36_a_reader_that_never_reads_does_no_harm(self):
        host, port = self.house.http.split(":")
        links = []
        for _ in range(20):
            link = socket.create_connection((host, int(port)))
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            link.sendall(self.head("GET /v1/tasks/watch"))
            links.append(link)
        for _ in range(20):
            self.ask("POST", "/v1/tasks/batch", {"tasks": [{"type": "flood", "metadata": {"m": "x" * 1000}}] * 100})
        self.assertEqual(self.ask("GET", "/livez").status, 200)
        self.ask("POST", "/v1/tasks/cancel", {"filter": {"type": "flood"}})
        self.ask("POST", "/v1/tasks/cancel", {"filter": {"type": "flood"}})
        for link in links:
            link.close()
        self.assertEqual(self.ask("GET", "/v1/status").status, 200)


class Manners(Case):
    def test_problems_say_who_asked_and_when_to_come_back(self):
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        answer = self.ask("GET", f"/v1/tasks/{UNKNOWN}", headers={"X-Request-Id": "mine-1", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
        problem = self.refused(answer, 404)
        self.assertEqual((problem["request_id"], problem["trace_id"]), ("mine-1", trace))
        self.assertEqual(answer.headers["X-Request-Id"], "mine-1")
        odd = self.ask("GET", "/v1/status", headers={"X-Request-Id": "a b\"c"})
        self.assertRegex(odd.headers["X-Request-Id"], r"^[0-9a-f]{16}$")
        problem = self.refused(self.ask("POST", "/v1/tasks", {"type": "a", "priority": 11}), 400)
        self.assertEqual([error["field"] for error in problem["errors"]], ["priority"])

    def test_an_answer_that_is_known_is_not_sent_again(self):
        self.submit(type="etag")
        for target in ("/v1/tasks?type=etag&state=cancelled", "/v1/policies", "/v1/openapi.json", "/fleet", "/icon.svg"):
            first = self.ask("GET", target)
            tag = first.headers["ETag"]
            again = self.ask("GET", target, headers={"If-None-Match": f'"other", {tag}'})
            self.assertEqual((again.status, again.bytes), (304, b""), target)
            self.assertEqual(again.headers["ETag"], tag)
            self.assertEqual(self.ask("GET", target, headers={"If-None-Match": '"other"'}).status, 200)
        head = self.ask("HEAD", "/v1/policies")
        self.assertEqual((head.status, head.bytes), (200, b""))
        self.assertIn("ETag", head.headers)

    def test_long_answers_are_compressed_for_who_asks(self):
        plain = self.ask("GET", "/v1/openapi.json")
        small = self.ask("GET", "/v1/openapi.json", headers={"Accept-Encoding": "br, gzip"})
        self.assertEqual(small.json(), plain.json())
        self.assertLess(len(small.bytes) * 4, len(plain.bytes))
        for answer in (plain, small):
            self.assertEqual(answer.headers["Vary"], "Accept-Encoding")
        self.assertIsNone(self.ask("GET", "/v1/openapi.json", headers={"Accept-Encoding": "gzip;q=0"}).headers["Content-Encoding"])
        self.assertIsNone(self.ask("GET", "/livez", headers={"Accept-Encoding": "gzip"}).headers["Content-Encoding"])
        script = "/" + re.search(r"assets/[^\"]*\.js", self.ask("GET", "/").bytes.decode())[0]
        page = self.ask("GET", script, headers={"Accept-Encoding": "gzip"})
        self.assertEqual(page.headers["Content-Encoding"], "gzip")
        self.assertEqual(gzip.decompress(page.bytes), self.ask("GET", script).bytes)

    def test_lists_link_to_their_next_page(self):
        ids = {self.submit(type="paged", metadata={"n": str(i)}) for i in range(5)}
        target, seen = "/v1/tasks?type=paged&limit=2", set()
        while target:
            page = self.ask("GET", target)
            seen |= {task["id"] for task in page.json()["tasks"]}
            link = page.headers["Link"]
            target = re.fullmatch(r'<([^>]+)>; rel="next"', link)[1] if link else None
        self.assertEqual(seen, ids)

    def test_bytes_go_in_and_come_out_as_text(self):
        self.house.start_worker("text")
        made = self.ask("POST", "/v1/tasks", {"type": "exec", "metadata": {"handler": "exec"}, "payload_text": json.dumps({"argv": ["printf", "grüße"]})})
        self.assertEqual(made.status, 202, made.bytes)
        task = made.json()["id"]
        def ended():
            state = self.ask("GET", f"/v1/tasks/{task}?result=true").json()
            return state if state["state"] in ("TASK_STATE_SUCCEEDED", "TASK_STATE_DEAD") else None
        state = wait_until("the task ended", ended)
        self.assertEqual(state["state"], "TASK_STATE_SUCCEEDED", state)
        self.assertIn("result_text", state)
        self.assertEqual(base64.b64decode(state["result"]).decode(), state["result_text"])

    def test_many_tasks_are_cancelled_and_submitted_again(self):
        ids = [self.submit(type="many", labels_required={"zone": "nowhere"}) for _ in range(5)]
        self.refused(self.ask("POST", "/v1/tasks/cancel", {}), 400, "filter")
        dry = self.ask("POST", "/v1/tasks/cancel", {"filter": {"type": "many", "states": ["waiting"]}, "dry_run": True}).json()
        self.assertEqual((dry["changed"], dry["refused"], dry["more"]), (5, 0, False))
        some = self.ask("POST", "/v1/tasks:cancel", {"filter": {"type": "many"}, "limit": 2, "reason": "enough"}).json()
        self.assertEqual((some["changed"], some["more"]), (2, True))
        rest = self.ask("POST", "/v1/tasks/cancel", {"filter": {"type": "many", "page_token": some["next_page_token"]}}).json()
        self.assertEqual((rest["changed"], rest["more"]), (3, False))
        again = self.ask("POST", "/v1/tasks/retry", {"filter": {"type": "many", "states": ["cancelled"]}}).json()
        self.assertEqual(again["changed"], 5)
        self.assertEqual({task["id"] for task in again["tasks"]}, set(ids))
        twice = self.ask("POST", "/v1/tasks/retry", {"filter": {"type": "many", "states": ["cancelled"]}}).json()
        self.assertEqual({task["code"] for task in twice["tasks"]}, {"CONFLICT"})
        found = self.ask("GET", f"/v1/tasks?search={ids[0]}").json()["tasks"]
        self.assertEqual([task["id"] for task in found], [ids[0]])

    def test_queues_and_policies(self):
        self.ask("PUT", "/v1/queues/night", {"paused": True, "reason": "a test"})
        self.submit(queue="night")
        queue = self.ask("GET", "/v1/queues/night").json()
        self.assertEqual((queue["paused"], queue["waiting"]), (True, "1"))
        self.assertIn("night", [one["name"] for one in self.ask("GET", "/v1/queues").json()["queues"]])
        self.refused(self.ask("GET", "/v1/queues/never"), 404, "never")
        policies = self.ask("GET", "/v1/policies").json()["policies"]
        self.assertEqual([one["name"] for one in policies if one["active"]], ["predictive"])
        self.assertTrue(all(one["meaning"] for one in policies))


class Watch(Case):
    """Events of a stream, as they come."""

    def open(self, target, **headers):
        connection = http.client.HTTPConnection(self.house.http, timeout=20)
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        self.addCleanup(connection.close)
        self.assertEqual(response.status, 200)
        return response

    def events(self, response):
        event = {}
        for line in response:
            line = line.decode().rstrip("\n")
            if not line and "data" in event:
                yield event
                event = {}
            elif ": " in line and not line.startswith(":"):
                name, value = line.split(": ", 1)
                event[name] = value

    def state(self, event):
        task = json.loads(event["data"])["task"]
        return task["id"], task["state"].removeprefix("TASK_STATE_").lower()

    def test_named_tasks_are_told_until_they_have_ended(self):
        first, second = self.submit(), self.submit()
        events = self.events(self.open(f"/v1/tasks/watch?id={first},{second}"))
        self.assertEqual({self.state(next(events)), self.state(next(events))}, {(first, "waiting"), (second, "waiting")})
        self.ask("POST", f"/v1/tasks/{first}/cancel")
        self.assertEqual(self.state(next(events)), (first, "cancelled"))
        self.ask("POST", f"/v1/tasks/{second}/cancel")
        self.assertEqual(self.state(next(events)), (second, "cancelled"))
        self.assertEqual([event["event"] for event in events], ["end"])
        told = list(self.events(self.open(f"/v1/tasks/{first}/watch")))  # ended long ago
        self.assertEqual([event["event"] for event in told], ["task", "end"])

    def test_an_unknown_task_ends_the_watch_with_a_problem(self):
        told = list(self.events(self.open(f"/v1/tasks/{UNKNOWN}/watch")))
        self.assertEqual([event["event"] for event in told], ["error"])
        self.assertEqual(json.loads(told[0]["data"])["code"], "NOT_FOUND")

    def test_a_watch_that_comes_again_is_told_what_changed_meanwhile(self):
        def resumed(last, until, target="/v1/tasks/watch?type=again"):
            seen = {}
            for event in self.events(self.open(target, **{"Last-Event-ID": last})):
                self.assertEqual(event["event"], "task")
                task, state = self.state(event)
                seen[task] = state
                if until.items() <= seen.items():
                    return seen
        response = self.open("/v1/tasks/watch?type=again")
        tasks = [self.submit(type="again") for _ in range(3)]
        events = self.events(response)
        last = ""
        while True:
            event = next(events)
            last = event["id"]
            if self.state(event) == (tasks[2], "waiting"):
                break
        response.close()
        self.ask("POST", f"/v1/tasks/{tasks[0]}/cancel")
        later = self.submit(type="again")
        seen = resumed(last, {tasks[0]: "cancelled", later: "waiting"})
        self.assertTrue(set(seen) <= {*tasks, later})
        self.refused(self.ask("GET", "/v1/tasks/watch", headers={"Last-Event-ID": "x"}), 400)
        self.refused(self.ask("GET", "/v1/tasks/watch?colour=red"), 400, "colour")

    def test_a_silent_watch_says_that_it_lives(self):
        response = self.open("/v1/tasks/watch?type=silent")
        end = time.monotonic() + 15
        while time.monotonic() < end:
            if response.readline().startswith(b": "):
                return
        self.fail("no sign of life")


if __name__ == "__main__":
    unittest.main()
