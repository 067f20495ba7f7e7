"""counter-vmm.c in Python, for tests and tools: ctypes and the standard library only.

    counter_vmm.py LIBBATON SOCKET GUEST TICKS
"""

import ctypes
import fcntl
import json
import mmap
import os
import select
import struct
import sys
import time

RAM_SIZE = 65536
WAY_NONE = 3
(START, RUN, OFFERED, CLAIM, PREPARE, FREEZE, ATTEMPT_OVER, PREFLIGHT, TAKE_BACK, RELEASED, ALARM) = range(1, 12)


class Sized(ctypes.Structure):
    """A struct that begins with its own size."""

    def __init__(self, **members):
        super().__init__(struct_size=ctypes.sizeof(type(self)), **members)


class Identity(Sized):
    _fields_ = [
        ("struct_size", ctypes.c_size_t), ("registry", ctypes.c_char_p), ("guest", ctypes.c_char_p),
        ("build", ctypes.c_char_p), ("format_name", ctypes.c_char_p), ("format_oldest", ctypes.c_uint16),
        ("format_newest", ctypes.c_uint16), ("is_fresh", ctypes.c_uint32), ("format_features", ctypes.c_uint64)]


class Event(Sized):
    _fields_ = [
        ("struct_size", ctypes.c_size_t), ("type", ctypes.c_uint32), ("refusal", ctypes.c_int32),
        ("handoff", ctypes.c_uint64), ("epoch", ctypes.c_uint64)]


class Failure(Sized):
    _fields_ = [
        ("struct_size", ctypes.c_size_t), ("error", ctypes.c_int32), ("refusal", ctypes.c_int32),
        ("text", ctypes.c_char * 512)]


class Region(ctypes.Structure):
    _fields_ = [
        ("guest_physical_address", ctypes.c_uint64), ("byte_count", ctypes.c_uint64), ("file_offset", ctypes.c_uint64),
        ("file", ctypes.c_uint32), ("reserved", ctypes.c_uint32)]


class Guest(Sized):
    _fields_ = [
        ("struct_size", ctypes.c_size_t), ("way", ctypes.c_uint32), ("vcpu_count", ctypes.c_uint32),
        ("ram_count", ctypes.c_uint32), ("region_count", ctypes.c_uint32), ("named_count", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32), ("ram", ctypes.POINTER(ctypes.c_int)), ("regions", ctypes.POINTER(Region)),
        ("names", ctypes.POINTER(ctypes.c_char_p)), ("named", ctypes.POINTER(ctypes.c_int)), ("vm", ctypes.c_int32),
        ("take_back_vm", ctypes.c_int32), ("format_name", ctypes.c_char_p), ("format_version", ctypes.c_uint16),
        ("reserved2", ctypes.c_uint16), ("details_size", ctypes.c_uint32), ("format_features", ctypes.c_uint64),
        ("details", ctypes.c_void_p)]


class Check(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p), ("detail", ctypes.c_char_p), ("remedy", ctypes.c_char_p),
        ("verdict", ctypes.c_uint32), ("reserved", ctypes.c_uint32)]


class BatonError(Exception):
    """The library said no; the text says what the guest is doing."""


class CounterVMM:
    def __init__(self, library, registry, guest):
        self.library = ctypes.CDLL(library)
        self.library.baton_vmm_claim_state.restype = ctypes.c_int64
        identity = Identity(
            registry=registry.encode(), guest=guest.encode(), build=b"counter_vmm.py 1", format_name=b"example",
            format_oldest=1, format_newest=1)
        self.vmm = ctypes.c_void_p()
        result = self.library.baton_vmm_new(ctypes.byref(identity), ctypes.byref(self.vmm))
        if result < 0:
            raise OSError(-result, "making a handle")
        self.ram = self.memory = None
        self.epochs = []
        self.last = 0
        self.is_running = self.is_released = False
        self.call("connect", ctypes.c_uint32(10_000))

    def call(self, name, *arguments):
        """One call of the library, without its prefix; raises what it refuses."""
        result = getattr(self.library, f"baton_vmm_{name}")(self.vmm, *arguments)
        if result < 0:
            failure = Failure()
            self.library.baton_vmm_failure(self.vmm, ctypes.byref(failure))
            raise BatonError(f"{name}: {failure.text.decode() or os.strerror(-result)}")
        return result

    @property
    def counter(self):
        return struct.unpack_from("<Q", self.memory)[0] if self.memory else 0

    def tick(self):
        self.call("may_run")
        struct.pack_into("<Q", self.memory, 0, self.counter + 1)
        self.last = time.monotonic_ns()

    def map(self, ram):
        self.ram = ram
        self.memory = mmap.mmap(ram, RAM_SIZE)

    def guest(self):
        ram = (ctypes.c_int * 1)(self.ram)
        regions = (Region * 1)(Region(byte_count=RAM_SIZE))
        return Guest(
            way=WAY_NONE, vcpu_count=1, ram_count=1, region_count=1, ram=ram, regions=regions, vm=-1, take_back_vm=-1,
            format_name=b"example", format_version=1)

    def carry_out(self, event):
        """False when this process has nothing to do with the guest any more."""
        if event.type == START:
            ram = os.memfd_create("counter-ram", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(ram, RAM_SIZE)
            fcntl.fcntl(ram, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self.map(ram)
        if event.type in (START, RUN):
            self.epochs.append(event.epoch)
            self.tick()
            self.is_running = True
            self.call("running", ctypes.byref(self.guest()), ctypes.c_uint64(self.last))
        elif event.type == OFFERED:
            self.map(self.call("take_ram", ctypes.c_uint32(0)))
            self.call("ready", ctypes.c_int(-1))
        elif event.type == CLAIM:
            state = ctypes.create_string_buffer(8)
            size = self.call("claim_state", state, ctypes.c_size_t(8))
            fits = size == 8 and struct.unpack("<Q", state.raw)[0] == self.counter
            self.call("received" if fits else "give_back")
        elif event.type == PREPARE:
            self.call("offer", ctypes.byref(self.guest()))
        elif event.type == FREEZE:
            self.is_running = False
            self.call("froze")
            state = struct.pack("<Q", self.counter)
            self.call("stage", state, ctypes.c_size_t(8), None, ctypes.c_uint64(self.last))
        elif event.type == PREFLIGHT:
            self.call("report", ctypes.byref(Check(name=b"example", detail=b"a counter")), ctypes.c_size_t(1))
        elif event.type == TAKE_BACK:
            self.call("took_back", ctypes.c_int(1))
        elif event.type == RELEASED:
            self.is_released = True
            self.is_running = False
            return False
        return True

    def live(self, ticks):
        event = Event()
        while True:
            if self.call("process", ctypes.byref(event)):
                if not self.carry_out(event):
                    return
                continue
            if self.is_running:
                if self.counter >= ticks:
                    self.call("end")
                    return
                self.tick()
            descriptor = self.library.baton_vmm_descriptor(self.vmm)
            select.select([descriptor] if descriptor >= 0 else [], [], [], 0.001 if self.is_running else 0.05)


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    vmm = CounterVMM(sys.argv[1], sys.argv[2], sys.argv[3])
    try:
        vmm.live(int(sys.argv[4]))
    except BatonError as error:
        sys.exit(f"counter_vmm.py: {error}")
    vmm.library.baton_vmm_free(vmm.vmm)
    print(json.dumps({"counter": vmm.counter, "epochs": vmm.epochs, "released": vmm.is_released}))


if __name__ == "__main__":
    main()
