# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""A real redis-server for tests, a client of a few lines, and a relay that makes the way to it slow."""
import contextlib
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

SERVER = shutil.which("redis-server")


class Reply(Exception):
    """An error that Redis answered with."""


class Client:
    """RESP2: commands in, Python values out."""

    def __init__(self, address, timeout=20):
        unix = isinstance(address, (str, pathlib.Path))
        self.sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect(str(address) if unix else address)
        except OSError:
            self.sock.close()
            raise
        self.file = self.sock.makefile("rb")

    def __call__(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        return self.read()

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            raise Reply(rest.decode())
        if kind == b":":
            return int(rest)
        size = int(rest)
        if kind == b"$":
            return None if size < 0 else self.file.read(size + 2)[:-2].decode()
        return None if size < 0 else [self.read() for _ in range(size)]

    def stream(self, key):
        """The entries of a stream: (id, {field: value})."""
        return [(i, dict(zip(f[::2], f[1::2]))) for i, f in self("XRANGE", key, "-", "+")]

    def close(self):
        self.file.close()
        self.sock.close()


class Server:
    """redis-server on a Unix socket (and, with `tls`, on a port) in `folder`. Every write is synced before its answer, so
    what was acknowledged is there after kill -9."""

    def __init__(self, folder, *options):
        self.folder = pathlib.Path(folder) / "redis"
        self.folder.mkdir(exist_ok=True)
        self.socket = self.folder / "s"
        self.options = options
        self.process = None

    @property
    def url(self):
        return f"unix://{self.socket}"

    def start(self):
        command = [SERVER, "--unixsocket", self.socket, "--dir", self.folder, "--appendonly", "yes", "--appendfsync", "always", "--save", "",
                   "--port", "0", *map(str, self.options)]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self.wait_ready()
        return self

    def wait_ready(self):
        deadline = time.monotonic() + 30
        while not self.answers():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text()[-2000:])
            select.select([], [], [], 0.02)

    def answers(self):
        try:
            with contextlib.closing(Client(self.socket)) as client:
                return client("PING") == "PONG"
        except OSError:
            return False
        except Reply as e:
            return not str(e).startswith("LOADING")  # NOAUTH is an answer, too

    def client(self):
        return Client(self.socket)

    def kill(self):
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(20)
        self.process = None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)


class Relay:
    """Carries a Unix socket's bytes to another one, each piece `delay` seconds late."""

    def __init__(self, path, target, delay):
        self.path, self.target, self.delay = str(path), str(target), delay
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.sockets = [self.listener]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self.target)
                self.sockets += [near, far]
                for a, b in ((near, far), (far, near)):
                    threading.Thread(target=self.carry, args=(a, b), daemon=True).start()

    def carry(self, a, b):
        with contextlib.suppress(OSError):
            while piece := a.recv(65536):
                time.sleep(self.delay)  # what this relay is for
                b.sendall(piece)
        for s in (a, b):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def close(self):
        for s in self.sockets:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()


class LossyRelay(Relay):
    """Hands everything on, but breaks each connection in place of its n-th answer to EVALSHA: Redis has done what was asked, and
    nobody hears of it."""

    def __init__(self, path, target, every):
        self.every, self.seen, self.lock, self.lost = every, 0, threading.Lock(), 0
        super().__init__(path, target, 0)

    def carry(self, a, b):
        with contextlib.suppress(OSError):
            while piece := a.recv(65536):
                if piece.startswith(b"*3\r\n:"):  # the script's answer
                    with self.lock:
                        self.seen += 1
                        lose = self.seen % self.every == 0
                        self.lost += lose
                    if lose:
                        break
                b.sendall(piece)
        for s in (a, b):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
