"""baton-remote of two hosts on one: `south` is the shipped unit, `north` a process beside it."""

import os
import shutil
import socket
import time

from certificates import Authority
from manager import STATE, expect, journal, run, show, systemctl, wait
from users import acting_as

SERVICE = "baton-remote.service"
SOCKETS = ("baton-remote.socket", "baton-remote-tls.socket")
FILES = "/etc/baton/remote"
NORTH_PORT = 4747


class Line:
    """A connection to a sidecar's local socket that sends a first line."""

    def __init__(self, path, text, user="root"):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        with acting_as(user):
            self.socket.connect(path)
        self.socket.sendall(f"{text}\n".encode())

    def answer(self):
        """The next line; an empty one at the end of the stream."""
        line = b""
        while not line.endswith(b"\n"):
            byte = self.socket.recv(1)
            if not byte:
                break
            line += byte
        return line.decode().rstrip("\n")

    def receive(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            expect(more, f"the stream ended after {len(data)} of {count} bytes")
            data += more
        return data

    def is_at_end(self):
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.socket.close()


class Sidecar:
    """The unit, with the certificates of its host and one peer that may connect."""

    path = "/run/baton/remote.sock"

    def __init__(self, host):
        self.host = host
        for unit in (*SOCKETS, SERVICE, "north.service"):
            systemctl("stop", unit, check=False)
            systemctl("reset-failed", unit, check=False)
        shutil.rmtree(FILES, ignore_errors=True)
        host.fresh()
        # There is no name service here. A name has two lines; north listens at one of its addresses only, and has to be
        # reached all the same.
        with open("/etc/host.conf", "w") as file:
            file.write("multi on\n")
        with open("/etc/hosts", "w") as file:
            for address in ("::1", "127.0.0.1"):
                file.write(f"{address} localhost south.test north.test renewed.test\n")
        self.authority = Authority(f"{STATE}/authority")
        self.authority.issue(FILES, "south.test")
        os.chmod(FILES, 0o700)
        with open("/etc/baton/remote.conf", "w") as file:
            file.write("BATON_REMOTE_OPTIONS=--allow north.test\n")
        self.began = time.time()

    def listen(self):
        systemctl("start", *SOCKETS)

    @property
    def pid(self):
        return int(show(SERVICE, "MainPID"))

    def said(self):
        return journal(self.began, SERVICE)

    def wait_for_log(self, text):
        wait(f"'{text}' in the log of {SERVICE}", lambda: text in self.said(), 10)

    def ask(self, text, user="root"):
        return Line(self.path, text, user).answer()

    def start_north(self):
        """The sidecar of the other host; returns its local socket."""
        self.authority.issue(f"{STATE}/north", "north.test")
        path = f"{STATE}/north.sock"
        run("systemd-run", "--quiet", "--unit=north.service", "--collect", "--property=Type=notify",
            f"{self.host.prefix}/bin/baton-remote", "--socket", path, "--listen", f"127.0.0.1:{NORTH_PORT}",
            "--allow", "south.test", "--cert", f"{STATE}/north/cert.pem", "--key", f"{STATE}/north/key.pem",
            "--ca", f"{STATE}/north/ca.pem")
        return path

    def link(self, north, guest="vm1"):
        """Both ends of a guest's way from north to the unit: two VMMs' connections."""
        target = Line(self.path, f"await {guest}", "baton-vmm")
        expect(target.answer() == "waiting", "a VMM may wait")
        source = Line(north, f"connect {guest} south.test")
        answers = source.answer(), target.answer()
        expect(answers == ("ok south.test", "ok north.test"), f"the answers are {answers}")
        return source, target
