"""Two Varlink clients that others wrote, with one face: varlink and asyncvarlink from the Python package index."""

import asyncio
import os

from asking import INTERFACE, PATH, Refused
from manager import Skipped

MISSING = "/python/missing"


class ReferenceClient:
    """The reference implementation: it reads the interface's description and checks every parameter against it."""

    def __init__(self):
        try:
            import varlink
        except ImportError as error:
            raise Skipped(f"varlink is not here: {error}; {reason()}") from error
        self.errors = varlink.VarlinkError
        self.client = varlink.Client(f"unix:{PATH}")
        self.connection = self.client.open(INTERFACE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def info(self):
        with self.client.open("org.varlink.service") as service:
            return service.GetInfo()

    def description(self):
        return self.client.get_interface(INTERFACE).description

    def call(self, method, **parameters):
        try:
            return getattr(self.connection, method)(**parameters)
        except self.errors as error:
            raise Refused(error.error(), error.parameters()) from error

    def more(self, method, **parameters):
        try:
            yield from getattr(self.connection, method)(**parameters, _more=True)
        except self.errors as error:
            raise Refused(error.error(), error.parameters()) from error


class AsyncClient:
    """asyncvarlink, on an event loop of its own."""

    def __init__(self):
        try:
            import asyncvarlink
            import asyncvarlink.serviceinterface
        except ImportError as error:
            raise Skipped(f"asyncvarlink is not here: {error}; {reason()}") from error
        self.library = asyncvarlink
        self.loop = asyncio.new_event_loop()
        self.transport, self.protocol = self.loop.run_until_complete(
            asyncvarlink.connect_unix_varlink(asyncvarlink.VarlinkClientProtocol, PATH))
        self.service = self.protocol.make_proxy(asyncvarlink.serviceinterface.VarlinkServiceInterface)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.transport.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    def info(self):
        return self.loop.run_until_complete(self.service.GetInfo())

    def description(self):
        return self.loop.run_until_complete(self.service.GetInterfaceDescription(interface=INTERFACE))

    def call(self, method, **parameters):
        call = self.library.VarlinkMethodCall(f"{INTERFACE}.{method}", parameters)
        return self.checked(self.loop.run_until_complete(self.protocol.call(call)))

    def more(self, method, **parameters):
        call = self.library.VarlinkMethodCall(f"{INTERFACE}.{method}", parameters, more=True)
        replies = self.protocol.call_more(call)
        while True:
            try:
                yield self.checked(self.loop.run_until_complete(anext(replies)))
            except StopAsyncIteration:
                return

    @staticmethod
    def checked(result):
        reply, _ = result
        if reply.error:
            raise Refused(reply.error, reply.parameters)
        return reply.parameters


CLIENTS = [ReferenceClient, AsyncClient]


def reason():
    """Why pip had nothing for this test."""
    if not os.path.exists(MISSING):
        return "nobody installed it"
    with open(MISSING) as file:
        return (file.read().strip().splitlines() or ["pip said nothing"])[-1]
