"""What the registry writes into the journal, for programs."""

import glob
import re

from guest import Guest
from manager import expect, journal_entries, wait


def catalogued(host):
    """The ids that the catalog has a text for."""
    ids = set()
    for path in glob.glob(f"{host.prefix}/lib/systemd/catalog/*.catalog"):
        with open(path) as file:
            ids |= set(re.findall(r"^-- ([0-9a-f]{32})$", file.read(), re.M))
    return ids


def journal_fields(host):
    """every message about a guest names it in a field, and has an id that the catalog explains"""
    host.fresh()
    guest = Guest(host).start()
    guest.settled("a")
    guest.arm("b", CRASH_AT="successorReady")
    guest.failed_start("b")
    guest.arm("b")
    host.ctl("upgrade", "vm1")
    guest.settled("b")
    guest.restart("b")
    guest.kill("b")
    host.wait_for_state("vm1", "ended")
    host.wait_for_log("guest vm1 has ended")
    said = journal_entries(host.began, "_SYSTEMD_UNIT=batond.service")
    about = [entry for entry in said if "guest vm1" in entry["MESSAGE"]]
    expect(len(about) >= 10, f"there is much to say: {about}")
    known = catalogued(host)
    for entry in about:
        expect(entry.get("BATON_VM") == "vm1", f"the field BATON_VM of {entry}")
        expect(entry.get("MESSAGE_ID") in known, f"an id with a text for {entry}")
        if re.search(r"handoff \d+", entry["MESSAGE"]):
            expect(entry.get("BATON_HANDOFF", "").isdigit(), f"the field BATON_HANDOFF of {entry}")
    one = wait("a commit", lambda: [entry for entry in about if "is committed" in entry["MESSAGE"]])[0]
    sentences = {entry["MESSAGE_ID"] for entry in about}
    expect(len(sentences) >= 6, f"different kinds have different ids: {sentences}")
    expect(all("committed" in entry["MESSAGE"] for entry in about if entry["MESSAGE_ID"] == one["MESSAGE_ID"]),
           "and one kind has one")


SCENARIOS = [journal_fields]
