"""Whoever does not let go is ended, across users."""

from manager import expect, status_field, wait
from vmm import VMM


def fence(host):
    """the shipped unit ends a VMM of another user that does not let go, and names its unit"""
    host.fresh(options="--release-ms 1000")
    source = VMM(host, user="vmm", options=["--misbehave", "run-after-release"])
    source.wait_for("running")
    expect(status_field(source.pid, "Uid") != "0", "the VMM is another user's")
    text = host.ctl("preflight", "vm1", check=False).stdout
    expect(f"may end process {source.pid}" in text, text)
    expect(source.unit in host.ctl("--json", "show", "vm1").stdout, host.ctl("--json", "show", "vm1").stdout)
    successor = VMM(host, user="vmm")
    # Two run the guest now until one is ended; what that does to it is not looked at.
    wait("the fence", lambda: not source.is_alive)
    expect(host.guest("vm1").get("owner", {}).get("processId") == successor.pid, "the successor owns the guest")
    expect(successor.is_alive, "and is not ended")
    host.wait_for_log("ended by the fence")


SCENARIOS = [fence]
