"""Programs run by `nexus worker --allow exec`, as a user meets them: cases A, B, E and N of the field's second collection."""
import base64
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request

from harness import NEXUS, House, wait_until


def submit(house, *argv, flags=(), wait=True, **kwargs):
    """One `task submit`; bytes in, bytes out."""
    kwargs.setdefault("cwd", house.folder)
    return subprocess.run([NEXUS, "task", "submit", "--server", house.grpc, *(["--wait"] if wait else []), *flags, "--", *argv],
                          capture_output=True, timeout=60, **kwargs)


def task_of(done):
    """The id that `submit --wait` names."""
    return next(line.split()[1] for line in done.stderr.decode(errors="replace").splitlines() if line.startswith("task "))


def rest(house, path):
    with urllib.request.urlopen(f"http://{house.http}{path}", timeout=20) as answer:
        return json.load(answer)


def is_there(pid):
    """A process that is no zombie."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] not in "ZX"
    except OSError:
        return False


class OneWorker(unittest.TestCase):
    """A house with a server and a worker for all cases."""

    @classmethod
    def setUpClass(cls):
        cls.house = House()
        cls.house.start_server()
        cls.worker = cls.house.start_worker("w1", slots=4)
        cls.house.worker_ready(1)

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def task(self, id):
        return self.house.json("task", "get", id)


class Stopped(OneWorker):
    def test_field_A_an_attempt_that_ran_too_long_is_no_success_whatever_its_program_says(self):
        for code in (0, 3, 64):
            with self.subTest(code=code):
                done = submit(self.house, "sh", "-c", f'echo before; trap "exit {code}" TERM; sleep 30 & wait',
                              flags=("--run-timeout", "1s", "--attempts", "1", "--type", f"slow{code}"))
                self.assertEqual(done.returncode, 124, done.stderr)
                self.assertEqual(done.stdout, b"before\n", "what it wrote is kept")
                task = self.task(task_of(done))
                self.assertEqual(task["state"], "TASK_STATE_DEAD")
                self.assertEqual([a["outcome"] for a in task["attempts"]], ["timed_out"])
                self.assertIn("longer than its timeout of 1 s", task["error"])
                self.assertEqual(int(self.house.json("type", "get", f"slow{code}")["samples"]), 0, "no sample for the predictor")

    def test_field_A_a_worker_that_ends_hands_its_tasks_back(self):
        other = self.house.start_worker("leaving", "--drain-limit", "100ms", "--label", "leaving=yes", slots=1)
        self.house.worker_ready(2)
        task = self.house.submit_exec("sh", "-c", 'trap "exit 0" TERM; sleep 30 & wait', flags=("--require", "leaving=yes"))
        wait_until("it runs", lambda: self.task(task)["state"] == "TASK_STATE_RUNNING")
        other.send_signal(signal.SIGTERM)
        self.assertEqual(other.wait(timeout=30), 1)
        wait_until("it waits again", lambda: self.task(task)["state"] == "TASK_STATE_WAITING")
        self.assertEqual(self.task(task)["attempts"][0]["outcome"], "rejected")
        self.assertEqual(int(self.task(task)["failures"]), 0)
        self.house.run("task", "cancel", task)


class Output(OneWorker):
    def test_field_B_a_failed_program_gives_its_exit_code_and_what_it_wrote(self):
        done = submit(self.house, "sh", "-c", "echo out; echo err >&2; exit 3", flags=("--attempts", "1"))
        self.assertEqual(done.returncode, 3)
        self.assertEqual(done.stdout, b"out\n")
        self.assertIn(b"err\n", done.stderr)
        self.assertIn(b"exit code 3", done.stderr)
        task = task_of(done)
        self.assertEqual(self.house.run("task", "get", task, "--result").stdout, "out\n")
        result = json.loads(base64.b64decode(rest(self.house, f"/v1/tasks/{task}?result=true")["result"]))
        self.assertEqual((result["exit_code"], result["stdout"], result["stderr"]), (3, "out\n", "err\n"))

    def test_field_B_signals_and_programs_that_do_not_start_are_told_as_by_a_shell(self):
        for argv, code in ((["sh", "-c", "kill -SEGV $$"], 139), (["sh", "-c", "kill -TERM $$"], 143), (["/no/such/program"], 127),
                           (["no-such-program-anywhere"], 127), (["/etc/passwd"], 126), (["sh", "-c", "exit 78"], 78)):
            with self.subTest(argv=argv):
                self.assertEqual(submit(self.house, *argv, flags=("--attempts", "1", "--type", "t")).returncode, code)

    def test_field_B_the_last_words_of_a_long_log_are_quoted_and_kept(self):
        script = ('i=0; while [ $i -lt 4000 ]; do echo "$i of many lines of a log"; i=$((i+1)); done >&2; '
                  'echo "FATAL: database is gone" >&2; exit 5')
        done = submit(self.house, "sh", "-c", script, flags=("--attempts", "1"))
        self.assertEqual(done.returncode, 5)
        lines = done.stderr.decode().splitlines()
        self.assertIn("FATAL: database is gone", lines)
        self.assertTrue(any("exit code 5: FATAL: database is gone" in line for line in lines))
        self.assertTrue(any("bytes left out]" in line for line in lines), "the cut is marked")
        self.assertIn("0 of many lines of a log", lines)
        self.assertIn("3999 of many lines of a log", lines)

    def test_field_B_bytes_arrive_as_they_were_written(self):
        for bytes_ in (b"\x1f\x8b\x08\x00\xff\xfe\x00\n", bytes(range(256)) * 100, "grüße\n".encode(), b"\xed\xa0\xbd"):
            with self.subTest(bytes=bytes_[:8]):
                (self.house.folder / "bytes").write_bytes(bytes_)
                done = submit(self.house, "cat", "bytes")
                self.assertEqual((done.returncode, done.stdout), (0, bytes_))
                task = task_of(done)
                again = subprocess.run([NEXUS, "task", "get", task, "--result", "--server", self.house.grpc], capture_output=True,
                                       timeout=30)
                self.assertEqual((again.returncode, again.stdout), (0, bytes_))
                result = json.loads(base64.b64decode(rest(self.house, f"/v1/tasks/{task}?result=true")["result"]))
                written = result["stdout"].encode() if result["stdout"] is not None else base64.b64decode(result["stdout_base64"])
                self.assertEqual(written, bytes_)
        # What is not kept whole is no file: refused, and nothing is written.
        done = submit(self.house, "head", "-c", "300000", "/dev/urandom")
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"bytes that are no text", done.stderr)

    def test_field_B_a_task_without_a_result_says_why(self):
        waiting = self.house.run("task", "submit", "--type", "nobody", "--payload", "x", "--worker", "nobody", "-q").stdout.strip()
        done = self.house.run("task", "get", waiting, "--result", check=False)
        self.assertEqual((done.returncode, done.stdout), (4, ""))
        self.assertIn("no result yet: it is waiting", done.stderr)
        self.house.run("task", "cancel", waiting)
        done = self.house.run("task", "get", waiting, "--result", check=False)
        self.assertEqual((done.returncode, done.stdout), (4, ""))
        self.assertIn("is cancelled and left no result", done.stderr)


class Processes(OneWorker):
    """With control groups, where the worker may make them."""

    def test_field_N_what_leaves_its_process_group_ends_with_its_attempt(self):
        escapes = {
            "own group": "timeout 1000 sleep 1000 &",
            "own session": "setsid sleep 1000 &",
            "twice over": "setsid sh -c 'setsid sleep 1000 & sleep 1000' &",
            "without its environment": "env -i setsid sleep 1000 &",
        }
        for name, script in escapes.items():
            with self.subTest(name):
                marker = f"4{abs(hash(name)) % 10**6}.5"
                done = submit(self.house, "sh", "-c", script.replace("1000", marker) + " sleep 0.2; exit 0")
                self.assertEqual(done.returncode, 0, done.stderr)
                wait_until("nothing of it is left", lambda m=marker: not self.processes_with(m), 5)

    def test_field_N_a_stopped_program_takes_all_along(self):
        task = self.house.submit_exec("sh", "-c", "setsid sh -c 'trap \"\" TERM; sleep 71234' & timeout 81234 sleep 81234",
                                      flags=("--run-timeout", "1s", "--attempts", "1"))
        wait_until("it runs", lambda: self.processes_with("81234"))
        wait_until("it has ended", lambda: self.task(task)["state"] == "TASK_STATE_DEAD")
        wait_until("nothing is left", lambda: not self.processes_with("71234") and not self.processes_with("81234"), 10)

    def test_field_N_path_is_the_workers_own(self):
        for name in ("PATH", "LD_PRELOAD", "HOME", "BASH_ENV"):
            payload = json.dumps({"argv": ["/bin/true"], "env": {name: "/tmp/evil"}})
            done = self.house.run("task", "submit", "--wait", "--type", "t", "--attempts", "1", "--payload", payload, "--metadata",
                                  "handler=exec", check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(f"env.{name}: is the worker's own", done.stderr)

    def test_field_N_a_task_without_a_handler_is_not_executed(self):
        marker = self.house.folder / "executed"
        done = self.house.run("task", "submit", "--wait", "--type", "t", "--payload", json.dumps({"argv": ["touch", str(marker)]}),
                              "--timeout", "3s", check=False)
        self.assertEqual(done.returncode, 124)
        self.assertFalse(marker.exists())

    def test_temporary_files_go_with_the_attempt(self):
        done = submit(self.house, "sh", "-c", 'mktemp -d; echo x > "$TMPDIR/file"; echo "$TMPDIR"')
        for line in done.stdout.decode().split():
            self.assertIn("nexus-worker-", line)
            self.assertFalse(pathlib.Path(line).exists())

    def test_a_program_may_open_only_so_many_files(self):
        few = self.house.start_worker("few", "--nofile", "20", "--label", "few=yes")
        self.house.worker_ready(2)
        self.assertEqual(submit(self.house, "sh", "-c", "ulimit -n", flags=("--require", "few=yes")).stdout, b"20\n")
        few.send_signal(signal.SIGTERM)
        self.assertEqual(few.wait(timeout=30), 0)

    def processes_with(self, word):
        found = []
        for pid in os.listdir("/proc"):
            try:
                if pid.isdigit() and word.encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") and is_there(pid):
                    found.append(pid)
            except OSError:
                continue
        return found

    def test_a_program_gets_the_input_environment_and_directory_that_are_said(self):
        worker = self.house.start_worker("env", "--allow-env", "PATH", "--allow-env", "WHO*", "--label", "env=1")
        self.house.worker_ready(2)
        done = submit(self.house, "sh", "-c", 'wc -c; echo "$WHO_AM_I"; pwd', input=b"x" * 100_000,
                      flags=("--require", "env=1", "--stdin", "-", "--env", "WHO_AM_I=a b=c", "--cwd", "/usr"))
        self.assertEqual((done.returncode, done.stdout), (0, b"100000\na b=c\n/usr\n"), done.stderr)
        done = submit(self.house, "env", flags=("--env", "LD_PRELOAD=/tmp/evil.so", "--attempts", "1"))
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"env.LD_PRELOAD", done.stderr)
        worker.terminate()
        self.house.worker_ready(1)


class ProcessesOfAUser(Processes):
    """Without: the worker is an ordinary user, as far as there is one to be had."""

    @classmethod
    def setUpClass(cls):
        cls.house = House()
        cls.house.folder.chmod(0o755)
        cls.house.start_server()
        program = cls.house.folder / "nexus"  # where that user may read it, wherever the tree is
        shutil.copy(NEXUS, program)
        with open(cls.house.folder / "w1.log", "a") as log:
            cls.worker = subprocess.Popen(
                [program, "worker", "--server", cls.house.grpc, "--name", "w1", "--allow", "exec"], stdout=log, stderr=log, cwd="/",
                env={**os.environ, "SECRET": "word"}, **({"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}))
        cls.house.processes.append(cls.worker)
        cls.house.worker_ready(1)

    def test_field_N_a_program_cannot_read_the_workers_secrets(self):
        if os.geteuid() == 0:  # who may read everything
            self.assertIn(b"SECRET=word", pathlib.Path(f"/proc/{self.worker.pid}/environ").read_bytes())
        for secret in ("environ", "mem", "maps"):
            with self.subTest(secret):
                done = submit(self.house, "sh", "-c", f"head -c 1 /proc/$PPID/{secret}", flags=("--attempts", "1"))
                self.assertEqual((done.returncode, done.stdout), (1, b""))
                self.assertIn(b"ermission denied", done.stderr)


class Fleet(unittest.TestCase):
    def test_field_E_a_killed_worker_takes_its_programs_along_whatever_streams_it_had(self):
        with House() as house:
            house.start_server()
            for closed in ("", "2>&-", "<&- >&- 2>&-"):
                with self.subTest(closed):
                    command = f'exec "{NEXUS}" worker --server {house.grpc} --name w --allow exec {closed}'
                    worker = subprocess.Popen(["sh", "-c", command], cwd=house.folder, stdout=subprocess.DEVNULL,
                                              stderr=subprocess.DEVNULL)
                    house.processes.append(worker)
                    house.worker_ready(1)
                    pids = house.folder / "pids"
                    task = house.submit_exec("sh", "-c", "setsid sleep 1000 & echo $! > pids; sleep 1000 & echo $! >> pids; echo $$ >> pids; wait",
                                             flags=("--attempts", "1"))
                    wait_until("it runs", lambda: pids.exists() and len(pids.read_text().split()) == 3)
                    worker.kill()
                    worker.wait()
                    wait_until("all are gone", lambda: not any(is_there(pid) for pid in pids.read_text().split()), 10)
                    pids.unlink()
                    house.run("task", "cancel", task)
                    wait_until("the worker is away", lambda: int(house.status().get("workers_ready", 0)) == 0)

    def test_field_E_a_proxy_of_the_environment_is_for_the_web(self):
        with House() as house:
            house.start_server()
            worker = subprocess.Popen([NEXUS, "worker", "--server", house.grpc, "--name", "w", "--allow", "exec"],
                                      stderr=subprocess.DEVNULL, cwd=house.folder,
                                      env={**os.environ, "http_proxy": "http://127.0.0.1:1", "grpc_proxy": "http://127.0.0.1:1"})
            house.processes.append(worker)
            house.worker_ready(1)

    def test_field_E_a_worker_offers_what_its_machine_has(self):
        with House() as house:
            house.start_server()
            house.start_worker("plain")
            house.start_worker("gpus", "--resource", "gpu=2", "--cpus", "3", "--memory", "1GiB")
            house.worker_ready(2)
            workers = {w["name"]: w["resources"] for w in house.json("worker", "list")["workers"]}
            self.assertEqual(int(workers["plain"]["cpu_milli"]), 1000 * len(os.sched_getaffinity(0)))
            self.assertGreater(int(workers["plain"]["memory_bytes"]), 1 << 28)
            self.assertEqual(workers["gpus"]["custom"], {"gpu": "2"})
            self.assertEqual((workers["gpus"]["cpu_milli"], workers["gpus"]["memory_bytes"]), ("3000", str(1 << 30)))
            greedy = house.submit_exec("true", flags=("--cpu", "64000"))
            self.assertEqual(house.json("task", "get", greedy)["waiting"]["reason"], "WAIT_REASON_NO_ELIGIBLE_WORKER")
            done = submit(house, "true", flags=("--resource", "gpu=2"))
            self.assertEqual(done.returncode, 0)
            self.assertEqual(house.json("task", "get", task_of(done))["attempts"][0]["worker"], "gpus")

    def test_field_E_systemd_is_told_of_server_and_worker(self):
        with House() as house, tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(folder + "/notify")
            told.settimeout(20)
            env = {"NOTIFY_SOCKET": folder + "/notify", "WATCHDOG_USEC": "400000"}

            def hear(word):
                end = time.monotonic() + 20
                while time.monotonic() < end:
                    if word in told.recv(4096).decode():
                        return
                self.fail(f"{word} was not said")

            house.start_server(env=env)
            hear("READY=1")
            hear("WATCHDOG=1")
            hear("WATCHDOG=1")
            house.server.send_signal(signal.SIGTERM)
            hear("STOPPING=1")
            house.server.wait(timeout=20)
            house.start_server()
            worker = subprocess.Popen([NEXUS, "worker", "--server", house.grpc, "--name", "w", "--allow", "exec", "-q"],
                                      env={**os.environ, **env}, cwd=house.folder)
            house.processes.append(worker)
            hear("READY=1")
            hear("WATCHDOG=1")
            hear("WATCHDOG=1")
            house.kill_server()  # a worker that waits for its server is alive
            hear("WATCHDOG=1")
            hear("WATCHDOG=1")
            worker.send_signal(signal.SIGTERM)
            hear("STOPPING=1")
            self.assertEqual(worker.wait(timeout=20), 0)

    def test_field_E_a_unix_socket_serves_clients_and_workers(self):
        with House() as house:
            path = f"unix:{house.folder}/nexus.sock"
            for _ in range(2):  # the second time over a socket that a killed server left
                server = subprocess.Popen([NEXUS, "serve", "--listen", path, "--http", "off", "--data", str(house.folder / "data")],
                                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
                house.processes.append(server)
                self.assertIn(f"ready on {path}", server.stdout.readline())
                self.assertEqual(os.stat(house.folder / "nexus.sock").st_mode & 0o777, 0o600)
                house.grpc = path
                worker = house.start_worker("w")
                house.worker_ready(1)
                self.assertEqual(submit(house, "echo", "hello").stdout, b"hello\n")
                worker.kill()
                worker.wait()
                server.kill()
                server.wait()

    def test_field_D_a_directory_that_is_deleted_is_refused_at_submission(self):
        with House() as house:
            house.start_server()
            gone = house.folder / "gone"
            gone.mkdir()
            done = subprocess.run(["sh", "-c", f'rmdir "{gone}"; exec "{NEXUS}" task submit --server {house.grpc} -- true'], cwd=gone,
                                  capture_output=True, timeout=30)
            self.assertEqual(done.returncode, 2)
            self.assertIn(b"working directory", done.stderr)
            strange = os.fsencode(house.folder) + b"/\xff"
            os.mkdir(strange)
            done = submit(house, "true", cwd=strange)
            self.assertEqual(done.returncode, 2)
            self.assertIn(b"is not UTF-8", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
