"""A migration that has to be refused by name, and leaves the guest where it was."""

import json
import os
import subprocess
import sys

from checks import expect
from pair import PATIENCE
from vmm import BatonVMM

HERE = os.path.dirname(os.path.abspath(__file__))


def expect_refused(pair, owner, plan, name, *options, to=None, words=()):
    """batonctl migrate fails with this refusal and says these words, and the guest runs on. Returns the sentence."""
    status, said, errors = pair.migrate(owner, plan, *PATIENCE, *options, to=to)
    text = "\n".join([errors, *(json.dumps(line) for line in said[-1:])])
    expect(status not in (0, None), f"batonctl migrate went through with {status}\n{text}")
    for word in (name, *words):
        expect(word in errors, f"batonctl does not say '{word}'\n{text}")
    owner.expect_good()
    guest = owner.host.guest(plan.name)
    expect(guest["state"] == "running" and guest["epoch"] == 1, f"after a refused migration the registry says {guest}")
    pair.console(plan).expect_whole()
    return errors.strip().splitlines()[-1:] or [text]


def refused(pair, name, *, to=None, target=True, source=(), waits=(), words=(), kind=BatonVMM, **settings):
    """A guest at north that cannot go to south; `source` and `waits` are options of the source's and the target's VMM."""
    plan = pair.plan(**settings)
    owner = pair.start(pair.north, plan, *source, kind=kind)
    if target:
        waiting = pair.wait_for_guest(pair.south, plan, *waits, kind=kind)
    said = expect_refused(pair, owner, plan, name, to=to, words=words)
    if target:
        expect(not waiting.said("running"), "the guest runs at the target all the same")
    return said


def meddled(pair, how, refusal, *, source=(), words=()):
    """A migration whose stream goes through hands that change it, see meddler.py."""
    path = "/run/baton/meddled.sock"
    meddler = pair.north.start(
        sys.executable, os.path.join(HERE, "meddler.py"), path, "/run/baton/remote.sock", *how, name="meddler",
        stdout=subprocess.PIPE)
    expect(meddler.child.stdout.readline() == b"ready\n", f"the meddler is not ready\n{meddler.tail()}")
    try:
        return refused(pair, refusal, source=["--remote-socket", path, *source], words=words)
    finally:
        meddler.kill()
        meddler.child.stdout.close()
        os.unlink(pair.north.path("meddled.sock"))
