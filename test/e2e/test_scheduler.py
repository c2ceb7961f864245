"""The REST face of the old Nexus, /scheduler/*: every status, field name, header and error of its contract."""
import hashlib
import http.client
import json
import re
import subprocess
import unittest

from harness import NEXUS, House, wait_until

KEY, SECOND, BUSY = "key-one", "key-two", "key-busy"


class Scheduler(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House()
        keys = cls.house.folder / "keys"
        keys.write_text(f"# old dashboards\n{KEY}\n{SECOND}\n")
        keys.chmod(0o600)
        cls.house.start_server("--scheduler-keys-file", str(keys), "--scheduler-keys", BUSY)
        cls.house.start_worker("w1", "--label", "zone=a")
        cls.house.start_worker("w2")
        wait_until("the workers are ready", lambda: cls.house.status()["workers_ready"] == 2)
        cls.house.run("worker", "drain", "w2")

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def ask(self, method, path, body=None, key=KEY, **headers):
        connection = http.client.HTTPConnection(self.house.http, timeout=20)
        if key:
            headers["X-Scheduler-Key"] = key
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        connection.request(method, path, data, {**({"Content-Type": "application/json"} if data else {}), **headers})
        response = connection.getresponse()
        answer = response.status, json.loads(response.read()), response.headers
        connection.close()
        return answer

    def test_keys_and_errors(self):
        rows = [("GET", "/scheduler/status", None, "", 401, "Unauthorized"), ("GET", "/scheduler/status", None, "wrong", 403, "Forbidden"),
                ("PUT", "/scheduler/config", {}, "", 401, "Unauthorized"), ("POST", "/scheduler/override", {}, "wrong", 403, "Forbidden"),
                ("DELETE", "/scheduler/predictions/a", None, "wrong", 403, "Forbidden"), ("GET", "/scheduler/nothing", None, KEY, 404, "Not Found"),
                ("GET", "/scheduler/config", None, KEY, 404, "Not Found")]
        for method, path, body, key, status, error in rows:
            with self.subTest(path=path, key=key):
                got, answer, headers = self.ask(method, path, body, key, **{"X-Correlation-ID": "corr-7"})
                self.assertEqual((got, answer["error"]), (status, error))
                self.assertEqual(set(answer), {"error", "message", "correlationId"})
                self.assertEqual(answer["correlationId"], "corr-7")
                self.assertEqual(headers["X-Correlation-ID"], "corr-7")
        _, _, headers = self.ask("GET", "/scheduler/status")
        self.assertTrue(headers["X-Correlation-ID"])
        status, answer, _ = self.ask("GET", "/scheduler/health", key="")
        self.assertEqual((status, answer), (200, {"status": "healthy"}))

    def test_rate_limit_counts_before_the_key_is_checked(self):
        for key, good in ((BUSY, 200), ("a wrong one", 403)):
            statuses = []
            for left in range(99, -1, -1):
                status, _, headers = self.ask("GET", "/scheduler/status", key=key)
                statuses.append(status)
                self.assertEqual((headers["RateLimit-Limit"], headers["RateLimit-Remaining"]), ("100", str(left)))
                self.assertLessEqual(int(headers["RateLimit-Reset"]), 60)
            self.assertEqual(set(statuses), {good})
            status, answer, headers = self.ask("GET", "/scheduler/status", key=key)
            self.assertEqual((status, answer["error"]), (429, "Too Many Requests"))
            self.assertGreater(answer["retryAfter"], 0)
            self.assertEqual(headers["Retry-After"], str(answer["retryAfter"]))
        self.assertEqual(self.ask("GET", "/scheduler/status", key=SECOND)[0], 200)  # each key by itself

    def test_status(self):
        status, answer, _ = self.ask("GET", "/scheduler/status")
        self.assertEqual(status, 200)
        self.assertEqual(set(answer), {"status", "uptime", "workers", "predictions", "decisions", "latency"})
        self.assertEqual(answer["status"], "degraded")  # one worker drains
        self.assertEqual(answer["workers"], {"healthy": 1, "degraded": 1, "unhealthy": 0})
        self.assertEqual(set(answer["predictions"]), {"taskTypes", "avgConfidence"})
        self.assertEqual(set(answer["decisions"]), {"total", "fallbackRate"})
        self.assertEqual(set(answer["latency"]), {"p50", "p99"})

    def test_workers(self):
        _, answer, _ = self.ask("GET", "/scheduler/workers")
        self.assertEqual((answer["total"], answer["available"]), (2, 1))
        worker = next(one for one in answer["workers"] if one["id"] == "w1")
        self.assertEqual(set(worker), {"id", "status", "capabilities", "currentLoad", "lastHeartbeat", "activeTasks", "maxConcurrency", "metadata"})
        self.assertEqual((worker["status"], worker["maxConcurrency"], worker["capabilities"]), ("idle", 4, []))
        self.assertRegex(worker["lastHeartbeat"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(worker["metadata"]["tags"]["zone"], "a")
        self.assertEqual(set(worker["metadata"]), {"hostname", "version", "startedAt", "tags"})
        self.assertEqual(next(one for one in answer["workers"] if one["id"] == "w2")["status"], "draining")

    def test_predictions_and_their_reset(self):
        self.house.submit_exec("true", flags=("--wait",))
        wait_until("it is learned", lambda: self.ask("GET", "/scheduler/predictions", key=SECOND)[1]["taskTypes"])
        _, answer, _ = self.ask("GET", "/scheduler/predictions")
        name = answer["taskTypes"][0]
        self.assertEqual(set(answer), {"taskTypes", "states"})
        self.assertEqual(set(answer["states"][name]), {"avgConfidence", "totalPredictions", "lastUpdated"})
        self.assertRegex(answer["states"][name]["lastUpdated"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(answer["states"][name]["totalPredictions"], 1)
        for known, reset in ((name, True), ("never-seen", False)):
            status, answer, _ = self.ask("DELETE", f"/scheduler/predictions/{known}")
            self.assertEqual(status, 200)
            self.assertEqual((answer["taskType"], answer["reset"]), (known, reset))
            self.assertIn("message", answer)
        who = "scheduler-key-" + hashlib.sha256(KEY.encode()).hexdigest()[:8]
        self.assertIn(who, self.house.run("audit", "list", "-o", "jsonl").stdout)

    def test_config(self):
        status, answer, _ = self.ask("PUT", "/scheduler/config", {"fallbackThreshold": 5, "heartbeatTimeoutMs": 20000, "weights": {"wait": 0.5}})
        self.assertEqual(status, 200)
        self.assertIn("message", answer)
        self.assertEqual(answer["config"], {"fallbackThreshold": 5, "heartbeatTimeoutMs": 20000, "weights": {"wait": 0.5, "load": 0.4, "priority": 0.2}})
        self.assertEqual(self.house.run("config", "get", "fallback_threshold").stdout, "5\n")
        rows = [({"fallbackThreshold": 0}, "fallbackThreshold"), ({"heartbeatTimeoutMs": 999}, "heartbeatTimeoutMs"), ({"weights": 1}, "weights"),
                ({"weights": {"speed": 1}}, "weights.speed"), ({"weights": {"load": -1}}, "weights.load"), ({"colour": 1}, "colour"), ([], "object"),
                (b"{", "object"), ({"fallbackThreshold": "5"}, "fallbackThreshold")]
        for body, word in rows:
            with self.subTest(body=body):
                status, answer, _ = self.ask("PUT", "/scheduler/config", body)
                self.assertEqual((status, answer["error"]), (400, "Bad Request"))
                self.assertIn(word, answer["message"])

    def test_override(self):
        known = json.loads(self.house.run("task", "submit", "--type", "typed", "--payload", "x", "-o", "json").stdout)["id"]
        rows = [({"workerId": "w1", "taskType": "a"}, 400, "taskId"), ({"taskId": "t", "taskType": "a"}, 400, "workerId"),
                ({"taskId": "t", "workerId": "w9", "taskType": "a"}, 404, "w9"), ({"taskId": "t", "workerId": "w2", "taskType": "a"}, 400, "draining"),
                ({"taskId": "t", "workerId": "w1"}, 400, "taskType"), ({"taskId": 7, "workerId": "w1"}, 400, "taskId")]
        for body, status, word in rows:
            with self.subTest(body=body):
                got, answer, _ = self.ask("POST", "/scheduler/override", body, key=SECOND)
                self.assertEqual(got, status)
                self.assertIn(word, answer["message"])
        status, answer, _ = self.ask("POST", "/scheduler/override", {"taskId": known, "workerId": "w1", "reason": "by hand"}, key=SECOND)
        self.assertEqual((status, answer["success"], answer["taskId"], answer["workerId"]), (200, True, known, "w1"))
        self.assertIn("by hand", self.house.run("override", "list").stdout)
        made = {"taskId": "an old id, 17", "workerId": "w1", "taskType": "of old/types", "payload": {"n": 1}}
        ids = set()
        for _ in range(2):  # again is the same
            status, answer, _ = self.ask("POST", "/scheduler/override", made, key=SECOND)
            self.assertEqual((status, set(answer)), (200, {"success", "taskId", "workerId", "message"}))
            ids.add(re.search(r"[0-9a-f-]{36}", answer["message"])[0])
        self.assertEqual(len(ids), 1)
        task = self.house.json("task", "get", ids.pop())
        self.assertEqual((task["type"], task["priority"]), ("of_old_types", 9))


class Unset(unittest.TestCase):
    def test_without_keys_it_says_how_to_set_them(self):
        with House() as house:
            house.start_server()
            connection = http.client.HTTPConnection(house.http, timeout=20)
            connection.request("GET", "/scheduler/status", headers={"X-Scheduler-Key": "any"})
            response = connection.getresponse()
            answer = json.loads(response.read())
            self.assertEqual(response.status, 401)
            self.assertIn("--scheduler-keys-file", answer["message"])

    def test_a_key_file_that_others_may_read_is_refused(self):
        with House() as house:
            keys = house.folder / "keys"
            keys.write_text("k\n")
            keys.chmod(0o644)
            done = subprocess.run([NEXUS, "serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", str(house.folder / "data"),
                                   "--scheduler-keys-file", str(keys)], capture_output=True, text=True, timeout=30)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("chmod 600", done.stderr)

    def test_keys_on_the_command_line_are_hidden_and_warned_of(self):
        with House() as house:
            house.start_server("--scheduler-keys", "topsecret")
            with open(f"/proc/{house.server.pid}/cmdline", "rb") as line:
                self.assertNotIn(b"topsecret", line.read())
            log = (house.folder / "server.log").read_text()
            self.assertIn("--scheduler-keys-file", log)
            self.assertNotIn("topsecret", log)


if __name__ == "__main__":
    unittest.main()
