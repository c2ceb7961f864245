"""T7, T8, T9: a disk that is full, that fails to sync, that is slow (contract C1, C16, C17). The sickness comes from a library
preloaded into the server (test/load/disk_shim.cc); with --folder the data lies there instead, e.g. on a small tmpfs, and is filled
by a real file."""
import argparse
import http.client
import json
import os
import pathlib
import time

from checker import percentile
from harness import DISK_SHIM, House, wait_until

STORE_FAILED = 74


class SickHouse(House):
    def start(self, *flags):
        self.orders = self.folder / "orders"
        return self.start_server(*flags, env={"LD_PRELOAD": DISK_SHIM, "NEXUS_SHIM_FOLDER": str(self.folder / "data"),
                                              "NEXUS_SHIM_ORDERS": str(self.orders)})

    def order(self, text):
        new = self.folder / "orders.new"
        new.write_text(text)
        new.rename(self.orders)

    def heal(self):
        self.orders.unlink(missing_ok=True)

    def submit_once(self, key, payload_bytes):
        """One REST submission without retries, with a journal like nexus_load's. Returns the status and the seconds it took."""
        host, port = self.http.rsplit(":", 1)
        begin = time.monotonic()
        self.note("submit", key)
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.request("POST", "/v1/tasks", json.dumps({"type": "load", "payload": "MTAwMCA" + "A" * payload_bytes}),
                           {"Content-Type": "application/json", "Idempotency-Key": key})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        took = time.monotonic() - begin
        if answer.status == 202:
            self.note("ack", key, body["id"], "0")
        elif answer.status in (429, 507):
            self.note("refused", key, body["title"], str(took))
        else:
            self.note("unknown", key, body["title"], str(took))
        return answer.status, took

    def note(self, what, *fields):
        with open(self.folder / "rest.journal", "a") as journal:
            journal.write("\t".join([what, f"{time.monotonic():.6f}", *fields]) + "\n")


def disk_full(args):
    with SickHouse() as house:
        if args.folder:
            data = pathlib.Path(args.folder) / "data"
            (house.folder / "data").symlink_to(data)
            data.mkdir()
        house.start("--set", f"server.disk_reserve={args.reserve}")
        house.load_worker("w1", slots=4)
        house.worker_ready(1)
        back, refusals = [], []
        for cycle in range(args.cycles):
            filler = pathlib.Path(args.folder or house.folder) / "filler"
            # Tasks that end while the disk is full.
            house.await_load(house.load("submit", f"c{cycle}", "--prefix", f"c{cycle}", "--count", 40, "--run-us", 300_000))
            if args.folder:
                with open(filler, "wb") as file:
                    free = os.statvfs(args.folder)
                    file.write(b"x" * max(0, free.f_bavail * free.f_frsize - (300 << 10)))
            else:
                held = sum(f.stat().st_size for f in (house.folder / "data").iterdir() if f.is_file())
                house.order(f"quota={held + (300 << 10)}")
            done_before = int(house.status().get("succeeded", 0))
            end = time.monotonic() + 30
            tries = 0
            while time.monotonic() < end and len(refusals) < 20 * (cycle + 1):
                status, took = house.submit_once(f"full-{cycle}-{tries}", 100_000)
                tries += 1
                if status in (429, 507):
                    refusals.append(took)
                    time.sleep(0.02)
                else:
                    assert status in (202, 503), status  # 503: the one that met the full disk; its outcome is unknown
            assert len(refusals) >= 20 * (cycle + 1), "the disk never became full"
            wait_until("completions go on", lambda: int(house.status().get("succeeded", 0)) >= done_before + 4, 20)
            filler.unlink() if args.folder else house.heal()
            healed = time.monotonic()
            tries = iter(range(1_000_000))
            wait_until("submissions are taken again", lambda: house.submit_once(f"again-{cycle}-{next(tries)}", 1000)[0] == 202, 10)
            back.append(time.monotonic() - healed)
        assert house.server.poll() is None, "the server ended"
        house.await_idle(60)
        # What ended meanwhile is written down once there is room.
        wait_until("the history has caught up", lambda: len(house.json("task", "list", "--limit", "1000", "--type", "load")["tasks"]) >=
                   int(house.status()["succeeded"]), 20)
        checker = house.checked()
        print(f"T7: disk full {args.cycles} times: {len(checker.acks)} acknowledged, 0 lost, {len(checker.unknown)} of unknown outcome; refusal p50 "
              f"{percentile(refusals, .5) * 1000:.1f} max {max(refusals) * 1000:.1f} ms; taken again {max(back):.2f} s after space at most, without a restart")
        assert max(back) < 3, back


def sync_error(args):
    with SickHouse() as house:
        ends, late = [], 0
        house.start()
        for cycle in range(args.cycles):
            worker = house.load_worker(f"w{cycle}")
            submitter = house.load("submit", f"c{cycle}", "--prefix", f"c{cycle}", "--count", 100_000, "--rate", 300, "--run-us", 20_000)
            journal = house.folder / f"c{cycle}.journal"
            wait_until("tasks are acknowledged", lambda: journal.exists() and journal.read_text().count("ack") > 50)
            # Forgotten by the disk at once, as kernels do: only the process's own end keeps it from acknowledging more.
            house.order("sync_once" if cycle % 2 else "sync_error")
            failed = time.monotonic()
            code = house.server.wait(timeout=10)
            ends.append(time.monotonic() - failed)
            assert code == STORE_FAILED, f"exit code {code}"
            submitter.kill()
            submitter.wait()
            house.heal()
            house.start()
            worker.kill()
        house.load_worker("last", slots=16)
        house.await_idle(60)
        checker = house.checked()
        print(f"T8: {args.cycles} failed syncs: {len(checker.acks)} acknowledged, 0 lost; the server ended {max(ends):.2f} s after the order at most, "
              f"exit code {STORE_FAILED}, and recovered each time")


def slow(args):
    with SickHouse() as house:
        house.start()
        for n in range(3):
            house.load_worker(f"w{n}", slots=8)
        house.worker_ready(3)
        house.order("sync_ms=300")
        house.await_load(house.load("submit", "client", "--count", 20 * args.seconds, "--rate", 20, "--threads", 32, "--run-us", 100_000), 120)
        status = house.status()
        house.heal()
        house.await_idle(60)
        checker = house.checked()
        took = [min(ids.values()) - checker.submitted[key] for key, ids in checker.acks.items()]
        log = (house.folder / "server.log").read_text()
        lost = log.count("worker_lost") + log.count("worker_suspected")
        print(f"T9: each sync 300 ms longer: {len(took)} tasks, 0 lost, {lost} workers suspected or lost; submit p50 {percentile(took, .5):.2f} p99 "
              f"{percentile(took, .99):.2f} s; decision p99 {float(status['decision_p99_us']):.0f} us")
        assert lost == 0, "a slow disk made workers suspect"
        assert not checker.run_again()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["full", "sync_error", "slow"])
    parser.add_argument("--cycles", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--folder", help="of a small file system, for `full`")
    parser.add_argument("--reserve", default="2MiB")
    args = parser.parse_args()
    {"full": disk_full, "sync_error": sync_error, "slow": slow}[args.what](args)


if __name__ == "__main__":
    main()
