"""The smallest Varlink client: what many questions a second are asked with."""

import json
import socket

PATH = "/run/baton/varlink"
INTERFACE = "io.baton.Registry"


class Refused(Exception):
    """The registry answered with an error."""

    def __init__(self, name, parameters):
        super().__init__(f"{name} {parameters}")
        self.name = name.rsplit(".", 1)[-1]
        self.parameters = parameters


class Connection:
    """One connection; raises OSError when the registry is away."""

    def __init__(self, path=PATH, seconds=20):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(seconds)
        self.socket.connect(path)
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, method, parameters=None, **flags):
        call = {"method": f"{INTERFACE}.{method}", "parameters": parameters or {}, **flags}
        self.socket.sendall(json.dumps(call).encode() + b"\0")

    def receive(self):
        while b"\0" not in self.rest:
            more = self.socket.recv(1 << 16)
            if not more:
                raise ConnectionResetError("the registry closed the connection")
            self.rest += more
        message, self.rest = self.rest.split(b"\0", 1)
        reply = json.loads(message)
        if "error" in reply:
            raise Refused(reply["error"], reply.get("parameters", {}))
        return reply

    def call(self, method, **parameters):
        self.send(method, parameters)
        return self.receive().get("parameters", {})


def ask(method, **parameters):
    with Connection() as connection:
        return connection.call(method, **parameters)


def guests():
    """All guests by name; nothing while the registry is away."""
    try:
        return {guest["name"]: guest for guest in ask("List")["guests"]}
    except OSError:
        return {}
