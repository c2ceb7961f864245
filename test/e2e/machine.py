"""T22, T26, T29, T30: a starved processor, damaged files, ordered stops under load, a backup while running (contract C1, C12, C13,
C17, C24)."""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time

from checker import percentile
from harness import NEXUS, House, wait_until


def starved(args):
    """More work than processors, and the server behind all of it: no worker is lost for that."""
    with House() as house:
        house.start_server(prefix=("nice", "-n", "10"))
        for n in range(4):
            house.load_worker(f"w{n}", slots=4)
        house.worker_ready(4)
        burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4 * (os.cpu_count() or 1))]
        try:
            house.await_load(house.load("submit", "client", "--count", 30 * args.seconds, "--rate", 30, "--run-us", 100_000), 120)
        finally:
            for burner in burners:
                burner.kill()
                burner.wait()
        house.await_idle(60)
        checker = house.checked()
        log = (house.folder / "server.log").read_text()
        print(f"T22: {4 * (os.cpu_count() or 1)} busy processes for {args.seconds} s: {len(checker.acks)} tasks, 0 lost, {log.count('worker_lost')} workers lost, "
              f"{log.count('worker_suspected')} suspected, {len(checker.run_again())} run again")
        assert log.count("worker_lost") == 0
        assert not checker.run_again()


def damaged(args):
    """Bits flipped, files cut and swapped: the server starts right, or says where the damage is and ends; never by a signal."""
    rng = random.Random(args.seed)
    with House() as house:
        house.start_server("--set", "server.disk_reserve=0B")
        worker = house.load_worker("w1", slots=16)
        house.await_load(house.load("submit", "client", "--count", 300, "--run-us", 1000, "--payload", 2000))
        house.await_load(house.load("submit", "parked", "--prefix", "parked", "--count", 100, "--worker", "nobody", "--payload", 2000))
        house.kill_server()
        worker.kill()
        killed, ended = house.folder / "killed", house.folder / "ended"
        shutil.copytree(house.folder / "data", killed)  # most of it in the WAL
        house.start_server("--set", "server.disk_reserve=0B")
        house.server.terminate()
        house.server.wait(timeout=20)
        house.server.stdout.close()
        (house.folder / "data").rename(ended)  # all of it in the database
        good, refused = 0, 0
        for n in range(args.count):
            data = house.folder / "data"
            shutil.copytree(ended if n // 4 % 2 else killed, data)
            files = [f for f in sorted(data.iterdir()) if f.stat().st_size > 0 and f.name.startswith("journal.db")]
            victim = rng.choice(files)
            kind = n % 4
            content = bytearray(victim.read_bytes())
            if kind == 0:
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            elif kind == 1:
                del content[rng.randrange(len(content)):]
            elif kind == 2:
                at = rng.randrange(len(content))
                content[at:at + 4096] = bytes(len(content[at:at + 4096]))
            else:
                content = bytearray(rng.choice(files).read_bytes())  # one file's content in the place of another
            victim.write_bytes(content)
            house.server = subprocess.Popen([NEXUS, "serve", "--listen", "127.0.0.1:0", "--http", "off", "--data", str(data)], text=True,
                                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            house.processes.append(house.server)
            line = house.server.stdout.readline()
            if "ready" in line:
                good += 1
                house.server.terminate()
                code = house.server.wait(timeout=20)
                assert code in (0, 74), f"damage {n}: exit code {code} at the stop"
            else:
                refused += 1
                code = house.server.wait(timeout=20)
                said = house.server.stderr.read()
                assert code > 0, f"damage {n} of {victim.name}: ended by signal {-code}: {said}"
                assert said.strip(), f"damage {n}: silent"
            house.server.stderr.close()
            verdict = subprocess.run([NEXUS, "journal", "verify", "--data", str(data)], capture_output=True, text=True, timeout=60)
            assert verdict.returncode >= 0, f"damage {n}: verify ended by a signal"
            shutil.rmtree(data)
        print(f"T26: {args.count} damaged data directories: {good} opened, {refused} refused with the reason, none ended by a signal")


def stopped(args):
    """SIGTERM under load, again and again: it ends in time, nothing is lost, nothing runs again."""
    with House() as house:
        house.start_server()
        for n in range(3):
            house.load_worker(f"w{n}", slots=8)
        house.worker_ready(3)
        submitter = house.load("submit", "client", "--count", 1_000_000, "--rate", 150, "--threads", 16, "--run-us", 60_000)
        took = []
        for _ in range(args.count):
            time.sleep(0.3)
            asked = time.monotonic()
            house.server.terminate()
            assert house.server.wait(timeout=10) == 0
            took.append(time.monotonic() - asked)
            house.server.stdout.close()
            house.start_server()
        submitter.kill()
        submitter.wait()
        house.await_idle(60)
        checker = house.checked()
        print(f"T29: {args.count} SIGTERM under load: ended after p50 {percentile(took, .5):.2f} max {max(took):.2f} s with exit code 0; {len(checker.acks)} tasks, "
              f"0 lost, {len(checker.run_again())} run again")
        assert max(took) < 5
        assert not checker.run_again()


def backed_up(args):
    """Backups of a running server: each verifies, and a server started from it knows every task acknowledged before."""
    with House() as house:
        house.start_server("--set", "server.disk_reserve=0B")
        house.load_worker("w1", slots=8)
        submitter = house.load("submit", "client", "--count", 1_000_000, "--rate", 100, "--run-us", 20_000)
        events = 0
        for n in range(args.count):
            time.sleep(0.5)
            journal = (house.folder / "client.journal").read_text().splitlines()
            acked = {line.split("\t")[3] for line in journal if line.startswith("ack") and line.count("\t") == 4}
            copy = house.folder / f"copy{n}"
            subprocess.run([NEXUS, "journal", "backup", str(copy), "--data", str(house.folder / "data")], check=True, capture_output=True, timeout=60)
            subprocess.run([NEXUS, "journal", "verify", "--data", str(copy)], check=True, capture_output=True, timeout=60)
            known = set()
            lines = subprocess.run([NEXUS, "journal", "export", "--data", str(copy)], check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
            for line in lines:
                event = json.loads(line)
                if event["event"] == "TaskSubmitted":
                    known.add(event["task"])
            events = len(lines)
            assert acked <= known, f"{len(acked - known)} tasks acknowledged before the backup are not in it"
            verdict = subprocess.run([NEXUS, "journal", "verify", "--data", str(house.folder / "data")], capture_output=True, text=True, timeout=60)
            assert verdict.returncode == 0, verdict.stdout
        submitter.kill()
        submitter.wait()
        with House() as restored:
            (restored.folder / "data").symlink_to(copy)
            restored.start_server()
            restored.load_worker("w2", slots=8)
            restored.await_idle(60)
        print(f"T30: {args.count} backups of a running server: each sound and complete (the last has {events} events), and a server finished the work of the last")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["starved", "damaged", "stopped", "backed_up"])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--count", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    {"starved": starved, "damaged": damaged, "stopped": stopped, "backed_up": backed_up}[args.what](args)


if __name__ == "__main__":
    main()
