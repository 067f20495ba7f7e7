"""What Python's library lacks of Linux: namespaces, TUN devices, and children that end with their parent."""

import ctypes
import fcntl
import os
import signal
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
TUN = "/dev/net/tun"


def checked(result, what):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def end_with_parent():
    """SIGKILL for this process when the thread that made it ends, however it ends (prctl(2))."""
    checked(LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")


def enter(namespaces):
    """Goes into namespaces, given as descriptors of /proc/PID/ns files (setns(2))."""
    for number in namespaces:
        checked(LIBC.setns(number, 0), "setns")


def processes_in(namespace):
    """The ids of all processes in a namespace, given as the path of a /proc/PID/ns file."""
    wanted = os.stat(namespace).st_ino
    found = set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if os.stat(f"/proc/{name}/ns/{os.path.basename(namespace)}").st_ino == wanted:
                found.add(int(name))
        except OSError:
            # It has ended meanwhile.
            pass
    return found


def open_tun(name):
    """Makes a TUN device in the network namespace that this thread is in; it ends with the descriptor."""
    number = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(number, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return number


def missing():
    """Why there can be no two hosts here, or nothing."""
    if os.geteuid() != 0:
        return "namespaces and TUN devices of the test's own need root"
    if not os.path.exists(TUN):
        return f"{TUN} is not there: the kernel has no TUN devices, or udev did not make the node"
    try:
        os.close(open_tun(""))
    except OSError as error:
        return f"no TUN device can be made: {error}"
    return None


def missing_kvm():
    """Why guests can have no real vCPUs here, or nothing."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"/dev/kvm cannot be opened: {error.strerror}"
    return None
