"""baton-remote in its unit: sockets, sandbox, credentials, reload, end."""

import contextlib
import json
import os
import shutil

from manager import drop_in, expect, forget_drop_ins, journal_entries, properties, run, show, status_field, systemctl
from manager import wait
from scenarios.journal_fields import catalogued
from sidecar import FILES, NORTH_PORT, SERVICE, SOCKETS, Line, Sidecar

MIGRATION = "00112233445566778899aabbccddeeff"


def both_ways(source, target):
    """What a guest on its way is to the sidecars."""
    there = os.urandom(300_000)
    source.socket.sendall(there)
    expect(target.receive(len(there)) == there, "all bytes came there")
    target.socket.sendall(b"and back")
    expect(source.receive(8) == b"and back", "and back")


@contextlib.contextmanager
def set_aside(path):
    """Without this file, or with another one in its place."""
    shutil.move(path, f"{path}.kept")
    try:
        yield
    finally:
        shutil.move(f"{path}.kept", path)


def remote_activation(host):
    """baton-remote starts when somebody connects, and its sandbox lets it do everything that it is for"""
    south = Sidecar(host)
    south.listen()
    north = south.start_north()
    expect(south.pid == 0, "nothing runs before somebody connects")
    # A host that wants to send a guest.
    refused = Line(north, "connect vm1 south.test").answer()
    expect(refused.startswith("error targetNotWaiting south.test refused:"), f"the other host is answered: {refused}")
    pid = south.pid
    expect(pid and show(SERVICE, "ActiveState") == "active", "its connection has started the service")
    expect(status_field(pid, "Uid") == run("id", "-u", "baton-remote").stdout.strip(), "it runs as baton-remote")
    for name in ("CapEff", "CapPrm", "CapBnd"):
        expect(int(status_field(pid, name), 16) == 0, f"{name} is empty")
    expect(status_field(pid, "Seccomp") == "2", "a filter of system calls is on")
    expect("certificate of south.test" in show(SERVICE, "StatusText"), "its status says whose certificate it has")
    both_ways(*south.link(north))
    # The other way round: looking up a name, connecting, and the registry of both hosts, which is one here.
    answer = south.ask(f"departure north.test:{NORTH_PORT} vm1 {MIGRATION}")
    expect(answer == "ok unknown unknown", f"an operator is answered: {answer}")
    expect(south.pid == pid, "all of that was one process")
    # And by the local socket alone.
    systemctl("stop", SERVICE)
    answer = south.ask(f"departure north.test:{NORTH_PORT} vm1 {MIGRATION}")
    expect(answer == "ok unknown unknown" and south.pid not in (0, pid), f"a local connection starts it: {answer}")


def remote_users(host):
    """who may connect is decided by the socket's permissions, who may ask for what by baton-remote"""
    south = Sidecar(host)
    south.listen()
    expect(south.ask("await vm1", "baton-vmm") == "waiting", "a VMM's user may wait for a guest")
    for user, line in (("baton-vmm", f"settle north.test vm1 {MIGRATION}"), ("vmm", "await vm2")):
        answer = south.ask(line, user)
        expect(answer.startswith("error wrongPeer "), f"{user} may not {line}: {answer}")
    try:
        Line(south.path, "await vm1", "nobody")
    except PermissionError:
        return
    expect(False, "nobody else may connect")


def remote_credentials(host):
    """certificate and key come as credentials: the files are root's, and without them the unit says what is missing"""
    south = Sidecar(host)
    systemctl("start", SERVICE)
    environment = run("cat", f"/proc/{south.pid}/environ").stdout.split("\0")
    folder = next(text for text in environment if text.startswith("CREDENTIALS_DIRECTORY=")).split("=", 1)[1]
    expect(sorted(os.listdir(folder)) == ["ca", "cert", "key"], f"{folder} has {os.listdir(folder)}")
    expect(os.stat(f"{FILES}/key.pem").st_uid == 0 and os.stat(FILES).st_mode & 0o77 == 0, "the key is root's alone")
    systemctl("stop", SERVICE)
    # A unit that is not started again and again, so that the first failure is the one to see.
    drop_in(SERVICE, "[Service]\nRestart=no\n", "once")
    systemctl("daemon-reload")
    with set_aside(f"{FILES}/key.pem"):
        expect(systemctl("start", SERVICE, check=False).returncode != 0, "it is not to start without the key")
        status = systemctl("status", "--no-pager", "-l", SERVICE, check=False).stdout
        expect(f"AssertPathExists={FILES}/key.pem was not met" in status, f"the status names the file: {status}")
    for name, text, sentence in (
            ("key.pem", "nonsense", "it holds no private key"), ("cert.pem", "nonsense", "it holds no certificate"),
            ("ca.pem", "", "it holds no certificate")):
        with set_aside(f"{FILES}/{name}"):
            with open(f"{FILES}/{name}", "w") as file:
                file.write(text)
            expect(systemctl("start", SERVICE, check=False).returncode != 0, f"it is not to start with such a {name}")
            south.wait_for_log(f"/{name.split('.', maxsplit=1)[0]} cannot be used: {sentence}")
            systemctl("reset-failed", SERVICE)
    # Somebody's unit without credentials.
    drop_in(SERVICE, "[Service]\nRestart=no\nLoadCredential=\n", "once")
    systemctl("daemon-reload")
    expect(systemctl("start", SERVICE, check=False).returncode != 0, "without credentials it does not start")
    south.wait_for_log("--cert FILE is missing, and there are no credentials of a service manager")
    expect(show(SERVICE, "ExecMainStatus") == "64", "its status says that the arguments are wrong")
    systemctl("reset-failed", SERVICE)
    forget_drop_ins("once")
    systemctl("daemon-reload")
    systemctl("start", SERVICE)


def remote_reload(host):
    """systemctl reload takes new certificates without a restart; guests on their way go on, bad ones change nothing"""
    south = Sidecar(host)
    south.listen()
    north = south.start_north()
    source, target = south.link(north)
    before = properties(SERVICE, "MainPID", "InvocationID", "NRestarts")

    def answer(name):
        return Line(north, f"connect vm2 {name}").answer()
    expect(answer("renewed.test").startswith("error wrongPeerName"), "the certificate has no other name yet")
    south.authority.issue(FILES, "south.test", "renewed.test")
    systemctl("reload", SERVICE)
    wait("the new certificate", lambda: answer("renewed.test").startswith("error targetNotWaiting"))
    both_ways(source, target)
    with open(f"{FILES}/cert.pem", "w") as file:
        file.write("nonsense")
    systemctl("reload", SERVICE)
    south.wait_for_log("certificates were not read again, those from before stay: /run/baton-remote/cert")
    expect(answer("renewed.test").startswith("error targetNotWaiting"), "the ones from before stay")
    # What is not there at all is told to whoever reloads.
    os.remove(f"{FILES}/cert.pem")
    expect(systemctl("reload", SERVICE, check=False).returncode != 0, "a file is missing")
    both_ways(source, target)
    after = properties(SERVICE, "MainPID", "InvocationID", "NRestarts")
    expect(after == before and show(SERVICE, "ActiveState") == "active", f"nothing was restarted: {before}, {after}")


def remote_stop(host):
    """it stops at once and properly: VMMs see the end of their connections, and the sockets go on"""
    south = Sidecar(host)
    south.listen()
    source, target = south.link(south.start_north())
    systemctl("stop", SERVICE)
    ended = properties(SERVICE, "ActiveState", "Result", "ExecMainStatus")
    expect(ended == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}, f"it ended as {ended}")
    expect(target.is_at_end() and source.is_at_end(), "both VMMs see the end")
    for unit in SOCKETS:
        expect(show(unit, "ActiveState") == "active", f"{unit} listens on")
    known = catalogued(host)
    said = journal_entries(south.began, f"_SYSTEMD_UNIT={SERVICE}", "SYSLOG_IDENTIFIER=baton-remote")
    about = [entry for entry in said if "guest vm1" in entry["MESSAGE"]]
    expect(len(about) >= 2, f"there is something to say of a guest: {json.dumps(said)}")
    expect(all(entry.get("BATON_VM") == "vm1" for entry in about), f"the field BATON_VM of {about}")
    expect(all(entry.get("MESSAGE_ID") in known for entry in said), f"ids that the catalog has: {json.dumps(said)}")
    # Killed, it comes back by itself.
    systemctl("start", SERVICE)
    pid = south.pid
    systemctl("kill", "-s", "KILL", SERVICE)
    wait("another process", lambda: south.pid not in (0, pid) and show(SERVICE, "ActiveState") == "active")
    systemctl("stop", *SOCKETS, SERVICE)


SCENARIOS = [remote_activation, remote_users, remote_credentials, remote_reload, remote_stop]
