"""The sockets that systemd holds, and who starts when somebody connects."""

import os

from manager import expect, run, show, status_field, systemctl, wait
from vmm import VMM

CAP_KILL = 1 << 5


def socket_activation(host):
    """batond and sevmodeld start when somebody connects, on the sockets that systemd holds"""
    host.fresh()
    systemctl("stop", "batond.service", "sevmodeld.service")
    expect(host.pid == 0, "batond is not to run yet")
    expect("vm1" not in host.ctl("list").stdout, "no guest is there")
    expect(show("batond.service", "ActiveState") == "active", "the call has started batond")
    pid = host.pid
    expect(status_field(pid, "Uid") == run("id", "-u", "baton").stdout.strip(), "batond runs as baton")
    for name in ("CapEff", "CapPrm", "CapBnd"):
        expect(int(status_field(pid, name), 16) == CAP_KILL, f"{name} is CAP_KILL and nothing else")
    expect(status_field(pid, "Seccomp") == "2", "a filter of system calls is on")
    expect(show("batond.service", "StatusText") != "", "it says how it is")
    expect(show("sevmodeld.service", "MainPID") == "0", "the model is not to run yet")
    VMM(host, sev="model").wait_for("running")
    expect(show("sevmodeld.service", "ActiveState") == "active", "the VMM has started the model")
    wait("the status", lambda: show("batond.service", "StatusText").startswith("1 guest"))
    systemctl("stop", "batond.service")
    expect(os.path.exists("/run/baton/registry.journal"), "the journal outlives the service")
    expect(os.path.exists("/run/baton/handoff"), "the sockets are the units'")


def stray_socket(host):
    """a socket of an unknown name is closed and said"""
    host.fresh()
    systemctl("stop", "batond.service")
    with open("/run/systemd/system/stray.socket", "w") as file:
        file.write("[Socket]\nListenStream=/run/t/stray\nFileDescriptorName=nobody-knows\nService=batond.service\n")
    with open("/run/systemd/system/batond.service.d/stray.conf", "w") as file:
        file.write("[Service]\nSockets=stray.socket\n")
    try:
        systemctl("daemon-reload")
        systemctl("start", "stray.socket")
        systemctl("start", "batond.service")
        host.wait_for_log("nobody-knows was passed")
        expect(host.ctl("list").returncode == 0, "it serves its own sockets")
    finally:
        os.remove("/run/systemd/system/batond.service.d/stray.conf")
        systemctl("stop", "stray.socket")
        os.remove("/run/systemd/system/stray.socket")
        systemctl("daemon-reload")


SCENARIOS = [socket_activation, stray_socket]
