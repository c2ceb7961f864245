"""kill -9 of the server under load: nothing lost, nothing finished is run again (contract C1, C4, C13)."""
import collections
import unittest

from harness import House, wait_until

TASKS = 300


def starts(house):
    """How often each task's program really began, from what the programs themselves wrote."""
    counts = collections.Counter()
    journal = house.folder / "starts"
    if journal.exists():
        counts.update(journal.read_text().split())
    return counts


class ServerKilled(unittest.TestCase):
    def test_T1_kill_9_of_the_server_loses_nothing_and_runs_nothing_twice(self):
        with House() as house:
            house.start_server()
            for name in ("w1", "w2"):
                house.start_worker(name)
            house.bulk_exec(TASKS, lambda i: ["/bin/sh", "-c", f"echo {i} >> {house.folder}/starts; sleep 0.05"], "restart")
            took = []
            for kill in range(4):
                wait_until("some more tasks have run", lambda: len(starts(house)) >= (kill + 1) * TASKS // 8, 60)
                house.kill_server()
                took.append(house.start_server())
            wait_until("all tasks have ended", lambda: (lambda s: int(s.get("waiting", 0)) + int(s.get("running", 0)) == 0)(house.status()), 90)
            counts = starts(house)
            self.assertEqual(len(counts), TASKS, "a task was lost")
            self.assertEqual([i for i, n in counts.items() if n > 1], [], "a task ran twice over a restart of less than 4 s")
            ended = house.json("task", "list", "--state", "succeeded", "--limit", "1000")
            self.assertEqual(len(ended["tasks"]), TASKS, "each has exactly one outcome")
            print(f"T1 small: {TASKS} tasks over 4 kill -9, 0 lost, 0 re-run; restart to ready {max(took):.2f} s at most")

    def test_results_survive_a_restart(self):
        with House() as house:
            house.start_server()
            house.start_worker("w1")
            task = house.submit_exec("/bin/echo", "kept")
            wait_until("it has ended", lambda: house.json("task", "get", task)["state"] == "TASK_STATE_SUCCEEDED")
            house.kill_server()
            house.start_server()
            after = house.json("task", "get", task)
            self.assertEqual(after["state"], "TASK_STATE_SUCCEEDED")
            self.assertEqual(len(after["attempts"]), 1)
            self.assertEqual(house.json("task", "explain", task)["decision"]["worker"], "w1")
            decisions = house.json("decision", "list")["decisions"]
            self.assertEqual([d["task_id"] for d in decisions if d.get("candidates")], [task], "its factors are told")

    def test_C24_sigterm_ends_within_five_seconds_and_loses_nothing(self):
        with House() as house:
            house.start_server()
            house.start_worker("w1")
            house.bulk_exec(40, lambda i: ["/bin/sh", "-c", f"echo {i} >> {house.folder}/starts; sleep 0.05"], "term")
            wait_until("it runs", lambda: len(starts(house)) > 4)
            house.server.terminate()
            self.assertEqual(house.server.wait(timeout=5), 0)
            house.start_server()
            wait_until("all tasks have ended", lambda: int(house.status().get("succeeded", 0)) == 40, 60)
            self.assertEqual(max(starts(house).values()), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
