#!/usr/bin/env python3
"""peers.py NEXUS: the same work through Nexus and through others, in one run, in turns, medians of RUNS (default 3).

The work: TASKS (default 20,000) tasks of 100 bytes that do nothing. All are submitted first, in parts of 500; then W
workers of S slots each work them off, and that is what is measured. What each has stored by when is told below the table:
they do not promise the same. SHAPES ("2x50 2x8 2x1") and ONLY (a regular expression of rows) select.

Everything comes from apt (redis-server, beanstalkd, libhiredis-dev, nodejs) and npm (bullmq); the programs are those of
bench/peers/, built into build/peers/."""
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILT = ROOT / "build" / "peers"
PORT = 17117
RUNS = int(os.environ.get("RUNS", "3"))
TASKS = int(os.environ.get("TASKS", "20000"))
SHAPES = [tuple(map(int, shape.split("x"))) for shape in os.environ.get("SHAPES", "2x50 2x8 2x1").split()]
BULLMQ = "6.7.0"


def run(*command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def build():
    BUILT.mkdir(parents=True, exist_ok=True)
    sources = ROOT / "bench" / "peers"
    for name, libraries in (("redis_streams", ["-lhiredis"]), ("beanstalkd", [])):
        run("g++", "-std=c++23", "-O2", "-pthread", "-o", str(BUILT / name), str(sources / f"{name}.cc"), *libraries)
    if shutil.which("npm") is None:
        sys.exit("peers: npm is missing, which installs BullMQ: apt-get install npm")
    if not (BUILT / "node_modules" / "bullmq").exists():
        run("npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(BUILT), f"bullmq@{BULLMQ}", "ioredis@5")
    shutil.copy(sources / "bullmq.js", BUILT)


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Server:
    """A server in a folder of its own, gone with all it wrote at the end."""

    def __init__(self, *command):
        self.folder = tempfile.mkdtemp(prefix="peers-")
        self.process = subprocess.Popen([part.format(folder=self.folder) for part in command], cwd=self.folder,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)

    def __enter__(self):
        return self.process.pid

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.folder)


def redis(policy):
    return ["redis-server", "--port", str(PORT), "--bind", "127.0.0.1", "--dir", "{folder}", "--save", "", "--appendonly", "yes",
            "--appendfsync", policy]


def beanstalkd(fsync_ms):
    return ["beanstalkd", "-l", "127.0.0.1", "-p", str(PORT), "-b", "{folder}", "-f", str(fsync_ms)]


def peer(server, *program, tasks=TASKS):
    def measure(workers, slots):
        with Server(*server) as pid:
            client = subprocess.Popen([*program, str(PORT), str(tasks), str(workers), str(slots)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
            if "filled" not in client.stdout.readline():
                raise RuntimeError(f"{program[-1]} ended early")
            before = cpu_s(pid)
            client.stdin.write("go\n")
            client.stdin.flush()
            result = json.loads(client.stdout.readline())
            result["server_cpu_us_per_task"] = (cpu_s(pid) - before) * 1e6 / tasks
            client.wait()
            return result
    return measure


def nexus(binary):
    def measure(workers, slots):
        out = run(binary, "bench", "sdk", "--tasks", str(TASKS), "--workers", str(workers), "--slots", str(slots), "-o", "json",
                  stderr=subprocess.DEVNULL)
        result = json.loads(out)["results"][0]
        if result["lost"] or result["duplicated"]:
            raise RuntimeError(f"lost {result['lost']}, twice {result['duplicated']}")
        return result
    return measure


def nexus_store(binary, *flags):
    """Submitted and worked off at the same time, by raw streams: what each of our stores does."""
    def measure(workers, slots):
        out = run(binary, "bench", "e2e", "--tasks", str(5 * TASKS), "--workers", str(workers), "--slots", str(slots), *flags, "-o", "json",
                  stderr=subprocess.DEVNULL)
        result = json.loads(out)["results"][0]
        if result["lost"] or result["duplicated"]:
            raise RuntimeError(f"lost {result['lost']}, twice {result['duplicated']}")
        return {**result, "server_cpu_us_per_task": result["server_cpu_s"] * 1e6 / (5 * TASKS), "worker_cpu_us_per_task": float("nan")}
    return measure


# What is compared, and what it has promised when a worker hears that its report was taken.
def rows(binary):
    streams, bull = str(BUILT / "redis_streams"), ["node", str(BUILT / "bullmq.js")]
    return {
        "nexus bench sdk": (nexus(binary), "submission, assignment and result synced to disk before anyone hears of them"),
        "nexus bench e2e, embedded": (nexus_store(binary), "as above"),
        "nexus bench e2e, Redis, always": (nexus_store(binary, "--store", "redis"), "as above, in Redis"),
        "nexus bench e2e, Redis, everysec": (nexus_store(binary, "--store", "redis", "--durability", "process"),
                                             "all survives the end of nexus; up to 2 s is lost with the power"),
        "Redis Streams loop, everysec": (peer(redis("everysec"), streams), "up to a second of XADD and XACK is lost with the power"),
        "Redis Streams loop, always": (peer(redis("always"), streams), "XADD and XACK synced before their answer, once per turn of its loop"),
        "beanstalkd, -f 0": (peer(beanstalkd(0), str(BUILT / "beanstalkd"), tasks=TASKS // 10), "a tenth of the tasks: put and delete synced one by one; a reservation is not stored"),
        "beanstalkd, -f 50": (peer(beanstalkd(50), str(BUILT / "beanstalkd")), "put and delete synced at most every 50 ms, after their answer"),
        "BullMQ, everysec": (peer(redis("everysec"), *bull), "up to a second of all is lost with the power"),
    }


def sync_us():
    """fdatasync of 8 KiB over itself: the disk's part of every commit."""
    times = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(200):
            os.pwrite(file.fileno(), b"x" * 8192, 0)
            began = time.monotonic()
            os.fdatasync(file.fileno())
            times.append((time.monotonic() - began) * 1e6)
    return statistics.median(times)


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    load = pathlib.Path("/proc/loadavg").read_text().split()[0]
    versions = [run("redis-server", "--version").split("v=")[1].split()[0], run("beanstalkd", "-v").split()[1],
                run("node", "--version").strip()]
    return (f"{os.cpu_count()} cores ({model.group(1).strip() if model else 'unknown'}), load {load} before; fdatasync of 8 KiB "
            f"{sync_us():.0f} us (p50); Redis {versions[0]}, beanstalkd {versions[1]}, BullMQ {BULLMQ} on node {versions[2]}")


def main():
    build()
    print(machine(), flush=True)
    wanted = re.compile(os.environ.get("ONLY", ""))
    compared = {name: row for name, row in rows(sys.argv[1]).items() if wanted.search(name)}
    for workers, slots in SHAPES:
        found = {name: [] for name in compared}
        for turn in range(RUNS):
            for name, (measure, _) in compared.items():
                found[name].append(measure(workers, slots))
                print(f"  {turn + 1}: {name}: {found[name][-1]['completed_per_s']:.0f}/s", file=sys.stderr, flush=True)
        median = {name: {key: statistics.median(result[key] for result in results)
                         for key in ("completed_per_s", "server_cpu_us_per_task", "worker_cpu_us_per_task")}
                  for name, results in found.items()}
        ours = median.get("nexus bench sdk")
        print(f"\n| {workers} workers x {slots} slots, {TASKS:,} tasks | completed/s | lowest to highest | Nexus is | server CPU a task |"
              " worker CPU a task |\n|---|---|---|---|---|---|")
        for name, numbers in median.items():
            rates = [result["completed_per_s"] for result in found[name]]
            ratio = f"{ours['completed_per_s'] / numbers['completed_per_s']:.3g} x" if ours else ""
            print(f"| {name} | {numbers['completed_per_s']:,.0f} | {min(rates):,.0f} to {max(rates):,.0f} | {ratio} |"
                  f" {numbers['server_cpu_us_per_task']:.1f} us | {numbers['worker_cpu_us_per_task']:.1f} us |", flush=True)
    print("\n| what | has stored, when a worker hears that its report was taken |\n|---|---|")
    for name, (_, promise) in compared.items():
        print(f"| {name} | {promise} |")


if __name__ == "__main__":
    main()
