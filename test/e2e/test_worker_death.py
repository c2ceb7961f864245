"""kill -9 and SIGSTOP of workers: one outcome each, the stale report refused and counted (contract C5, C12)."""
import signal
import time
import unittest

from harness import House, wait_until


class WorkerDies(unittest.TestCase):
    def test_T2_kill_9_of_a_worker_moves_its_tasks(self):
        with House() as house:
            house.start_server()
            first = house.start_worker("first", slots=2)
            tasks = [house.submit_exec("/bin/sh", "-c", "sleep 3") for _ in range(2)]
            wait_until("both run", lambda: int(house.status().get("running", 0)) == 2)
            house.start_worker("second", slots=2)
            wait_until("the second is there", lambda: int(house.status().get("workers_ready", 0)) == 2)
            first.kill()
            killed = time.monotonic()
            wait_until("both run on the second", lambda: all(
                (house.json("task", "get", t).get("attempts") or [{}])[-1].get("worker") == "second" for t in tasks), 10)
            print(f"T2 small: tasks of a killed worker run elsewhere after {time.monotonic() - killed:.2f} s")
            wait_until("both have ended", lambda: int(house.status().get("succeeded", 0)) == 2, 20)
            for task in tasks:
                attempts = house.json("task", "get", task)["attempts"]
                self.assertEqual([a["outcome"] for a in attempts], ["worker_lost", "succeeded"])

    def test_C14_a_task_that_kills_its_workers_ends_after_three_deaths(self):
        with House() as house:
            house.start_server()
            workers = [house.start_worker(f"w{i}", slots=2) for i in range(4)]
            wait_until("all are there", lambda: int(house.status().get("workers_ready", 0)) == 4)
            poison = house.submit_exec("/bin/sh", "-c", "kill -9 $PPID")
            wait_until("the task is dead", lambda: house.json("task", "get", poison)["state"] == "TASK_STATE_DEAD", 30)
            dead = house.json("task", "get", poison)
            self.assertEqual([a["outcome"] for a in dead["attempts"]], ["worker_lost"] * 3)
            self.assertEqual(len({a["worker"] for a in dead["attempts"]}), 3)
            self.assertEqual(sum(w.poll() is None for w in workers), 1, "the fourth worker lives")

    def test_T5_a_stopped_worker_comes_back_too_late(self):
        with House() as house:
            house.start_server()
            sleeper = house.start_worker("sleeper", slots=1)
            task = house.submit_exec("/bin/sh", "-c", "sleep 1")
            wait_until("it runs", lambda: int(house.status().get("running", 0)) == 1)
            sleeper.send_signal(signal.SIGSTOP)
            house.start_worker("other", slots=1)
            wait_until("the other has finished it", lambda: int(house.status().get("succeeded", 0)) == 1, 30)
            before = house.json("task", "get", task)
            sleeper.send_signal(signal.SIGCONT)
            wait_until("the sleeper is back", lambda: int(house.status().get("workers_ready", 0)) == 2, 20)
            after = house.json("task", "get", task)
            self.assertEqual(after["state"], "TASK_STATE_SUCCEEDED")
            self.assertEqual(after["attempts"], before["attempts"], "a late report changes nothing")
            self.assertEqual(int(house.status()["succeeded"]), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
