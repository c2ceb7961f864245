"""What the page reads of the whole, on a real server: attention, status, series, workers with their runs and events, types
with runs and reliability, tenants, limits, decisions with their outcome, a task's way, settings, and the live topics."""
import http.client
import json
import re
import unittest
import urllib.error
import urllib.request

from harness import House, wait_until

JSON = {"Content-Type": "application/json"}


class Overview(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House()
        cls.house.start_server("--set", "server.name=house-7")
        cls.house.start_worker("w1", "--label", "zone=here", slots=2)
        cls.house.worker_ready(1)
        for _ in range(5):
            cls.house.submit_exec("true", flags=("--type", "quick", "--wait"))
        cls.failed = cls.house.submit_exec("false", flags=("--type", "doomed", "--attempts", "1"))
        wait_until("it is dead", lambda: int(cls.house.status()["dead"]) == 1)
        cls.stuck = cls.house.submit_exec("true", flags=("--type", "stuck", "--require", "zone=moon", "--tenant", "acme"))

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def get(self, target):
        with urllib.request.urlopen(f"http://{self.house.http}{target}", timeout=20) as answer:
            return json.load(answer)

    def refused(self, target):
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.get(target)
        return caught.exception.code, json.load(caught.exception)["detail"]

    def post(self, target, body):
        request = urllib.request.Request(f"http://{self.house.http}{target}", json.dumps(body).encode(), JSON)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def test_attention_is_what_doctor_tells(self):
        attention = self.get("/v1/attention")
        self.assertEqual([need["id"] for need in attention["needs"]], ["waiting", "dead"])
        self.assertIn("zone=moon: none of 1 worker has it", attention["needs"][0]["sentence"])
        self.assertEqual({need["severity"] for need in attention["needs"]}, {"breaks"})
        self.assertEqual(attention["verdict"]["kind"], "degraded")
        done = self.house.run("doctor", "-o", "json", check=False)
        told = {problem["what"] + "." for problem in json.loads(done.stdout)["problems"]}
        self.assertEqual(told, {need["sentence"] for need in attention["needs"]})

    def test_status_says_why_tasks_wait_and_what_room_there_is(self):
        status = self.get("/v1/status")
        self.assertEqual(status["server_name"], "house-7")
        self.assertEqual([(by["reason"], by["count"]) for by in status["waiting_by"]], [("WAIT_REASON_NO_ELIGIBLE_WORKER", "1")])
        self.assertIn("zone=moon", status["waiting_by"][0]["culprit"])
        submitted = self.get(f"/v1/tasks/{self.stuck}")["submitted_unix_us"]
        self.assertEqual(status["oldest_waiting_unix_us"], submitted)
        self.assertGreater(int(status["wait_p99_us"]), 0)
        self.assertGreater(int(status["store_bytes"]), 0)
        self.assertGreater(int(status["disk_free_bytes"]), 0)

    def test_series_have_the_tasks_that_ended(self):
        def finished():
            series = self.get("/v1/series?names=finished,use_max")
            self.assertEqual(series["names"], ["finished", "use_max"])
            self.assertEqual(series["step_us"], "10000000")
            return sum(value or 0 for value in series["values"][0])
        status = self.get("/v1/status")
        ended = sum(int(status.get(state, 0)) for state in ("succeeded", "dead", "cancelled", "expired"))
        self.assertGreaterEqual(ended, 6)
        wait_until("the step is over", lambda: finished() == ended, 25)
        code, detail = self.refused("/v1/series?names=wating")
        self.assertEqual((code, detail), (400, 'names: no such series (did you mean "waiting"?)'))

    def test_a_worker_shows_its_runs_and_what_happened_to_it(self):
        worker = self.get("/v1/workers/w1")
        self.assertEqual(len(worker["runs_recent"]), 6)
        self.assertEqual(worker["runs_recent"][0]["outcome"], "failed")
        self.assertEqual(worker["runs_recent"][0]["task_id"], self.failed)
        self.assertEqual(worker["failures_recent"], 1)
        self.assertGreater(int(worker["state_since_unix_us"]), 0)
        self.post("/v1/workers/w1/cordon", {"author": "ann", "reason": "disk"})
        worker = self.get("/v1/workers/w1")
        self.assertEqual((worker["state_author"], worker["state_reason"]), ("ann", "disk"))
        self.post("/v1/workers/w1/uncordon", {})
        self.post("/v1/workers/w1/close-breaker", {"author": "ann", "reason": "new disk"})
        events = self.get("/v1/workers/w1/events")["events"]
        self.assertEqual([event["kind"] for event in events], ["breaker_ordered", "uncordoned", "cordoned", "failed", "connected"])
        self.assertEqual(events[2]["sentence"], "Cordoned by ann: disk.")
        self.assertEqual(events[3]["task_id"], self.failed)
        newest = self.get("/v1/audit?limit=1")["entries"][0]
        self.assertIn("close-breaker", newest["action"])
        self.assertEqual((newest["author"], newest["reason"]), ("ann", "new disk"))
        self.assertEqual(self.refused("/v1/workers/nobody")[0], 404)
        self.assertEqual(self.refused("/v1/workers/nobody/events")[0], 404)

    def test_a_type_shows_its_runs_and_whether_its_promises_hold(self):
        runs = self.get("/v1/types/quick/runs")["runs"]
        self.assertEqual(len(runs), 5)
        self.assertTrue(all(int(run["run_us"]) > 0 and run["worker"] == "w1" for run in runs))
        self.assertEqual(len(self.get("/v1/types/quick/runs?limit=2")["runs"]), 2)
        reliability = self.get("/v1/types/quick/reliability")
        self.assertEqual([point["promised"] for point in reliability["points"]], [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99])
        self.assertTrue(all(0 <= point["kept"] <= 1 for point in reliability["points"]))
        self.assertGreater(reliability["ceiling"], 0)
        self.assertGreater(int(self.get("/v1/types/quick")["slot_time_us"]), 0)
        request = urllib.request.Request(f"http://{self.house.http}/v1/types/quick/estimate", json.dumps({"estimate_us": 5000000, "author": "bo", "reason": "test"}).encode(), JSON, method="PUT")
        urllib.request.urlopen(request, timeout=20).close()
        self.assertEqual(self.get("/v1/types/quick/events")["events"][0]["sentence"], "Its estimate is forced to 5.0 s by bo: test.")

    def test_tenants_and_limits(self):
        tenants = {tenant["name"]: tenant for tenant in self.get("/v1/tenants")["tenants"]}
        self.assertEqual(tenants["acme"]["waiting"], "1")
        self.assertEqual(tenants["acme"]["entitled"], 1)
        self.assertEqual(tenants["default"]["got_15m"], 1)
        holder = self.post("/v1/tasks", {"type": "keyed", "concurrency_key": "asset-1", "labels_required": {"zone": "moon"}})
        waiter = self.post("/v1/tasks", {"type": "keyed", "concurrency_key": "asset-1", "labels_required": {"zone": "moon"}})
        limits = [limit for limit in self.get("/v1/limits")["limits"] if limit["key"] == "asset-1"]
        self.assertEqual([(limit["kind"], limit["tenant"], limit["max"], limit["used"], limit["waiting"]) for limit in limits], [("concurrency", "default", "1", "1", "1")])
        for task in (waiter, holder):
            self.post(f"/v1/tasks/{task['id']}/cancel", {})

    def test_decisions_have_an_outcome_and_are_found_by_kind(self):
        decisions = self.get("/v1/decisions?type=doomed")["decisions"]
        self.assertEqual([decision["task_id"] for decision in decisions], [self.failed])
        self.assertEqual(decisions[0]["outcome"]["result"], "failed")
        self.assertEqual(len(self.get("/v1/decisions?type=doomed&kind=arrival")["decisions"]), 1)
        self.assertEqual(self.get("/v1/decisions?type=doomed&kind=preempted")["decisions"], [])
        self.assertEqual(self.refused("/v1/decisions?kind=nonsense")[0], 400)
        later = int(decisions[0]["at_unix_us"])
        self.assertEqual(self.get(f"/v1/decisions?type=doomed&from_unix_us={later + 1}")["decisions"], [])
        self.assertEqual(self.get(f"/v1/decisions?type=doomed&to_unix_us={later}")["decisions"], [])
        self.assertEqual(decisions[0]["outcome"]["regret_us"], "0")  # it failed, and there was no other worker
        explained = self.get(f"/v1/tasks/{self.failed}/explain")
        self.assertEqual(explained["decision"]["outcome"], decisions[0]["outcome"])
        self.assertEqual(explained["overtaken_until_unix_us"], "0")

    def test_a_waiting_task_tells_until_when_it_may_be_overtaken(self):
        explained = self.get(f"/v1/tasks/{self.stuck}/explain")
        since = int(explained["task"]["waiting"]["since_unix_us"])
        self.assertGreaterEqual(int(explained["overtaken_until_unix_us"]), since)
        self.assertLessEqual(int(explained["overtaken_until_unix_us"]), since + 60_000_000)

    def test_slots_that_come_free_are_those_that_a_run_takes(self):
        free = lambda query="": [self.get(f"/v1/fleet/free{query}")[field] for field in ("free", "taken")]
        wait_until("nothing runs", lambda: free() == ["2", "0"])
        nap = self.house.submit_exec("sleep", "20", flags=("--type", "nap"))
        wait_until("it runs", lambda: free() == ["1", "1"])
        points = self.get("/v1/fleet/free?type=nap&labels=zone=here")["slots_free"]
        self.assertEqual([int(point["in_us"]) for point in points], [5_000_000 * n for n in range(13)])
        self.assertTrue(all(0 <= point["p10"] <= point["p50"] <= point["p90"] <= 1 for point in points))
        self.assertEqual(points[0]["p90"], 0)
        self.assertGreater(points[-1]["p50"], 0)
        self.assertEqual(free("?labels=zone=here,zone=moon"), ["0", "0"])
        self.assertEqual(self.refused("/v1/fleet/free?labels=zone"), (400, "labels: 'zone' is not name=value"))
        self.post(f"/v1/tasks/{nap}/cancel", {})
        wait_until("it is free again", lambda: free() == ["2", "0"])

    def test_a_task_tells_its_way_and_what_it_asked_for(self):
        task = self.get(f"/v1/tasks/{self.stuck}?result=true")
        self.assertEqual(task["spec"]["labels_required"], {"zone": "moon"})
        self.assertEqual(task["spec"]["payload"], "")
        self.assertEqual(task["waits"][-1]["reason"], "WAIT_REASON_NO_ELIGIBLE_WORKER")
        self.assertEqual(task["waits"][-1]["to_unix_us"], "0")
        ended = self.get(f"/v1/tasks/{self.failed}")
        self.assertEqual([made["when"] for made in ended["estimates"]][-1], "dispatch")
        self.assertEqual(ended["attempts"][0]["predicted_p90_us"], ended["estimates"][-1]["p90_us"])
        late = self.post("/v1/tasks", {"type": "late", "run_at_unix_us": 4000000000000000})["id"]
        self.assertEqual([wait["reason"] for wait in self.get(f"/v1/tasks/{late}")["waits"]], ["WAIT_REASON_NOT_BEFORE"])
        self.post(f"/v1/tasks/{late}/cancel", {})

    def test_settings_are_described(self):
        settings = {setting["key"]: setting for setting in self.get("/v1/config/schema")["settings"]}
        self.assertEqual(settings["scheduler.lease"]["default"], '"5s"')
        self.assertTrue(settings["scheduler.lease"]["live"])
        self.assertEqual(settings["server.name"]["value"], '"house-7"')
        self.assertEqual((settings["server.name"]["origin"], settings["server.name"]["live"]), ("flag", False))
        self.assertEqual(settings["scheduler.attempts_max"]["origin"], "default")

    def events(self, target, enough, headers=()):
        """What a stream tells, as (id, event, data), until that is enough."""
        connection = http.client.HTTPConnection(self.house.http, timeout=20)
        connection.request("GET", target, headers=dict(headers))
        answer = connection.getresponse()
        self.assertEqual(answer.status, 200, answer.read() if answer.status != 200 else "")
        told = []
        text = ""
        while not enough(told):
            text += answer.read1(65536).decode()
            *whole, text = text.split("\n\n")
            for event in whole:
                found = re.fullmatch(r"id: (.*)\nevent: (.*)\ndata: (.*)", event)
                if found:
                    told.append((found[1], found[2], json.loads(found[3])))
        connection.close()
        return told

    def test_live_topics_tell_what_changed_and_go_on(self):
        names = {"status", "attention", "fleet", "tasks(state=waiting)", f"task:{self.failed}", "series"}
        told = self.events("/v1/live?topics=" + ",".join(sorted(names)), lambda told: {event for _, event, _ in told} >= names)
        data = {event: data for _, event, data in told}
        self.assertEqual(data["fleet"]["columns"]["name"], ["w1"])
        self.assertEqual(data["tasks(state=waiting)"]["tasks"][0]["type"], "stuck")
        self.assertEqual(data["status"]["server_name"], "house-7")
        # Whoever comes again hears of nothing that it knows; with an id of another server it hears of a gap.
        last = told[-1][0]
        again = self.events("/v1/live?topics=fleet,status", lambda told: len(told) >= 2, {"Last-Event-ID": last})
        self.assertNotIn("gap", {event for _, event, _ in again})
        lost = self.events("/v1/live?topics=fleet,status", lambda told: len(told) >= 3, {"Last-Event-ID": "0badf00d-3"})
        self.assertEqual(lost[0][1], "gap")
        self.assertTrue(any(event == "fleet" and "full" in data for _, event, data in lost))
        self.assertEqual(self.refused("/v1/live?topics=nonsense"), (400, "topics: there is no 'nonsense'; there are status, attention, queues, types, tenants, series, fleet, tasks, tasks(FILTER), task:ID, worker:NAME and type:NAME"))


if __name__ == "__main__":
    unittest.main(verbosity=1)
