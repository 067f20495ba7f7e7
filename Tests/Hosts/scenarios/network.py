"""The network of the tests itself: that it carries, cuts, delays and loses."""

import socket
import threading
import time

from checks import expect, wait
from scenario import named

PORT = 7000


class Echo:
    """A datagram service on south, and a client of it on north."""

    def __init__(self, pair):
        with pair.south.network():
            self.service = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.service.bind((pair.south.address, PORT))
        with pair.north.network():
            self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.client.connect((pair.south.address, PORT))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.service.close()
        self.client.close()

    def there_and_back(self, seconds):
        """How long a datagram took, or nothing when it did not come in this time."""
        began = time.monotonic()
        self.client.send(b"%f" % began)
        self.service.settimeout(seconds)
        try:
            data, sender = self.service.recvfrom(64)
            self.service.sendto(data, sender)
            self.client.settimeout(seconds)
            while self.client.recv(64) != b"%f" % began:
                pass
        except TimeoutError:
            return None
        return time.monotonic() - began

    def astray(self, link, count):
        """Which of so many datagrams, sent one after the other in one direction, did not come."""
        packets, _, dropped = link.counts()
        for number in range(count):
            self.client.send(b"%d" % number)
        wait("the forwarder", lambda: sum(link.counts()[::2]) == packets + dropped + count)
        missing = set(range(count))
        self.service.settimeout(0.1)
        try:
            while missing:
                missing.discard(int(self.service.recv(64)))
        except TimeoutError:
            pass
        return sorted(missing)


def network(pair, _):
    """the link carries packets, cuts, delays by 2 times 100 ms, and loses one in twenty, the same ones each time"""
    link = pair.link
    link.heal()
    with Echo(pair) as echo:
        expect(echo.there_and_back(5), "nothing came over a whole link")
        link.cut()
        expect(echo.there_and_back(0.2) is None, "a packet came over a cut link")
        link.heal()
        link.delay(100)
        took = echo.there_and_back(5)
        expect(took and took >= 0.2, f"with 100 ms for each way it took {took} s")
        link.heal()
        losses = []
        for _ in range(2):
            link.lose(5, seed=46)
            losses.append(echo.astray(link, 200))
        link.heal()
        expect(losses[0] == losses[1], f"another loss with the same seed: {losses}")
        expect(3 <= len(losses[0]) <= 30, f"{len(losses[0])} of 200 went astray, of about 10")
    return [bulk(pair)]


def bulk(pair):
    """One stream over the link; returns a line about its speed."""
    piece, count = bytes(1 << 20), 256
    with pair.south.network():
        server = socket.create_server((pair.south.address, PORT))
    with pair.north.network():
        client = socket.create_connection((pair.south.address, PORT))
    accepted, _ = server.accept()

    def send():
        for _ in range(count):
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    began = time.monotonic()
    sender.start()
    received = 0
    while data := accepted.recv(1 << 20):
        received += len(data)
    took = time.monotonic() - began
    sender.join()
    for end in (client, accepted, server):
        end.close()
    expect(received == count << 20, f"{received} bytes came of {count << 20}")
    return f"the link carries {received / took / 2 ** 20:.0f} MiB/s in one stream"


def scenarios():
    return [named(network, seconds=60)]
