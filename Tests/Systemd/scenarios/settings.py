"""A guest's settings: what is wrong is said with the key's name, and starts nothing."""

from guest import Guest
from manager import expect, systemctl

# What is wrong, and what the message has to name.
MISTAKES = [
    ({"MEMORY": None}, "BATON_MEMORY"),
    ({"MEMORY": "lots"}, "BATON_MEMORY"),
    ({"VCPUS": "many"}, "BATON_VCPUS"),
    ({"VCPU": "quantum"}, "BATON_VCPU"),
    ({"SEV": "maybe"}, "BATON_SEV"),
    ({"SEV_ES": "perhaps"}, "BATON_SEV_ES"),
    ({"HANDOFF": "carry"}, "BATON_HANDOFF"),
    ({"HUGEPAGES": "3M"}, "BATON_HUGEPAGES"),
    ({"DUTY": "110"}, "BATON_DUTY"),
    ({"CUSTODY": "sometimes"}, "BATON_CUSTODY"),
    ({"MEMROY": "16M"}, "BATON_MEMROY"),
]


def mistakes_are_named(host):
    """a missing, unknown or wrong setting fails the start with the key's name and status 64"""
    host.fresh()
    for number, (change, key) in enumerate(MISTAKES):
        guest = Guest(host, f"wrong{number}", **change)
        status = guest.failed_start("a")
        guest.expect_unit("a", ActiveState="failed", ExecMainStatus="64")
        said = [line for line in (status + guest.said()).splitlines() if key in line]
        expect(said, f"{change}: the message is to name {key}\n{status}")
        expect(not host.guest(guest.name), "the registry never heard of it")


def no_settings_at_all(host):
    """a guest without a file of settings fails to start, and the message says which key is missing"""
    host.fresh()
    done = systemctl("start", "baton-vmm-a@nobody.service", check=False)
    expect(done.returncode != 0, "it is not to start")
    status = systemctl("status", "-l", "--no-pager", "baton-vmm-a@nobody.service", check=False).stdout
    expect("BATON_MEMORY" in status, status)


def bad_names(host):
    """a unit whose instance is no guest's name does not become a guest"""
    host.fresh()
    for name in ("-x", ".x", "a:b", "x" * 64):
        Guest(host, name)
        done = systemctl("start", f"baton-vmm-a@{name}.service", check=False)
        expect(done.returncode != 0, f"{name} is not to start")
    expect(not host.ctl("--json", "list").stdout.strip(), "no guest is there")
    for name in ("a", "A-b.c_d", "vm-1", "0" * 63):
        guest = Guest(host, name).start()
        guest.settled("a")
        guest.upgrade("b")


SCENARIOS = [mistakes_are_named, no_settings_at_all, bad_names]
