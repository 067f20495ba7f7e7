"""VMMs by the way in which their guests' context moves."""

from manager import wait

# By what the guest's context moves: nothing, LOCAL_SEND's token, VM_MOVE_ENC_CONTEXT_FROM.
WAYS = {
    "none": {"sev": "none"},
    "token": {"sev": "model", "options": ["--handoff", "token"]},
    "move": {"sev": "model", "options": ["--handoff", "move"]},
}


def settled(host, guest, owner):
    """The guest is with this VMM, runs there, and nothing is left in the store."""
    def is_owner():
        known = host.guest(guest)
        return known.get("state") == "running" and known["owner"]["processId"] == owner.pid
    wait(f"{guest} with {owner.unit}", is_owner)
    owner.expect_good()
    wait("an empty store", lambda: host.stored == 0)


# The same for guests in slots, as settings.
SETTINGS = {
    "none": {},
    "token": {"SEV": "model", "HANDOFF": "token"},
    "move": {"SEV": "model", "HANDOFF": "move"},
}
