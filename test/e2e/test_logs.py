"""`nexus task logs`: what an attempt writes can be looked at, live and later, for every attempt of every outcome; and a
task's resources are limits of its program."""
import base64
import json
import os
import pathlib
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

from harness import NEXUS, NEXUS_LOAD, House, wait_until

SLOW_LOAD = "1000000000 k "  # microseconds, of a task of nexus_load
WAITS = "while [ ! -e {0} ]; do sleep 0.05; done"  # of a shell, until the file is there


def logs(house, task, *flags, timeout=60):
    """One `task logs`, as bytes."""
    return subprocess.run([NEXUS, "task", "logs", task, "--server", house.grpc, *flags], capture_output=True,
                          timeout=timeout, cwd=house.folder)


class Follower:
    """A `task logs -f` that runs; what it wrote so far is in two files."""

    def __init__(self, house, task, *flags):
        self.out, self.err = (pathlib.Path(tempfile.mkstemp(dir=house.folder)[1]) for _ in range(2))
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            self.process = subprocess.Popen([NEXUS, "task", "logs", task, "-f", "--server", house.grpc, *flags],
                                            stdout=out, stderr=err, cwd=house.folder)
        house.processes.append(self.process)

    def said(self, text):
        wait_until(f"{text!r} is written", lambda: text in self.out.read_text())

    def told(self, text):
        wait_until(f"{text!r} is told", lambda: text in self.err.read_text())

    def ended(self):
        code = self.process.wait(timeout=60)
        return code, self.out.read_text(), self.err.read_text()


class OneWorker(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House()
        cls.house.start_server()
        cls.house.start_worker("w1", "--stop-grace", "30s", slots=4)
        cls.house.worker_ready(1)
        cls.gates = 0

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def for_now(self, worker):
        """A worker that would take the tasks of other tests, too."""
        def leave():
            if worker.poll() is None:
                worker.terminate()
            worker.wait(timeout=60)
        self.addCleanup(leave)
        return worker

    def gate(self):
        """A file that is not there yet, and a shell's words that wait for it."""
        type(self).gates += 1
        path = self.house.folder / f"gate{self.gates}"
        return path, WAITS.format(path)

    def submit(self, script, *flags):
        return self.house.submit_exec("sh", "-c", script, flags=flags)

    def task(self, id):
        return self.house.json("task", "get", id)

    def ended(self, id):
        """Waits for its end, however that is."""
        subprocess.run([NEXUS, "task", "get", id, "--wait", "--server", self.house.grpc], capture_output=True,
                       timeout=60, cwd=self.house.folder)
        return self.task(id)

    def running(self, id):
        wait_until("it runs", lambda: self.task(id)["state"] == "TASK_STATE_RUNNING")


class Live(OneWorker):
    def test_a_running_task_shows_what_it_has_written_and_later_all_of_it(self):
        gate, waits = self.gate()
        task = self.submit(f"echo first; echo trouble >&2; {waits}; echo last")
        self.running(task)
        wait_until("it has written", lambda: logs(self.house, task).stdout == b"first\n")
        done = logs(self.house, task)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr, b"trouble\n")
        self.assertEqual(logs(self.house, task, "--stderr-only").stdout, b"")
        self.assertEqual(logs(self.house, task, "--stderr-only").stderr, b"trouble\n")
        self.assertEqual(logs(self.house, task, "--stdout-only").stderr, b"")
        url = f"http://{self.house.http}/v1/tasks/{task}/output?attempt=1&stdout_from=2"
        with urllib.request.urlopen(url, timeout=20) as answer:
            seen = json.load(answer)
        self.assertTrue(seen["running"])
        self.assertEqual(base64.b64decode(seen["stdout"]), b"rst\n")
        self.assertEqual((seen["stdout_from"], seen["stderr_from"], seen["worker"]), ("2", "0", "w1"))
        gate.touch()
        self.ended(task)
        done = logs(self.house, task)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"first\nlast\n", b"trouble\n"))

    def test_follow_shows_lines_as_they_come_and_ends_as_the_program_does(self):
        one, waits_one = self.gate()
        two, waits_two = self.gate()
        task = self.submit(f"echo first; {waits_one}; echo second; {waits_two}; echo third; exit 7", "--attempts", "1")
        follower = Follower(self.house, task)
        follower.said("first\n")
        one.touch()
        follower.said("second\n")
        two.touch()
        code, out, err = follower.ended()
        self.assertEqual((code, out), (7, "first\nsecond\nthird\n"))
        self.assertIn("is dead", err)

    def test_follow_waits_until_the_task_starts_and_says_why(self):
        task = self.submit("echo here", "--require", "zone=late")
        plain = logs(self.house, task)
        self.assertEqual(plain.returncode, 4)
        self.assertIn(b"has not started: no_eligible_worker", plain.stderr)
        follower = Follower(self.house, task)
        follower.told("waits until the task starts: no_eligible_worker")
        self.for_now(self.house.start_worker("late", "--label", "zone=late"))
        code, out, err = follower.ended()
        self.assertEqual((code, out), (0, "here\n"))
        self.assertEqual(err.count("waits until"), 1)

    def test_follow_goes_on_over_a_retry(self):
        one, waits = self.gate()
        task = self.submit(f'echo "try $NEXUS_ATTEMPT"; [ $NEXUS_ATTEMPT = 1 ] && {{ {waits}; exit 3; }}; exit 0',
                           "--backoff", "100ms")
        follower = Follower(self.house, task)
        follower.said("try 1\n")
        one.touch()
        code, out, err = follower.ended()
        self.assertEqual((code, out), (0, "try 1\ntry 2\n"))
        self.assertIn("attempt 2 on w1", err)
        only = logs(self.house, task, "-f", "--attempt", "1")
        self.assertEqual((only.returncode, only.stdout), (0, b"try 1\n"))

    def test_of_a_long_output_head_and_tail_are_shown_and_what_is_missing_is_told(self):
        gate, waits = self.gate()
        lines = 20_000
        task = self.submit(f"seq -f 'line %g of many' {lines}; echo written >&2; {waits}")
        wait_until("all is written", lambda: logs(self.house, task, "--stderr-only").stderr == b"written\n")
        whole = "".join(f"line {n} of many\n" for n in range(1, lines + 1))

        def check(done):
            self.assertEqual(done.returncode, 0, done.stderr)
            shown = done.stdout.decode()
            told = [line.split() for line in done.stderr.decode().splitlines() if line.startswith("nexus: ")]
            self.assertEqual(len(told), 1, done.stderr)
            self.assertIn(b"bytes of standard output are not kept", done.stderr)
            self.assertEqual(len(shown) + int(told[0][1]), len(whole))
            head = os.path.commonprefix([shown, whole])
            self.assertGreater(len(head), 20_000)
            self.assertTrue(whole.endswith(shown[len(head):]))
            self.assertTrue(shown.endswith(f"line {lines} of many\n"))

        check(logs(self.house, task))
        gate.touch()
        self.ended(task)
        check(logs(self.house, task))

    def test_bytes_arrive_as_they_were_written(self):
        path = self.house.folder / "bytes"
        path.write_bytes(bytes(range(256)) * 50)
        gate, waits = self.gate()
        task = self.submit(f"cat {path}; {waits}")
        wait_until("it has written", lambda: logs(self.house, task).stdout == path.read_bytes())
        gate.touch()
        self.ended(task)
        self.assertEqual(logs(self.house, task, "--stdout-only").stdout, path.read_bytes())

    def test_follow_ends_when_nobody_reads_and_at_its_limit(self):
        gate, waits = self.gate()
        task = self.submit(f"while [ ! -e {gate} ]; do echo again; sleep 0.05; done")
        piped = subprocess.run(f"{NEXUS} task logs {task} -f --server {self.house.grpc} | head -n 1", shell=True,
                               capture_output=True, timeout=60)
        self.assertEqual(piped.stdout, b"again\n")
        late = logs(self.house, task, "-f", "--timeout", "500ms")
        self.assertEqual(late.returncode, 124)
        self.assertIn(b"has not ended within 500ms", late.stderr)
        gate.touch()
        self.ended(task)


class Outcomes(OneWorker):
    def test_what_failed_and_what_timed_out_can_be_read_and_follow_ends_as_wait_does(self):
        for flags, script, code in ((("--attempts", "1"), "echo out; echo err >&2; exit 3", 3),
                                    (("--attempts", "1"), "echo out; echo err >&2; kill -SEGV $$", 139),
                                    (("--attempts", "1", "--run-timeout", "1s"),
                                     "echo out; echo err >&2; sleep 1000", 124),
                                    ((), "echo out; echo err >&2", 0)):
            with self.subTest(script=script):
                task = self.submit(script, *flags)
                self.assertEqual(Follower(self.house, task).ended()[0], code)
                done = logs(self.house, task)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"out\n", b"err\n"))

    def test_what_a_cancelled_program_wrote_is_kept_to_its_last_word(self):
        gate, waits = self.gate()
        task = self.submit(f"trap '{waits}; echo cleaned up; exit 0' TERM; echo started; sleep 1000 & wait")
        wait_until("it has written", lambda: logs(self.house, task).stdout == b"started\n")
        follower = Follower(self.house, task)
        self.house.run("task", "cancel", task)
        self.assertEqual(self.task(task)["state"], "TASK_STATE_CANCELLED")
        # It is cancelled, and its program is still there.
        self.assertEqual(logs(self.house, task).stdout, b"started\n")
        gate.touch()
        code, out, _ = follower.ended()
        self.assertEqual((code, out), (1, "started\ncleaned up\n"))
        self.assertEqual(logs(self.house, task).stdout, b"started\ncleaned up\n")
        self.assertEqual(self.house.run("task", "get", task, "--result").stdout, "started\ncleaned up\n")

    def test_each_attempt_of_a_task_that_was_retried_can_be_read(self):
        task = self.submit('echo "try $NEXUS_ATTEMPT"; exit 3', "--attempts", "2", "--backoff", "100ms")
        self.assertEqual(self.ended(task)["state"], "TASK_STATE_DEAD")
        for attempt in (1, 2):
            self.assertEqual(logs(self.house, task, "--attempt", str(attempt)).stdout, f"try {attempt}\n".encode())
        self.assertEqual(logs(self.house, task).stdout, b"try 2\n")
        none = logs(self.house, task, "--attempt", "3")
        self.assertEqual(none.returncode, 3)
        self.assertIn(b"had 2 attempts", none.stderr)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://{self.house.http}/v1/tasks/{task}/output?attempt=3", timeout=20)
        self.assertEqual(refused.exception.code, 404)
        refused.exception.close()

    def test_an_attempt_that_died_with_its_worker_says_so(self):
        doomed = self.for_now(self.house.start_worker("doomed", "--label", "doomed=yes"))
        task = self.submit("echo gone; sleep 1000", "--require", "doomed=yes")
        wait_until("it has written", lambda: logs(self.house, task).stdout == b"gone\n")
        doomed.kill()
        doomed.wait()
        wait_until("its worker is lost", lambda: self.task(task)["attempts"][0]["outcome"] == "worker_lost")
        done = logs(self.house, task)
        self.assertEqual(done.returncode, 4)
        self.assertIn(b"attempt 1 on doomed was lost with its worker", done.stderr)
        self.house.run("task", "cancel", task)

    def test_who_asks_for_what_is_not_there_is_told(self):
        self.assertEqual(logs(self.house, "00000000-0000-7000-8000-00000000000a").returncode, 3)
        self.assertEqual(logs(self.house, "nonsense").returncode, 2)
        task = self.submit("true", "--require", "zone=nowhere")
        self.house.run("task", "cancel", task)
        done = logs(self.house, task)
        self.assertEqual(done.returncode, 4)
        self.assertIn(b"ended without having started", done.stderr)

    def test_a_handler_that_does_not_tell_what_it_writes_is_told_apart(self):
        self.assertTrue(NEXUS_LOAD, "NEXUS_LOAD names a worker of the SDK")
        self.for_now(self.house.load_worker("sdk", slots=1))
        wait_until("it is there", lambda: any(w["name"] == "sdk" and w["state"] == "WORKER_STATE_READY"
                                              for w in self.house.json("worker", "list")["workers"]))
        id = self.house.json("task", "submit", "--type", "load", "--worker", "sdk", "--payload", SLOW_LOAD)["id"]
        self.running(id)
        done = logs(self.house, id)
        self.assertEqual(done.returncode, 4)
        self.assertIn(b"the worker of attempt 1, sdk, does not tell what it writes", done.stderr)
        self.house.run("task", "cancel", id)


GREEDY = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}; sleep 1000"


def own_groups():
    """A control group of version 2 in which workers can be held to memory and cores, or why there is none."""
    mounts = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
              if " - cgroup2 " in line]
    if not mounts:
        return None, "no control groups of version 2 are mounted here"
    root = pathlib.Path(mounts[0])
    missing = {"memory", "cpu"} - set((root / "cgroup.controllers").read_text().split())
    if missing:
        return None, f"the controllers {' and '.join(sorted(missing))} are not in {root}"
    try:
        (root / "cgroup.subtree_control").write_text("+memory +cpu")
        group = root / f"nexus-test-{os.getpid()}"
        group.mkdir()
    except OSError as why:
        return None, f"the controllers of {root} may not be used: {why}"
    return group, ""


class Limits(OneWorker):
    def test_a_program_that_uses_more_memory_than_it_asked_for_is_killed_and_told(self):
        task = self.submit(GREEDY, "--memory", "64MiB", "--attempts", "1")
        ended = self.ended(task)
        self.assertEqual(ended["state"], "TASK_STATE_DEAD")
        self.assertEqual(ended["attempts"][0]["outcome"], "out_of_memory")
        self.assertIn("sh was killed: it used more than the 64MiB of memory that it asked for", ended["error"])
        self.assertGreater(int(ended["attempts"][0]["peak_memory_bytes"]), 60_000_000)

    def test_the_next_attempt_is_given_more_as_it_asks_for_more(self):
        script = "x=$(head -c 60000000 /dev/zero | tr '\\0' x); echo ${#x}"
        task = self.submit(f"echo try $NEXUS_ATTEMPT; {script}; [ $NEXUS_ATTEMPT -gt 1 ] || sleep 1000",
                           "--memory", "24MiB", "--attempts", "20", "--backoff", "50ms")
        self.assertEqual(self.ended(task)["state"], "TASK_STATE_SUCCEEDED")
        self.assertIn(b"try 1\n", logs(self.house, task, "--attempt", "1").stdout)

    def test_what_asks_for_nothing_is_held_to_nothing(self):
        task = self.submit(GREEDY.replace("sleep 1000", "true"), "--attempts", "1")
        self.assertEqual(self.ended(task)["state"], "TASK_STATE_SUCCEEDED")

    def test_cores_and_memory_are_asked_for_as_elsewhere(self):
        task = self.house.submit_exec("true", flags=("--cpus", "0.5", "--memory", "512MiB", "--require", "zone=none"))
        self.assertIn("TASK_STATE_WAITING", self.task(task)["state"])
        both = self.house.run("task", "submit", "--cpus", "2", "--cpu", "500", "--type", "t", check=False)
        self.assertEqual(both.returncode, 2)
        self.house.run("task", "cancel", task)
        much = self.house.submit_exec("true", flags=("--cpus", "4000"))
        why = self.house.run("task", "explain", much).stdout
        self.assertIn("4000", why)
        self.house.run("task", "cancel", much)


class Controllers(unittest.TestCase):
    def test_real_controllers_hold_a_program_to_its_memory_and_cores(self):
        group, why = own_groups()
        if group is None:
            print(f"SKIPPED: limits by real memory and cpu controllers: {why}", flush=True)
            self.skipTest(why)
        try:
            with House() as house:
                house.start_server()
                with open(house.folder / "w1.log", "a") as log:
                    worker = subprocess.Popen(
                        ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh", NEXUS, "worker", "--server",
                         house.grpc, "--name", "w1", "--allow", "exec"], stdout=log, stderr=log, cwd=house.folder)
                house.processes.append(worker)
                house.worker_ready(1)
                show = (f"group=$(sed -n s/^0:://p /proc/self/cgroup); cd {group.parent}$group; "
                        "cat memory.max cpu.max")
                task = house.submit_exec("sh", "-c", show, flags=("--cpus", "0.5", "--memory", "64MiB"))
                house.run("task", "get", task, "--wait")
                self.assertEqual(logs(house, task).stdout.decode().split(), [str(64 << 20), "50000", "100000"])
                task = house.submit_exec("sh", "-c", GREEDY, flags=("--memory", "64MiB", "--attempts", "1"))
                house.run("task", "get", task, "--wait", check=False)
                self.assertIn("more than the 64MiB of memory", house.json("task", "get", task)["error"])
        finally:
            wait_until("the group is empty", lambda: remove(group))


def remove(group):
    """Removes a control group and those below it; false while something lives in them."""
    try:
        for below in sorted(group.rglob("*"), reverse=True):
            if below.is_dir():
                below.rmdir()
        group.rmdir()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    unittest.main()
