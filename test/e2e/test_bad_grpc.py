"""Bytes that no gRPC library would send (G2-G24 of the contract's list): each is refused or the connection ended, nothing is
stored, and the server serves others as before. The client below speaks just enough HTTP/2."""
import pathlib
import socket
import struct
import time
import unittest

from harness import House

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
INITIAL_WINDOW_SIZE = 4
END_STREAM, END_HEADERS = 1, 4
SUBMIT = "/nexus.v1.TaskService/Submit"
# SubmitRequest{task{type: "bad"}}
TASK = b"\x0a\x05\x0a\x03bad"


def frame(kind, flags=0, stream=0, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + body


def literal(text):
    """One HPACK string: its length as an integer of 7 bits, not Huffman coded."""
    raw = text if isinstance(text, bytes) else text.encode()
    if len(raw) < 127:
        return bytes((len(raw),)) + raw
    length, more = len(raw) - 127, b"\x7f"
    while length >= 128:
        more += bytes((length % 128 + 128,))
        length //= 128
    return more + bytes((length,)) + raw


def headers_of(path=SUBMIT, extra=(), method="POST", scheme="http"):
    fields = [(":method", method), (":scheme", scheme), (":path", path), (":authority", "localhost"), ("te", "trailers"),
              ("content-type", "application/grpc")]
    return b"".join(b"\0" + literal(name) + literal(value) for name, value in [*fields, *extra])


def message(body, compressed=0, length=None):
    return bytes((compressed,)) + struct.pack(">I", len(body) if length is None else length) + body


class Connection:
    def __init__(self, house):
        host, port = house.grpc.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS))
        self.data = b""
        self.windows = {0: 65535, 1: 65535}  # what the server takes as yet, of the connection and of stream 1
        self.initial = 65535  # of each new stream
        self.ended = None
        # The server's limits hold from the acknowledgement of its settings on.
        self.acknowledged = False
        while not self.acknowledged and self.ended is None:
            self.read(10)

    def send(self, *frames):
        """False when the server has ended the connection meanwhile."""
        try:
            self.socket.sendall(b"".join(frames))
            return True
        except OSError:
            return False

    def call(self, *bodies, end=True, **headers):
        block = headers_of(**headers)
        parts = [block[at:at + 16384] for at in range(0, len(block), 16384)]
        for at, part in enumerate(parts):
            self.send(frame(CONTINUATION if at else HEADERS, END_HEADERS if at == len(parts) - 1 else 0, 1, part))
        for at, body in enumerate(bodies):
            last = end and at == len(bodies) - 1
            for start in range(0, max(len(body), 1), 16384):
                part = body[start:start + 16384]
                while self.ended is None and min(self.windows.values()) < len(part):
                    self.read(10)
                for stream in self.windows:
                    self.windows[stream] -= len(part)
                self.send(frame(DATA, END_STREAM if last and start + 16384 >= len(body) else 0, 1, part))
        return self

    def end(self, limit_s=10.0):
        """How the server ended it: the grpc-status of the trailers, "reset", "goaway", "closed", or "open" when time is up. Closes
        the connection."""
        with self.socket:
            until = time.monotonic() + limit_s
            while self.ended is None:
                self.read(until - time.monotonic())
            return self.ended

    def read(self, limit_s):
        """Takes in what comes next; nothing within the limit ends it as "open"."""
        self.socket.settimeout(max(0.05, limit_s))
        try:
            got = self.socket.recv(65536)
        except TimeoutError:
            self.ended = "open"
            return
        except OSError:
            got = b""
        if not got:
            self.ended = "closed"
        self.data += got
        while self.ended is None and len(self.data) >= 9 and len(self.data) >= 9 + int.from_bytes(self.data[:3], "big"):
            size, kind, flags = int.from_bytes(self.data[:3], "big"), self.data[3], self.data[4]
            stream, body = int.from_bytes(self.data[5:9], "big"), self.data[9:9 + size]
            self.data = self.data[9 + size:]
            self.take(kind, flags, stream, body)

    def take(self, kind, flags, stream, body):
        if kind == HEADERS and b"grpc-status" in body:
            after = body[body.index(b"grpc-status") + 11:]
            self.ended = int(after[1:1 + after[0]])
        elif kind == RST_STREAM:
            self.ended = "reset"
        elif kind == GOAWAY:
            self.ended = "goaway"
        elif kind == PING and not flags:
            self.send(frame(PING, 1, 0, body))
        elif kind == WINDOW_UPDATE and stream in self.windows:
            self.windows[stream] += int.from_bytes(body, "big")
        elif kind == SETTINGS and not flags:
            for at in range(0, len(body), 6):
                key, value = struct.unpack(">HI", body[at:at + 6])
                if key == INITIAL_WINDOW_SIZE:
                    self.windows[1] += value - self.initial
                    self.initial = value
            self.send(frame(SETTINGS, 1))
            self.acknowledged = True


class BadGrpc(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.house = House()
        cls.house.start_server()

    @classmethod
    def tearDownClass(cls):
        cls.house.__exit__()

    def tearDown(self):
        self.assertIsNone(self.house.server.poll(), "the server ended")
        self.assertEqual(int(self.house.status().get("submitted", 0)), self.stored, "something was stored")

    def setUp(self):
        self.stored = int(self.house.status().get("submitted", 0))

    def rss(self):
        status = pathlib.Path(f"/proc/{self.house.server.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def refused(self, how, what):
        self.assertNotIn(how, (0, "open"), what)

    def test_a_right_call_is_taken(self):
        self.assertEqual(Connection(self.house).call(message(TASK)).end(), 0)
        self.stored += 1

    def test_G1_G2_G8_messages_that_are_none(self):
        for body in (b"", b"\xff" * 20, b"\x0a\xff\xff\xff\xff\x0f", b"\x08\x01", b"\x0a\x03\x0a\x01\xc3"):
            with self.subTest(body=body):
                self.refused(Connection(self.house).call(message(body)).end(), body)

    def test_G3_length_prefixes_that_lie(self):
        for length in (0xFFFFFFFF, 1 << 30, len(TASK) + 1, len(TASK) - 1):
            with self.subTest(length=length):
                self.refused(Connection(self.house).call(message(TASK, length=length)).end(), length)

    def test_G4_a_message_beyond_the_limit(self):
        self.refused(Connection(self.house).call(message(b"x" * ((2 << 20) + 1))).end(), "2 MiB + 1")

    def test_G5_compression_that_nobody_agreed_on(self):
        # gRPC 1.51 hands on as it is what is marked as compressed by nobody, or by a name it does not know.
        for extra in ([], [("grpc-encoding", "quantum")]):
            self.assertNotEqual(Connection(self.house).call(message(TASK, compressed=1), extra=extra).end(), "open")
        self.refused(Connection(self.house).call(message(TASK, compressed=1), extra=[("grpc-encoding", "gzip")]).end(), "not gzip at all")
        self.stored = int(self.house.status().get("submitted", 0))

    def test_G9_recursion_and_G7_unknown_fields(self):
        self.refused(Connection(self.house).call(message(b"\x0b" * 10_000)).end(), "groups in groups")
        unknown = b"\xa2\x06" + b"\x80\x80\x40" + b"u" * (1 << 20)  # field 100, 1 MiB
        self.assertEqual(Connection(self.house).call(message(TASK + unknown)).end(), 0)
        self.stored += 1

    def test_G11_odd_timeouts(self):
        for timeout in ("0n", "1n", "x", "-1S", "99999999999S", "99999999H"):
            with self.subTest(timeout=timeout):
                how = Connection(self.house).call(message(TASK), extra=[("grpc-timeout", timeout)]).end()
                # What cannot be read as a timeout is taken for none, a huge one for one that has passed.
                self.assertNotEqual(how, "open")
                self.stored = int(self.house.status().get("submitted", 0))

    def test_G12_metadata_beyond_the_limit(self):
        self.refused(Connection(self.house).call(message(TASK), extra=[("x-large", "y" * 70_000)]).end(), "70 KB of metadata")
        self.refused(Connection(self.house).call(message(TASK), extra=[(f"x-{n}", "y") for n in range(2500)]).end(), "2500 keys")
        self.assertEqual(Connection(self.house).call(message(TASK), extra=[("x-large", "y" * 9000)]).end(), 0)
        self.stored += 1

    def test_G15_unknown_methods(self):
        for path in ("/nexus.v1.TaskService/Nothing", "/nobody/Nothing", "/", "", "x" * 4000, "/nexus.v1.TaskService/../Submit"):
            with self.subTest(path=path[:40]):
                self.refused(Connection(self.house).call(message(TASK), path=path).end(), path[:40])

    def test_G16_two_messages_and_G17_none(self):
        self.assertNotEqual(Connection(self.house).call(message(TASK) + message(TASK)).end(), "open")
        self.assertLessEqual(int(self.house.status().get("submitted", 0)) - self.stored, 1, "one call made two tasks")
        self.stored = int(self.house.status().get("submitted", 0))
        self.refused(Connection(self.house).call(b"").end(), "half-closed without a message")

    def test_G14_G18_rapid_reset(self):
        before = self.rss()
        connection = Connection(self.house)
        head = headers_of()
        for stream in range(1, 20_001, 2):
            if not connection.send(frame(HEADERS, END_HEADERS, stream, head), frame(RST_STREAM, 0, stream, struct.pack(">I", 8))):
                break
        connection.socket.close()
        self.assertEqual(Connection(self.house).call(message(TASK)).end(), 0)
        self.stored += 1
        # At worst, on a busy machine, the server holds all 10,000 for a moment: some 8 KiB each.
        self.assertLess(self.rss() - before, 128 << 20)

    def test_G19_a_window_that_never_opens(self):
        connection = Connection(self.house)
        connection.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)))
        connection.call(message(b""), path="/nexus.v1.AdminService/GetStatus")
        self.assertEqual(Connection(self.house).call(message(TASK)).end(), 0, "others wait for it")
        self.stored += 1
        connection.socket.close()

    def test_G22_G23_what_is_no_call(self):
        for bytes_sent in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), b"\0" * 100_000):
            host, port = self.house.grpc.split(":")
            with socket.create_connection((host, int(port)), timeout=10) as other:
                try:
                    other.sendall(bytes_sent)
                    while other.recv(65536):
                        pass
                except TimeoutError:
                    self.fail("neither answered nor closed")
                except OSError:
                    pass
        for odd in ({"scheme": "x" * 9000}, {"scheme": "\0"}, {"method": "GET"}, {"extra": [("te", "x")]}, {"extra": [("grpclb_client_stats", "x")]}):
            with self.subTest(odd=list(odd)):
                self.assertNotEqual(Connection(self.house).call(message(TASK), **odd).end(), "open")
                self.stored = int(self.house.status().get("submitted", 0))

    def test_G24_a_header_without_end(self):
        """One header string announced as 1 GB. gRPC 1.51 checks its length at its end only, so the server holds what came (docs/testing.md);
        others are served meanwhile, and it is gone with its connection."""
        before = self.rss()
        connection = Connection(self.house)
        length = (1 << 30) - 127
        announced = b"\0" + literal("x-endless") + b"\x7f"
        while length >= 128:
            announced += bytes((length % 128 + 128,))
            length //= 128
        connection.send(frame(HEADERS, 0, 1, headers_of() + announced + bytes((length,))))
        sent = 0
        until = time.monotonic() + 3
        while sent < (4 << 20) and time.monotonic() < until and connection.send(frame(CONTINUATION, 0, 1, b"y" * 16384)):
            sent += 16384
        self.assertEqual(Connection(self.house).call(message(TASK)).end(), 0)
        self.stored += 1
        grown = self.rss() - before
        connection.socket.close()
        self.assertLess(grown, 64 << 20, f"grew by {grown >> 20} MiB while {sent >> 20} MiB of one header string were sent")


if __name__ == "__main__":
    unittest.main(verbosity=2)
