"""Other users than root, for connections that are checked."""

import contextlib
import grp
import os
import pwd


@contextlib.contextmanager
def acting_as(name, only_group=None):
    """
    The kernel tells the other end of a local connection who this was at connect(2).

    The user's groups are its own ones, or beside the first of them one alone.
    """
    user, groups = pwd.getpwnam(name), os.getgroups()
    os.setgroups([grp.getgrnam(only_group).gr_gid] if only_group else os.getgrouplist(name, user.pw_gid))
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
