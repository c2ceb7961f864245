"""T16, T17, T20: half-open connections, a thousand streams cut at once, all descriptors taken (contract C4, C5, C12; section on
the acceptor)."""
import argparse
import resource
import socket
import time

from checker import percentile
from harness import House, wait_until
from proxy import Proxy


def half_open(args):
    """One direction, or both, goes silent without an end; the worker behind it runs on. Its task begins elsewhere within 5 s."""
    moved, stale = [], 0
    with House() as house:
        house.start_server()
        proxy = Proxy(house.grpc)
        house.load_worker("far", slots=2, server=proxy.address)
        house.load_worker("near", slots=8)
        house.worker_ready(2)
        struck = []
        for cycle in range(args.cycles):
            for up, down in (("stall", "stall"), ("stall", "pass"), ("pass", "stall")):
                house.await_load(house.load("submit", f"c{cycle}{up}{down}", "--prefix", f"c{cycle}{up}{down}", "--count", 10, "--run-us", 2_000_000))
                time.sleep(0.5)
                struck.append(time.monotonic())
                proxy.up, proxy.down = up, down
                time.sleep(args.stall)
                proxy.up = proxy.down = "pass"
                house.worker_ready(2)
        house.await_idle(60)
        checker = house.checked()
        proxy.close()
        for at in struck:
            for runs in checker.runs.values():
                for run, later in zip(runs, runs[1:]):
                    if run.worker == "far" and run.at <= at < run.over and later.at < at + 10:
                        moved.append(later.at - at)
        stale = int(house.status().get("stale_reports", 0))
        print(f"T16: {len(struck)} half-open connections (both ways, up only, down only): {len(moved)} tasks went elsewhere after p50 "
              f"{percentile(moved, .5):.2f} max {max(moved):.2f} s, one outcome each; {len(checker.overlaps())} overlaps, fenced; {stale} stale reports")
        assert moved


def herd(args):
    """Every stream breaks at once, because the server dies; all workers are back soon, nothing is lost meanwhile."""
    with House() as house:
        house.start_server()
        house.load("work", "herd", "--name", "herd", "--slots", 1, "--copies", args.workers)
        wait_until("all are there", lambda: int(house.status().get("workers_ready", 0)) == args.workers, 60)
        house.load("submit", "client", "--count", 200 * args.seconds, "--rate", 200, "--threads", 32, "--run-us", 50_000)
        time.sleep(1)
        house.kill_server()
        cut = time.monotonic()
        house.start_server()
        wait_until("all are back", lambda: int(house.status().get("workers_ready", 0)) == args.workers, 60)
        back = time.monotonic() - cut
        time.sleep(args.seconds)
        house.await_idle(60)
        checker = house.checked()
        status = house.status()
        took = [min(ids.values()) - checker.submitted[key] for key, ids in checker.acks.items()]
        print(f"T17: {args.workers} worker streams cut at once: all back after {back:.2f} s; {len(took)} submissions acknowledged, longest {max(took):.2f} s, 0 lost, "
              f"{len(checker.run_again())} run again; decision p99 {float(status['decision_p99_us']):.0f} us")


def descriptors(args):
    """A server with few descriptors, and more connections than it can hold; when they are gone it serves again at once."""
    with House() as house:
        house.start_server(prefix=("prlimit", f"--nofile={args.nofile}:{args.nofile}"))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, args.connections + 200), hard))
        host, port = house.grpc.split(":")
        crowd = []
        for _ in range(args.connections):
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex((host, int(port)))
            crowd.append(connection)
        time.sleep(1)
        for connection in crowd:
            connection.close()
        released = time.monotonic()

        def greets():
            """A connection of HTTP/2 is answered with the server's settings."""
            try:
                with socket.create_connection((host, int(port)), timeout=0.2) as probe:
                    probe.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
                    return len(probe.recv(9)) == 9
            except OSError:
                return False
        wait_until("it serves again", greets, 20)
        house.status()
        print(f"T20: ulimit -n {args.nofile}, {args.connections} connections: served again {time.monotonic() - released:.2f} s after they closed")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["half_open", "herd", "descriptors"])
    parser.add_argument("--cycles", type=int, default=1)
    parser.add_argument("--stall", type=float, default=4.5, help="seconds of a half-open connection")
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--nofile", type=int, default=64)
    parser.add_argument("--connections", type=int, default=300)
    args = parser.parse_args()
    {"half_open": half_open, "herd": herd, "descriptors": descriptors}[args.what](args)


if __name__ == "__main__":
    main()
