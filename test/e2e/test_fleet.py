"""The fleet as its operators see it (the field's cases E, K, L): real processes, each case by its name."""
import http.client
import json
import subprocess
import unittest
import urllib.request

from harness import NEXUS, House, wait_until


class Fleet(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.__exit__)

    def start_named(self, log, name="same"):
        """A worker of that name whose log is a file of its own."""
        with open(self.house.folder / f"{log}.log", "a") as out:
            worker = subprocess.Popen([NEXUS, "worker", "--server", self.house.grpc, "--name", name, "--slots", "1", "--allow", "exec"],
                                      stdout=out, stderr=out, cwd=self.house.folder)
        self.house.processes.append(worker)
        return worker

    def log_of(self, log):
        return (self.house.folder / f"{log}.log").read_text()

    def workers(self, *flags):
        return self.house.json("worker", "list", *flags).get("workers", [])

    def doctor(self):
        return self.house.run("doctor", check=False).stdout


class Proxy(Fleet):
    def test_field_E_a_proxy_with_its_own_host_name(self):
        house = self.house
        house.start_server("--http-host", "Nexus.example", "--http-host", "box")

        def status(host):
            connection = http.client.HTTPConnection(house.http, timeout=20)
            connection.request("GET", "/v1/status", headers={"Host": host})
            answer = connection.getresponse()
            try:
                return answer.status, answer.read().decode()
            finally:
                connection.close()

        for host in ("nexus.example", "nexus.example:443", "box", "localhost"):
            self.assertEqual(status(host)[0], 200, host)
        code, body = status("evil.example")
        self.assertEqual(code, 421)
        self.assertIn("server.http_hosts", body)
        done = subprocess.run([NEXUS, "serve", "--http-host", "a/b", "--data", str(house.folder / "other")], capture_output=True, text=True,
                              timeout=60, check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("server.http_hosts", done.stderr)


class Names(Fleet):
    def test_field_E_two_workers_of_one_name(self):
        house = self.house
        house.start_server()
        first = self.start_named("first")
        house.worker_ready(1)
        task = house.submit_exec("sleep", "4")
        wait_until("it runs", lambda: house.json("task", "get", task)["state"] == "TASK_STATE_RUNNING")
        second = self.start_named("second")
        wait_until("doctor tells", lambda: "another process on host" in self.doctor())
        self.assertIn("two workers have one --name", self.doctor())
        self.assertIn("wants its name", house.run("worker", "list").stdout)
        self.assertIn("name wanted", house.run("worker", "get", "same").stdout)
        wait_until("it has ended", lambda: house.json("task", "get", task)["state"] == "TASK_STATE_SUCCEEDED")
        done = house.json("task", "get", task)
        self.assertEqual([attempt["outcome"] for attempt in done["attempts"]], ["succeeded"])
        self.assertEqual(house.status().get("workers_lost", 0), 0)
        # The second waits, and has said why, once.
        self.assertIsNone(second.poll())
        wait_until("several were refused", lambda: self.workers()[0].get("rivals", 0) >= 3)
        said = self.log_of("second")
        self.assertEqual(said.count("the name same is in use by a worker on host"), 1, said)
        self.assertIn("give this one another --name", said)
        # And gets in as soon as it may.
        first.kill()
        wait_until("the second is in", lambda: "connected to" in self.log_of("second"))
        after = house.submit_exec("true")
        wait_until("it works", lambda: house.json("task", "get", after)["state"] == "TASK_STATE_SUCCEEDED")

    def test_field_E_a_worker_that_starts_again_has_its_name_at_once(self):
        house = self.house
        house.start_server()
        for start in range(4):
            worker = self.start_named(f"start-{start}")
            wait_until("it is in", lambda start=start: "connected to" in self.log_of(f"start-{start}"))
            self.assertNotIn("in use", self.log_of(f"start-{start}"))
            worker.kill()
            worker.wait()
            wait_until("its end is known", lambda: self.workers()[0]["state"] == "WORKER_STATE_GONE")


class Forgotten(Fleet):
    def test_field_E_short_lived_workers_are_forgotten(self):
        house = self.house
        house.start_server("--set", "scheduler.worker_retention=1s")
        for i in range(3):
            worker = self.start_named(f"short-{i}", name=f"short-{i}")
            wait_until("it is in", lambda i=i: "connected to" in self.log_of(f"short-{i}"))
            worker.kill()
        kept = self.start_named("kept", name="kept")
        house.worker_ready(1)
        wait_until("the others are forgotten", lambda: [w["name"] for w in self.workers()] == ["kept"])
        house.run("worker", "cordon", "kept")
        kept.kill()
        wait_until("it is gone", lambda: self.workers("--state", "gone"))
        self.assertEqual(house.run("worker", "get", "short-0", check=False).returncode, 3)
        self.assertIn("gone", house.run("worker", "list").stdout)  # an operator has something in mind with it

    def test_field_E_a_worker_is_forgotten_by_order(self):
        house = self.house
        house.start_server()
        worker = self.start_named("w", name="w")
        house.worker_ready(1)
        done = house.run("worker", "forget", "w", check=False)
        self.assertEqual(done.returncode, 4)
        self.assertIn("w is connected", done.stderr)
        worker.kill()
        wait_until("it is gone", lambda: self.workers("--state", "gone"))
        self.assertEqual(self.workers("--state", "ready,suspect"), [])
        self.assertEqual(len(self.workers("--state", "ready", "--state", "gone")), 1)
        self.assertEqual(house.run("worker", "list", "--state", "lost", check=False).returncode, 2)
        with urllib.request.urlopen(f"http://{house.http}/v1/workers?states=gone", timeout=20) as answer:
            self.assertEqual(len(json.load(answer)["workers"]), 1)
        with urllib.request.urlopen(f"http://{house.http}/v1/workers?state=ready", timeout=20) as answer:
            self.assertEqual(json.load(answer)["workers"], [])
        self.assertIn("forgotten", house.run("worker", "forget", "w", "--reason", "it went back").stdout)
        self.assertEqual(self.workers(), [])
        self.assertEqual(house.run("worker", "forget", "w", check=False).returncode, 3)
        self.assertIn("forget worker w", house.run("audit", "list").stdout)

    def test_field_J_doctor_sees_a_worker_that_comes_and_goes(self):
        house = self.house
        house.start_server()
        for start in range(6):
            self.assertNotIn("flaps connected", self.doctor())
            worker = self.start_named(f"start-{start}", name="flaps")
            wait_until("it is in", lambda start=start: "connected to" in self.log_of(f"start-{start}"))
            worker.kill()
            worker.wait()
            wait_until("its end is known", lambda: self.workers("--state", "gone"))
        wait_until("doctor tells", lambda: "flaps connected 6 times within the last 5 minutes" in self.doctor())


if __name__ == "__main__":
    unittest.main()
