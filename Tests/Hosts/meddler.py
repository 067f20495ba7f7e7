"""Stands between a VMM and its sidecar and does once what an attacker inside of TLS could do to a batch of pages.

Usage: meddler.py LISTEN SIDECAR DAMAGE, with two Unix sockets. DAMAGE is one of: flip, swap, replay, gap, truncate,
version. It says `ready`, serves one connection at a time and ends with its parent.
"""

import os
import socket
import struct
import sys
import threading

HEADER = struct.Struct("<HHI")
PREAMBLE, BATCH = 1, 4
# Where the preamble says which versions its sender speaks: after the magic.
VERSIONS_AT = 8
# The batch that is damaged; later ones exist, so that a swap and a gap are seen.
CHOSEN = 3


class Meddler:
    def __init__(self, damage):
        self.damage = damage
        self.batches = 0
        self.held = b""

    def frames(self, kind, frame):
        """What goes on in place of one frame; nothing more at all after `truncate`."""
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


def exactly(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def upwards(vmm, sidecar, damage):
    """From the VMM to its sidecar: the line that it begins with, then frames."""
    meddler = Meddler(damage)
    try:
        line = b""
        while not line.endswith(b"\n"):
            line += exactly(vmm, 1)
        sidecar.sendall(line)
        while True:
            header = exactly(vmm, HEADER.size)
            kind, _, length = HEADER.unpack(header)
            changed = meddler.frames(kind, header + exactly(vmm, length))
            sidecar.sendall(changed)
            if damage == "truncate" and meddler.batches == CHOSEN:
                break
    except (EOFError, OSError):
        pass
    shut(sidecar)


def downwards(sidecar, vmm):
    try:
        while data := sidecar.recv(1 << 16):
            vmm.sendall(data)
    except OSError:
        pass
    shut(vmm)


def shut(stream):
    try:
        stream.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def main():
    path, sidecar_path, damage = sys.argv[1:]
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen()
    print("ready", flush=True)
    while True:
        vmm, _ = listener.accept()
        sidecar = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sidecar.connect(sidecar_path)
        back = threading.Thread(target=downwards, args=(sidecar, vmm))
        back.start()
        upwards(vmm, sidecar, damage)
        back.join()
        vmm.close()
        sidecar.close()


if __name__ == "__main__":
    main()
