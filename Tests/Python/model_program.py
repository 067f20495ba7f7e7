"""The model's firmware in a program of its own, driven over its standard streams."""

import subprocess


class Refused(Exception):
    """The firmware refused a command; `status` is its status."""

    def __init__(self, status):
        super().__init__(f"firmware status 0x{status:02x}")
        self.status = status


class Model:
    def __init__(self, program):
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self("initialize")

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        if self.process.wait() != 0:
            raise RuntimeError("the program did not end well")

    def __call__(self, name, **fields):
        """Sends a command; bytes go as hexadecimal digits. Underscores in names are hyphens there."""
        words = [name]
        for key, value in fields.items():
            text = value.hex() if isinstance(value, (bytes, bytearray)) else str(value)
            words.append(f"{key.replace('_', '-')}={text}")
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().split()
        if not line:
            raise RuntimeError(f"the program ended at {name}")
        if line[0] == "refused":
            raise Refused(int(line[1]))
        if line[0] != "ok":
            raise RuntimeError(" ".join(line))
        return dict(word.split("=", 1) for word in line[1:])

    def blob(self, name, field, **fields):
        """Sends a command and gives one field of the answer as bytes."""
        return bytes.fromhex(self(name, **fields)[field])
