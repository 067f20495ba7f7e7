"""Makes of a program another one of a different build: the same code with another GNU build id.

Usage: another_build.py DIRECTORY TO, for all programs in DIRECTORY.
"""

import os
import stat
import struct
import sys

NT_GNU_BUILD_ID = 3


def build_id_range(image):
    """Where the id of a 64-bit little-endian ELF file is, or None."""
    if image[:6] != b"\x7fELF\x02\x01":
        return None
    headers, = struct.unpack_from("<Q", image, 0x20)
    size, count = struct.unpack_from("<HH", image, 0x36)
    for index in range(count):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", image, headers + index * size)
        end = offset + length
        # 4 is PT_NOTE.
        while kind == 4 and offset + 12 <= end:
            name, description, note = struct.unpack_from("<III", image, offset)
            start = offset + 12 + (name + 3) // 4 * 4
            if note == NT_GNU_BUILD_ID and image[offset + 12:offset + 16] == b"GNU\0":
                return start, start + description
            offset = start + (description + 3) // 4 * 4
    return None


def main():
    directory, to = sys.argv[1:]
    os.makedirs(to, exist_ok=True)
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if not os.path.isfile(path) or not os.stat(path).st_mode & stat.S_IXUSR:
            continue
        with open(path, "rb") as file:
            image = bytearray(file.read())
        found = build_id_range(image)
        if found is None:
            sys.exit(f"{path} has no build id")
        start, end = found
        image[start:end] = bytes(byte ^ 0xff for byte in image[start:end])
        with open(os.path.join(to, name), "wb") as file:
            file.write(image)
        os.chmod(os.path.join(to, name), 0o755)


main()
