"""A node of /dev/kvm for the units' user, as udev makes one."""

import grp
import os
import re
import stat

NODE = "/dev/kvm"


def missing(group="kvm"):
    """Makes the node; returns why guests can have no real vCPUs here, or nothing."""
    with open("/proc/misc") as file:
        minor = re.search(r"^ *(\d+) kvm$", file.read(), re.M)
    if not minor:
        return "this kernel has no KVM"
    try:
        if not os.path.exists(NODE):
            os.mknod(NODE, stat.S_IFCHR | 0o660, os.makedev(10, int(minor.group(1))))
        os.chown(NODE, 0, grp.getgrnam(group).gr_gid)
        os.chmod(NODE, 0o660)
        os.close(os.open(NODE, os.O_RDWR))
    except (OSError, KeyError) as error:
        return f"{NODE} cannot be opened here: {error}"
    return None
