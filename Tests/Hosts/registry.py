"""The smallest Varlink client: a migration without a plan, whose replies nobody has to wait for."""

import json
import socket

from checks import Failed

INTERFACE = "io.baton.Registry"


class Migration:
    """A call of Migrate that was sent; closing it does not end the migration."""

    def __init__(self, registry, guest, **wish):
        self.guest = guest
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(60)
        self.socket.connect(registry.path("varlink"))
        call = {"method": f"{INTERFACE}.Migrate", "more": True, "parameters": {"guest": guest, "request": wish}}
        self.socket.sendall(json.dumps(call).encode() + b"\0")

    def end(self):
        """How it ended, in a word, as far as this call was told."""
        rest = b""
        try:
            while True:
                more = self.socket.recv(1 << 16)
                if not more:
                    return "its registry went away"
                *replies, rest = (rest + more).split(b"\0")
                for reply in map(json.loads, replies):
                    if "error" in reply:
                        return reply["error"]
                    if not reply.get("continues"):
                        migration = reply["parameters"]["migration"]
                        refusal = (migration.get("refusal") or {}).get("name", "")
                        return f"{migration['outcome']} {refusal}".strip()
        except TimeoutError:
            raise Failed(f"the migration of {self.guest} was never said to be over") from None
        except ConnectionError:
            return "its registry went away"
        finally:
            self.socket.close()

    def close(self):
        self.socket.close()
