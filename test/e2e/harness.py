"""Real processes for the end-to-end tests: a server, workers and the command line, on loopback and free ports."""
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

from checker import Checker

NEXUS = os.path.abspath(os.environ["NEXUS"])
# Clients and workers with journals of their own, and the shim that makes a disk sick: test/load.
NEXUS_LOAD = os.environ.get("NEXUS_LOAD", "")
DISK_SHIM = os.environ.get("DISK_SHIM", "")


class TimedOut(AssertionError):
    pass


def wait_until(what, condition, limit_s=30.0):
    """Polls until the condition holds and returns its value; a test never sleeps for a fixed time."""
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimedOut(f"not within {limit_s:.0f} s: {what}")
        time.sleep(0.02)


class House:
    """A folder with one server's data; everything started through it is ended with it."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="nexus-e2e-"))
        self.server = None
        self.grpc = self.http = None
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        if os.environ.get("NEXUS_KEEP"):
            print("kept:", self.folder)
            return
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_server(self, *flags, env=None, prefix=(), data=None):
        """Starts the server (again on the same ports) and waits for its ready line. Returns the seconds that took. `prefix`
        are words before the program, e.g. of nice; `env` is added to the environment."""
        begin = time.monotonic()
        with open(self.folder / "server.log", "a") as log:
            self.server = subprocess.Popen(
                [*prefix, NEXUS, "serve", "--listen", self.grpc or "127.0.0.1:0", "--http", self.http or "127.0.0.1:0",
                 "--data", str(data or self.folder / "data"), *flags],
                stdout=subprocess.PIPE, stderr=log, text=True, cwd=self.folder, env={**os.environ, **(env or {})})
        self.processes = [p for p in self.processes if p.poll() is None] + [self.server]
        ready, _, _ = select.select([self.server.stdout], [], [], 30)
        line = self.server.stdout.readline() if ready else ""
        found = re.search(r"ready on ([\d.]+:\d+).*https?://([\d.]+:\d+)", line)
        if not found:
            raise AssertionError(f"no ready line but {line!r}; log:\n" + (self.folder / "server.log").read_text()[-3000:])
        self.grpc, self.http = found[1], found[2]
        return time.monotonic() - begin

    def kill_server(self):
        self.server.kill()
        self.server.wait()
        self.server.stdout.close()

    def load(self, verb, name, *flags, server=None):
        """Starts nexus_load; its journal is NAME.journal in the folder."""
        with open(self.folder / f"{name}.log", "a") as log:
            process = subprocess.Popen([NEXUS_LOAD, verb, "--server", server or self.grpc, "--journal",
                                        str(self.folder / f"{name}.journal"), *map(str, flags)], stdout=log, stderr=log, cwd=self.folder)
        self.processes.append(process)
        return process

    def load_worker(self, name, slots=4, server=None):
        return self.load("work", name, "--name", name, "--slots", slots, server=server)

    def await_load(self, process, limit_s=120):
        """Waits for a submitter to end."""
        if process.wait(timeout=limit_s) != 0:
            raise AssertionError(f"nexus_load exited {process.returncode}")

    def await_idle(self, limit_s=120, parked=0):
        """Waits until at most `parked` tasks have not ended."""
        def idle():
            status = self.status()
            return int(status.get("waiting", 0)) + int(status.get("running", 0)) <= parked
        wait_until("all tasks have ended", idle, limit_s)

    def checked(self, type_name="load", skip=()):
        """Writes down the outcomes and lets the checker judge. Returns the checker; raises on a broken promise."""
        self.await_load(self.load("collect", "outcomes", "--type", type_name))
        checker = Checker(self.folder, skip)
        problems = checker.problems()
        if problems:
            raise AssertionError(f"{len(problems)} broken promises:\n" + "\n".join(problems[:20]))
        return checker

    def worker_ready(self, count):
        wait_until(f"{count} workers are ready", lambda: int(self.status().get("workers_ready", 0)) == count)

    def start_worker(self, name, *flags, slots=4):
        with open(self.folder / f"{name}.log", "a") as log:
            worker = subprocess.Popen([NEXUS, "worker", "--server", self.grpc, "--name", name, "--slots", str(slots), "--allow", "exec",
                                       *flags], stdout=log, stderr=log, cwd=self.folder)
        self.processes.append(worker)
        return worker

    def run(self, *args, check=True, timeout=60, stdin=None):
        """Runs one command line against the server; returns the finished process."""
        done = subprocess.run([NEXUS, *args, "--server", self.grpc], capture_output=True, text=True, timeout=timeout, input=stdin,
                              cwd=self.folder)
        if check and done.returncode != 0:
            raise AssertionError(f"nexus {' '.join(args)} exited {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def json(self, *args, **kwargs):
        return json.loads(self.run(*args, "-o", "json", **kwargs).stdout)

    def status(self):
        return self.json("status")

    def submit_exec(self, *argv, flags=()):
        """Submits one program to run; returns the task id."""
        done = subprocess.run([NEXUS, "task", "submit", "--server", self.grpc, "-o", "json", *flags, "--", *argv], capture_output=True,
                              text=True, timeout=60, cwd=self.folder)
        if done.returncode != 0:
            raise AssertionError(f"submit exited {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)["id"]

    def bulk_exec(self, count, argv_of, key_prefix, type_name="bulk"):
        """Submits `count` programs by one file; argv_of(i) gives each its argument vector."""
        path = self.folder / f"{key_prefix}.jsonl"
        with open(path, "w") as file:
            for i in range(count):
                payload = json.dumps({"argv": argv_of(i), "cwd": str(self.folder)})
                file.write(json.dumps({"type": type_name, "payload_text": payload, "metadata": {"handler": "exec"},
                                       "idempotency_key": f"{key_prefix}-{i}"}) + "\n")
        self.run("task", "submit", "--file", str(path), timeout=120)
