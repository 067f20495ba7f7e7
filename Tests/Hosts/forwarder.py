"""Carries packets between two TUN devices, and damages the way between them as it is told.

Usage: forwarder.py DEVICE NAMESPACE-A NAMESPACE-B, with the paths of two network namespaces

It makes DEVICE in both namespaces and says `ready`. Then each line of standard input is an order, answered with a line:

    cut             drop every packet
    heal            undo cut, delay and loss
    delay MS        each packet of either direction arrives that much later
    loss PERCENT    drop packets by chance
    seed N          begin the row of chances anew
    counts          answered with packets and bytes carried, and packets dropped

It ends when standard input does, and the devices end with it.
"""

import collections
import os
import random
import select
import sys
import time

import linux

LARGEST_PACKET = 65535
# So many packets of one device before the other one has its turn.
TURN = 64


class Way:
    """One direction."""

    def __init__(self, source, target):
        self.source = source
        self.target = target
        self.waiting = collections.deque()


class Forwarder:
    def __init__(self, first, second):
        self.ways = [Way(first, second), Way(second, first)]
        self.chance = random.Random(1)
        self.is_cut = False
        self.delay = 0.0
        self.loss = 0.0
        self.packets = self.bytes = self.dropped = 0

    def obey(self, line):
        """Carries out one order and returns the answer."""
        word, *rest = line.split()
        if word == "cut":
            self.is_cut = True
            for way in self.ways:
                self.dropped += len(way.waiting)
                way.waiting.clear()
        elif word == "heal":
            self.is_cut, self.delay, self.loss = False, 0.0, 0.0
        elif word == "delay":
            self.delay = float(rest[0]) / 1000
        elif word == "loss":
            self.loss = float(rest[0]) / 100
        elif word == "seed":
            self.chance.seed(int(rest[0]))
        elif word == "counts":
            return f"{self.packets} {self.bytes} {self.dropped}"
        else:
            return f"unknown order {word}"
        return "ok"

    def take(self, way):
        """Reads what one device has; what is not delayed goes on at once."""
        for _ in range(TURN):
            try:
                packet = os.read(way.source, LARGEST_PACKET)
            except BlockingIOError:
                return
            if self.is_cut or (self.loss and self.chance.random() < self.loss):
                self.dropped += 1
            elif self.delay or way.waiting:
                way.waiting.append((time.monotonic() + self.delay, packet))
            else:
                self.give(way, packet)

    def give(self, way, packet):
        try:
            os.write(way.target, packet)
        except OSError:
            # A full queue, or a packet that this device does not take (it is not up yet): as on any network.
            self.dropped += 1
            return
        self.packets += 1
        self.bytes += len(packet)

    def deliver(self):
        """Sends what has waited long enough; returns milliseconds until the next is due, -1 for never."""
        now = time.monotonic()
        next_due = None
        for way in self.ways:
            while way.waiting and way.waiting[0][0] <= now:
                self.give(way, way.waiting.popleft()[1])
            if way.waiting:
                due = way.waiting[0][0]
                next_due = due if next_due is None else min(due, next_due)
        return -1 if next_due is None else max(1, int((next_due - now) * 1000))

    def serve(self, orders):
        poll = select.poll()
        sources = {way.source: way for way in self.ways}
        for number in [*sources, orders]:
            poll.register(number, select.POLLIN)
        partial = b""
        while True:
            for number, _ in poll.poll(self.deliver()):
                if number in sources:
                    self.take(sources[number])
                    continue
                more = os.read(orders, 4096)
                if not more:
                    return
                *lines, partial = (partial + more).split(b"\n")
                for line in lines:
                    print(self.obey(line.decode()), flush=True)


def main():
    device, *namespaces = sys.argv[1:]
    devices = []
    for path in namespaces:
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        linux.enter([number])
        os.close(number)
        devices.append(linux.open_tun(device))
    print("ready", flush=True)
    Forwarder(*devices).serve(0)


if __name__ == "__main__":
    main()
