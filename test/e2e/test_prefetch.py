"""Workers that hold short tasks ready beyond their slots: they are seen, taken back, and lost with a worker without blame."""
import unittest

from harness import House, wait_until

TASKS = 400


class Prefetch(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.__exit__)
        self.house.start_server()

    def fill(self, count):
        lines = "\n".join('{"argv": ["sleep", "0.004"]}' for _ in range(count))
        self.house.run("task", "submit", "--file", "-", stdin=lines + "\n")

    def held(self, name):
        return int(self.house.json("worker", "get", name).get("prefetched", 0))

    def tasks(self):
        return self.house.json("task", "list", "--limit", str(TASKS * 2))["tasks"]

    def all_ended(self):
        status = self.house.status()
        return int(status.get("succeeded", 0)) == TASKS

    def test_a_killed_worker_loses_what_it_held_without_blame(self):
        worker = self.house.start_worker("w1", slots=2)
        self.house.worker_ready(1)
        self.fill(TASKS)
        wait_until("w1 holds tasks ready", lambda: self.held("w1") > 0)
        text = self.house.run("worker", "get", "w1").stdout
        self.assertIn("turn-around", text)
        worker.kill()
        worker.wait()
        self.house.start_worker("w2", slots=2)
        wait_until("all tasks have succeeded", self.all_ended, 60)
        tasks = self.tasks()
        self.assertEqual(len(tasks), TASKS)
        again = [t for t in tasks if int(t.get("crashes", 0)) > 0]
        self.assertLessEqual(len(again), 2, "more tasks are blamed than there were slots")
        for task in tasks:
            self.assertEqual(len(task["attempts"]), 1 + int(task.get("crashes", 0)), task)

    def test_what_is_held_is_taken_back_when_the_worker_is_cordoned(self):
        self.house.start_worker("w1", slots=2)
        self.house.worker_ready(1)
        self.fill(TASKS)
        wait_until("w1 holds tasks ready", lambda: self.held("w1") > 0)
        self.house.run("worker", "cordon", "w1")
        wait_until("w1 holds nothing", lambda: int(self.house.json("worker", "get", "w1").get("running", 0)) == 0 and self.held("w1") == 0)
        self.assertGreater(int(self.house.status()["waiting"]), 0)
        self.house.start_worker("w2", slots=2)
        wait_until("all tasks have succeeded", self.all_ended, 60)
        for task in self.tasks():
            self.assertEqual(len(task["attempts"]), 1, task)

    def test_switched_off_nothing_is_held(self):
        self.house.run("config", "set", "prefetch=false")
        self.house.start_worker("w1", slots=2)
        self.house.worker_ready(1)
        self.fill(TASKS)
        seen = []
        wait_until("all tasks have succeeded", lambda: seen.append(self.held("w1")) or self.all_ended(), 60)
        self.assertEqual(max(seen), 0)
        self.assertGreater(len(seen), 3)


if __name__ == "__main__":
    unittest.main()
