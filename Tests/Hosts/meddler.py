"""Stands between a VMM and its sidecar and does once what an attacker inside of TLS could do.

Usage: meddler.py LISTEN SIDECAR DAMAGE [WHAT…], with two Unix sockets. DAMAGE of a batch of pages is one of: flip,
swap, replay, gap, truncate; of the preamble: version; of what the target shows of its SEV platform `chain`, then a
method of chain.Shown and its arguments. It says `ready`, serves one connection at a time and ends with its parent.
"""

import os
import socket
import struct
import sys
import threading

import chain

HEADER = struct.Struct("<HHI")
PREAMBLE, BATCH, TARGET = 1, 4, 34
# Where the preamble says which versions its sender speaks: after the magic.
VERSIONS_AT = 8
# The batch that is damaged; later ones exist, so that a swap and a gap are seen.
CHOSEN = 3


class Meddler:
    def __init__(self, damage, *what):
        self.damage = damage
        self.what = what
        self.batches = 0
        self.held = b""

    def frames(self, kind, frame):
        """What goes on in place of one frame of the source; nothing more at all after `truncate`."""
        if kind == PREAMBLE and self.damage == "version":
            at = HEADER.size + VERSIONS_AT
            return frame[:at] + struct.pack("<HH", 0, 0) + frame[at + 4:]
        if kind != BATCH:
            return frame
        self.batches += 1
        if self.batches == CHOSEN + 1 and self.held:
            return frame + self.held
        if self.batches != CHOSEN:
            return frame
        if self.damage == "flip":
            middle = len(frame) // 2
            return frame[:middle] + bytes([frame[middle] ^ 1]) + frame[middle + 1:]
        if self.damage == "replay":
            return frame + frame
        if self.damage == "gap":
            return b""
        if self.damage == "swap":
            self.held = frame
            return b""
        if self.damage == "truncate":
            return frame[:len(frame) // 2]
        return frame

    def answers(self, kind, frame):
        """What goes on in place of one frame of the target."""
        if kind != TARGET or self.damage != "chain":
            return frame
        payload = chain.damaged(frame[HEADER.size:], *self.what)
        return HEADER.pack(kind, 0, len(payload)) + payload


def exactly(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def line(stream):
    read = b""
    while not read.endswith(b"\n"):
        read += exactly(stream, 1)
    return read


def upwards(vmm, sidecar, meddler):
    """From the VMM to its sidecar: the line that it begins with, then frames."""
    try:
        sidecar.sendall(line(vmm))
        while True:
            header = exactly(vmm, HEADER.size)
            kind, _, length = HEADER.unpack(header)
            sidecar.sendall(meddler.frames(kind, header + exactly(vmm, length)))
            if meddler.damage == "truncate" and meddler.batches == CHOSEN:
                break
    except (EOFError, OSError):
        pass
    shut(sidecar)


def downwards(sidecar, vmm, meddler):
    """From the sidecar to its VMM: an answer, and the target's frames if that was `ok`."""
    try:
        answer = line(sidecar)
        vmm.sendall(answer)
        while answer.startswith(b"ok"):
            header = exactly(sidecar, HEADER.size)
            kind, _, length = HEADER.unpack(header)
            vmm.sendall(meddler.answers(kind, header + exactly(sidecar, length)))
    except (EOFError, OSError):
        pass
    shut(vmm)


def shut(stream):
    try:
        stream.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def main():
    path, sidecar_path, *damage = sys.argv[1:]
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen()
    print("ready", flush=True)
    while True:
        vmm, _ = listener.accept()
        sidecar = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sidecar.connect(sidecar_path)
        meddler = Meddler(*damage)
        back = threading.Thread(target=downwards, args=(sidecar, vmm, meddler))
        back.start()
        upwards(vmm, sidecar, meddler)
        back.join()
        vmm.close()
        sidecar.close()


if __name__ == "__main__":
    main()
