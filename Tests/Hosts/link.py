"""The network between two hosts: a TUN device in each, and the forwarder between them."""

import os
import subprocess
import sys

from checks import expect
from processes import Process

DEVICE = "wire"
# IPv4's largest packet: a bulk stream costs few of them. A lossy network is one of small packets.
LARGE = 65535
ETHERNET = 1500


class Link:
    def __init__(self, folder, first, second):
        self.ends = (first, second)
        self.process = Process(
            "forwarder",
            [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "forwarder.py"), DEVICE,
             *(f"/proc/{host.holder.pid}/ns/net" for host in self.ends)],
            f"{folder}/forwarder.log", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.expect_answer("ready")
        for host, peer in (self.ends, self.ends[::-1]):
            host.call("ip", "address", "add", f"{host.address}/32", "peer", f"{peer.address}/32", "dev", DEVICE)
            # No packets but the test's own: the kernel's for IPv6 would shift the row of chances.
            host.call("ip", "link", "set", DEVICE, "mtu", str(LARGE), "addrgenmode", "none", "up")

    def expect_answer(self, wanted):
        answer = self.process.child.stdout.readline().decode().strip()
        expect(answer == wanted, f"the forwarder says '{answer}'\n{self.process.tail()}")

    def order(self, text):
        self.process.child.stdin.write(text.encode() + b"\n")
        self.process.child.stdin.flush()

    def obey(self, text):
        self.order(text)
        self.expect_answer("ok")

    def cut(self):
        self.obey("cut")

    def heal(self):
        """As it was at the beginning."""
        self.obey("heal")
        self.set_packets(LARGE)

    def delay(self, milliseconds):
        self.obey(f"delay {milliseconds}")

    def lose(self, percent, seed):
        self.obey(f"seed {seed}")
        self.obey(f"loss {percent}")

    def set_packets(self, size):
        for host in self.ends:
            host.call("ip", "link", "set", DEVICE, "mtu", str(size))

    def counts(self):
        """Packets and bytes that were carried, and packets that were dropped."""
        self.order("counts")
        return tuple(int(word) for word in self.process.child.stdout.readline().split())

    def close(self):
        self.process.kill()
        self.process.child.stdin.close()
        self.process.child.stdout.close()
