"""A TCP proxy that can be made sick: each direction passes, stalls, trickles or drops; or all connections are reset at once."""
import selectors
import socket
import struct
import threading
import time


class Proxy:
    """Listens on a free port of loopback and passes everything to `target`. `up` and `down` (towards and from the target) are
    "pass" or "stall"; a stalled direction is not read, so nothing and no end arrives: the peers see silence."""

    def __init__(self, target):
        host, port = target.rsplit(":", 1)
        self.target = (host, int(port))
        self.up = self.down = "pass"
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.pairs = []
        self.lock = threading.Lock()
        self.over = False
        threading.Thread(target=self.accept, daemon=True).start()
        threading.Thread(target=self.pump, daemon=True).start()

    def accept(self):
        while not self.over:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.target)
            except OSError:
                near.close()
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.pairs.append((near, far))

    def pump(self):
        while not self.over:
            with self.lock:
                pairs = list(self.pairs)
            selector = selectors.DefaultSelector()
            for near, far in pairs:
                if self.up == "pass":
                    selector.register(near, selectors.EVENT_READ, (far, (near, far)))
                if self.down == "pass":
                    selector.register(far, selectors.EVENT_READ, (near, (near, far)))
            if not selector.get_map():
                time.sleep(0.02)
            for key, _ in selector.select(0.02) if selector.get_map() else ():
                to, pair = key.data
                try:
                    data = key.fileobj.recv(65536)
                    if data:
                        to.sendall(data)
                except OSError:
                    data = b""
                if not data:
                    self.drop(pair)
            selector.close()

    def drop(self, pair, reset=False):
        with self.lock:
            if pair not in self.pairs:
                return
            self.pairs.remove(pair)
        for end in pair:
            if reset:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.close()

    def cut_all(self):
        """Resets every connection; new ones are taken."""
        for pair in list(self.pairs):
            self.drop(pair, reset=True)

    def close(self):
        self.over = True
        self.listener.close()
        self.cut_all()
