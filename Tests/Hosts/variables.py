"""A UEFI variable store as OVMF keeps one (UEFI PI, volume 3; EDK II, VariableFormat.h), with one variable in it."""

import struct
import uuid

NAME = "SevLiveMigrationEnabled"
VENDOR = uuid.UUID("0cf29b71-9e51-433a-a3b7-81f3ab16b875")
VOLUME = uuid.UUID("fff12b8d-7696-4c8b-a985-2747075b4f50")
STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")
BLOCK = 4096
BLOCKS = 132
STORE_SIZE = 0xE000
NON_VOLATILE_BOOT_RUNTIME = 7
ADDED = 0x3F


def variable(data):
    name = (NAME + "\0").encode("utf-16-le")
    header = struct.pack("<HBBIQ16sIII16s", 0x55AA, ADDED, 0, NON_VOLATILE_BOOT_RUNTIME, 0, bytes(16), 0, len(name),
                         len(data), VENDOR.bytes_le)
    entry = header + name + data
    return entry + b"\xff" * (-len(entry) % 4)


def store(value=None):
    """The bytes of a store in which the firmware's variable has this value, or is missing."""
    volume = bytearray(struct.pack(
        "<16s16sQ4sIHHHBBIIII", bytes(16), VOLUME.bytes_le, BLOCK * BLOCKS, b"_FVH", 0x0004FEFF, 72, 0, 0, 0, 2,
        BLOCKS, BLOCK, 0, 0))
    total = sum(struct.unpack("<36H", volume))
    struct.pack_into("<H", volume, 50, -total & 0xFFFF)
    head = struct.pack("<16sIBBHI", STORE.bytes_le, STORE_SIZE - len(volume), 0x5A, 0xFE, 0, 0)
    content = bytes(volume) + head + (variable(bytes([value])) if value is not None else b"")
    return content + b"\xff" * (BLOCK * BLOCKS - len(content))
