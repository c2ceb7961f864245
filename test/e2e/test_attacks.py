"""Attacks on memory and time (the field's cases M and N), each bounded: what the server holds before, at most during, and after
each is printed, with the p99 of an honest client beside it. The bounds are asserted; times are printed only."""
import gzip
import http.client
import os
import socket
import struct
import threading
import time
import unittest

from harness import House, wait_until
from test_bad_grpc import (DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS, SUBMIT, TASK, Connection, frame, headers_of,
                           message)

MiB = 1 << 20
LIST = "/nexus.v1.TaskService/List"
# What the server says that it holds at most (src/wire/server.h, src/http/server.h): for gRPC's connections 128 MiB and for
# answers that are not read 64 MiB; for HTTP's bodies 32 MiB and answers 64 MiB. Allocators round up.
TRANSPORT, ANSWERS, BODIES = 128 * MiB, 64 * MiB, 32 * MiB


def settings(**values):
    numbers = {"initial_window_size": 4}
    return b"".join(struct.pack(">HI", numbers[name], value) for name, value in values.items())


class Honest(threading.Thread):
    """Submits and looks, one call after the other, and keeps how long each took."""

    def __init__(self, house):
        super().__init__(daemon=True)
        self.address, self.times, self.faults, self.over = house.http, [], [], threading.Event()
        self.start()

    def run(self):
        connection = http.client.HTTPConnection(self.address, timeout=20)
        while not self.over.is_set():
            begin = time.monotonic()
            try:
                connection.request("POST", "/v1/tasks", b'{"type":"honest"}', {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 202:
                    self.faults.append(answer.status)
            except OSError as fault:
                self.faults.append(repr(fault))
                connection.close()
            self.times.append(time.monotonic() - begin)
            time.sleep(0.005)

    def end(self):
        self.over.set()
        self.join()
        return sorted(self.times)[int(len(self.times) * 0.99)] * 1000


class Attacks(unittest.TestCase):
    def setUp(self):
        self.house = House()
        self.addCleanup(self.house.__exit__)
        self.house.start_server()

    def rss(self):
        with open(f"/proc/{self.house.server.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def attack(self, name, act, bound=0, after=0):
        """Runs `act` beside an honest client. The server may hold twice of what it held when idle, and `bound` besides; when all
        is over twice of that and `after`: what the allocator keeps for the next time, not for ever more."""
        before = self.rss()
        honest = Honest(self.house)
        most = [before]
        watching = threading.Event()

        def watch():
            while not watching.wait(0.02):
                most[0] = max(most[0], self.rss())
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        act()
        watching.set()
        watcher.join()
        p99 = honest.end()
        limit = 2 * before + after
        end = time.monotonic() + 15
        while self.rss() > limit and time.monotonic() < end:
            time.sleep(0.1)
        print(f"{name}: RSS {before >> 20} MiB before, {most[0] >> 20} at most, {self.rss() >> 20} after; honest p99 {p99:.0f} ms "
              f"of {len(honest.times)} calls", flush=True)
        self.assertEqual(honest.faults, [])
        self.assertLessEqual(most[0], 2 * before + bound)
        self.assertLessEqual(self.rss(), limit)
        self.assertEqual(self.house.server.poll(), None)

    def dial(self):
        host, port = self.house.http.split(":")
        return socket.create_connection((host, int(port)), timeout=20)

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(self.house.http, timeout=20)
        connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = connection.getresponse()
        return answer.status, answer.read()

    # ---- HTTP

    def test_field_M_an_endless_chunk_extension(self):
        def act():
            for _ in range(8):
                with self.dial() as peer:
                    peer.sendall(b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                 b"Transfer-Encoding: chunked\r\n\r\n5;")
                    sent = 0
                    try:
                        while sent < 64 * MiB:
                            peer.sendall(b"a" * 65536)
                            sent += 65536
                    except OSError:
                        pass
                    self.assertLess(sent, 64 * MiB, "all of it was taken")
        self.attack("endless chunk extension", act)

    def test_field_M_half_sent_bodies(self):
        def act():
            peers = []
            for _ in range(300):
                peer = self.dial()
                peers.append(peer)
                peer.settimeout(2)
                try:
                    peer.sendall(b"POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                                 b"Content-Length: 2000000\r\n\r\n" + b" " * 1_900_000)
                except OSError:
                    pass
            for peer in peers:
                peer.close()
        self.attack("300 half-sent bodies", act, bound=BODIES + 32 * MiB, after=BODIES + 32 * MiB)

    def test_field_M_idle_connections(self):
        def act():
            peers = [self.dial() for _ in range(512)]
            for peer in peers:
                peer.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual(self.ask("GET", "/readyz")[0], 200)
            for peer in peers:
                peer.close()
        self.attack("512 idle connections", act, bound=32 * MiB)

    def test_field_M_event_streams_that_nobody_reads(self):
        def act():
            peers = []
            for _ in range(180):
                peer = self.dial()
                peers.append(peer)
                peer.sendall(b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            heads = []
            for peer in peers:
                heads.append(peer.recv(12)[9:12])
            self.assertEqual(heads.count(b"503"), 180 - 128)
            end = time.monotonic() + 4
            while time.monotonic() < end:
                self.assertEqual(self.ask("GET", "/livez")[0], 200)
                time.sleep(0.1)
            for peer in peers:
                peer.close()
        self.attack("180 event streams, unread", act, bound=32 * MiB)

    def fill(self, count, bytes_each=400):
        tasks = ",".join('{"type":"waits","metadata":{"m":"%s"}}' % ("x" * bytes_each) for _ in range(500))
        for _ in range(count // 500):
            self.assertEqual(self.ask("POST", "/v1/tasks/batch", ('{"tasks":[%s]}' % tasks).encode())[0], 202)

    def test_field_M_answers_that_nobody_reads(self):
        self.fill(2000)

        def act():
            peers = []
            for _ in range(300):
                peer = self.dial()
                peers.append(peer)
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                peer.sendall(b"GET /v1/tasks?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
            time.sleep(3)
            for peer in peers:
                peer.close()
        self.attack("300 lists over HTTP, unread", act, bound=ANSWERS + 96 * MiB, after=ANSWERS + 96 * MiB)

    # ---- gRPC

    def test_field_M_a_gzip_bomb(self):
        bomb = gzip.compress(b"\0" * (500 * MiB), 9)
        self.assertLess(len(bomb), MiB)

        def act():
            for encoding in (("grpc-encoding", "gzip"), ("grpc-encoding", "deflate"), ("grpc-encoding", "identity")):
                connection = Connection(self.house)
                ended = connection.call(message(bomb, compressed=1), extra=(encoding,)).end()
                self.assertNotIn(ended, (0, "open"))
        self.attack(f"gzip, {len(bomb) >> 10} KiB that unpack to 500 MiB", act)

    def test_field_M_half_sent_messages(self):
        def act():
            peers = []
            for _ in range(4):
                connection = Connection(self.house)
                peers.append(connection)
                part = message(b"x" * 16000, length=2 * MiB - 100)
                for stream in range(1, 200, 2):
                    connection.send(frame(HEADERS, END_HEADERS, stream, headers_of()))
                    connection.windows[stream] = connection.initial
                    connection.send(frame(DATA, 0, stream, part))
                    connection.windows[0] -= len(part)
                    connection.windows[stream] -= len(part)
                end = time.monotonic() + 3
                while connection.ended is None and time.monotonic() < end:
                    connection.read(0.05)
                    if connection.ended == "open":
                        connection.ended = None
                    for stream in range(1, 200, 2):
                        size = min(16384, connection.windows[0], connection.windows.get(stream, 0))
                        if size > 0 and connection.send(frame(DATA, 0, stream, b"x" * size)):
                            connection.windows[0] -= size
                            connection.windows[stream] -= size
            for connection in peers:
                connection.socket.close()
        self.attack("400 half-sent messages", act, bound=TRANSPORT + 96 * MiB, after=64 * MiB)

    def test_field_M_lists_with_a_closed_window(self):
        self.fill(1000)

        def act():
            peers = []
            for _ in range(20):
                connection = Connection(self.house)
                peers.append(connection)
                connection.send(frame(SETTINGS, 0, 0, settings(initial_window_size=0)))
                for stream in range(1, 200, 2):
                    connection.send(frame(HEADERS, END_HEADERS, stream, headers_of(path=LIST)),
                                    frame(DATA, END_STREAM, stream, message(b"\x30\xe8\x07")))  # page_size 1000
            time.sleep(3)
            for connection in peers:
                connection.socket.close()
        self.attack("2,000 lists with a closed window", act, bound=ANSWERS + TRANSPORT + 128 * MiB, after=ANSWERS + TRANSPORT + 128 * MiB)

    def test_field_M_rapid_reset(self):
        self.fill(20_000)
        self.house.start_worker("healthy")
        self.house.worker_ready(1)

        def act():
            connection = Connection(self.house)
            stream = 1
            end = time.monotonic() + 4
            while time.monotonic() < end and connection.ended is None:
                burst = []
                for _ in range(100):
                    burst += [frame(HEADERS, END_HEADERS, stream, headers_of(path=LIST)),
                              frame(DATA, END_STREAM, stream, message(b"\x30\xe8\x07")),
                              frame(RST_STREAM, 0, stream, struct.pack(">I", 8))]
                    stream += 2
                if not connection.send(*burst):
                    break
                connection.socket.settimeout(0.001)
                try:
                    connection.socket.recv(1 << 20)
                except OSError:
                    pass
            print(f"{stream // 2} lists asked for and given up")
            connection.socket.close()
        self.attack("rapid reset", act, bound=TRANSPORT, after=64 * MiB)
        worker = self.house.json("worker", "get", "healthy")
        self.assertEqual(worker["state"], "WORKER_STATE_READY")
        log = (self.house.folder / "server.log").read_text()
        self.assertNotIn("worker_lost", log)
        self.assertNotIn("worker_suspected", log)

    # ---- text that is kept

    def test_field_M_texts_are_bounded(self):
        long = "x" * 1025
        status, answer = self.ask("POST", "/v1/tasks", b'{"type":"t"}')
        self.assertEqual(status, 202)
        task = answer.decode().split('"id":"')[1][:36]
        for method, path, body in (("POST", f"/v1/tasks/{task}:cancel", '{"reason":"%s"}'), ("PUT", "/v1/queues/q", '{"paused":true,"reason":"%s"}'),
                                   ("PUT", "/v1/queues/q", '{"paused":true,"author":"%s"}'),
                                   ("POST", "/v1/overrides", '{"kind":"hold","type":"t","author":"%s"}'),
                                   ("POST", "/v1/overrides", '{"kind":"hold","type":"t","reason":"%s"}'),
                                   ("PUT", "/v1/types/t/estimate", '{"estimate_us":5,"reason":"%s"}'),
                                   ("PUT", "/v1/config", '{"toml":"","author":"%s"}')):
            with self.subTest(path=path):
                self.assertEqual(self.ask(method, path, (body % long).encode())[0], 400)
                self.assertLess(self.ask(method, path, (body % ("y" * 1024)).encode())[0], 300)

    def test_field_M_paused_queue_names(self):
        def act():
            refused = 0
            for i in range(1400):
                status, _ = self.ask("PUT", f"/v1/queues/{'q' * 120}{i}", b'{"paused":true}')
                refused += status == 429
            self.assertGreater(refused, 0)
        self.attack("1,400 paused queue names", act, bound=64 * MiB, after=64 * MiB)
        data = sum(file.stat().st_size for file in (self.house.folder / "data").iterdir() if file.name.startswith("journal"))
        print(f"the journal has {data >> 20} MiB")


if __name__ == "__main__":
    unittest.main(verbosity=1)
