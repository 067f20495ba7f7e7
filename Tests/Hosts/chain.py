"""What a target shows of its SEV platform in its frame `target` (Docs/migration-stream.md), and ways to damage it."""

import struct

SEV_BYTES = 2084
# ASK and ARK of the model: RSA with 2,048 bits.
AMD_BYTES = 832
# Inside of the first signature: of a certificate of the firmware's format, and of AMD's.
SEV_SIGNATURE, AMD_SIGNATURE = 1044 + 8 + 16, 64 + 2 * 256 + 100
# Who signed, which algorithm, 512 bytes; twice.
SLOT = struct.Struct("<II512x")
SLOTS = (1044, 1564)
NOBODY = 0x1000
PLATFORM = ("PEK", "OCA", "CEK")
AMD = ("ASK", "ARK")
NAMES = ("PDH", *PLATFORM, *AMD)


class Shown:
    """The payload of the frame, taken apart."""

    # API version: major, minor, build; SEV-ES; save areas; whether certificates follow.
    HEAD = struct.Struct("<BBBBBB")

    def __init__(self, payload):
        *self.facts, has_certificates = self.HEAD.unpack_from(payload)
        self.certificates = {}
        at = self.HEAD.size
        if has_certificates:
            blobs = []
            for _ in range(3):
                (count,) = struct.unpack_from("<I", payload, at)
                blobs.append(payload[at + 4:at + 4 + count])
                at += 4 + count
            pdh, platform, amd = blobs
            self.certificates["PDH"] = pdh
            for names, blob, size in ((PLATFORM, platform, SEV_BYTES), (AMD, amd, AMD_BYTES)):
                for number, name in enumerate(names):
                    self.certificates[name] = blob[number * size:(number + 1) * size]
        self.rest = payload[at:]

    def payload(self):
        head = self.HEAD.pack(*self.facts, bool(self.certificates))
        blobs = [b"".join(self.certificates[name] for name in names) for names in (("PDH",), PLATFORM, AMD)]
        return head + b"".join(struct.pack("<I", len(blob)) + blob for blob in blobs) + self.rest

    # Damages

    def flip(self, name, at=None):
        """One bit, of the signature unless told."""
        bytes_ = bytearray(self.certificates[name])
        bytes_[at if at is not None else AMD_SIGNATURE if name in AMD else SEV_SIGNATURE] ^= 1
        self.certificates[name] = bytes(bytes_)

    def swap(self, one, other):
        found = self.certificates
        found[one], found[other] = found[other], found[one]

    def unsign(self, name):
        """Both slots empty, as the firmware exports the chip's certificate."""
        bytes_ = bytearray(self.certificates[name])
        for at in SLOTS:
            SLOT.pack_into(bytes_, at, NOBODY, 0)
        self.certificates[name] = bytes(bytes_)

    def remove(self, *names):
        for name in names:
            self.certificates[name] = b""

    def claim(self, version):
        """An API version of the target's firmware, as `major.minor`."""
        self.facts[:2] = map(int, version.split("."))


def damaged(payload, how, *what):
    shown = Shown(payload)
    getattr(shown, how)(*what)
    return shown.payload()
