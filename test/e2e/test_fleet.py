"""The fleet as its operators see it (the field's cases E, K, L): real processes, each case by its name."""
import subprocess
import unittest

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
            wait_until("it is in", lambda: "connected to" in self.log_of(f"start-{start}"))  # pylint: disable=cell-var-from-loop
            self.assertNotIn("in use", self.log_of(f"start-{start}"))
            worker.kill()
            worker.wait()
            wait_until("its end is known", lambda: self.workers()[0]["state"] == "WORKER_STATE_GONE")


if __name__ == "__main__":
    unittest.main()
