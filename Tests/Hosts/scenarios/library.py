"""Guests that migrate by libbaton: the C example and baton-vmm send them to each other."""

import re
import shutil
import signal

import linux
from checks import Skipped, expect, wait
from pair import PATIENCE
from refusing import expect_refused, refused
from scenario import Scenario, named
from scenarios import journeys, orders, plans
from vmm import BatonVMM, LibraryVMM

# Who has the guest at first, and who gets it.
SIDES = (("c", "swift"), ("swift", "c"), ("c", "c"))


def kind(pair, name):
    return pair.library_vmm if name == "c" else BatonVMM


def go(pair, plan, sides):
    """North to south, and back."""
    owner = pair.start(pair.north, plan, kind=kind(pair, sides[0]))
    owner.expect_good()
    lines = []
    for number in range(2):
        before = owner
        owner, said = pair.move(owner, plan, kind=kind(pair, sides[(number + 1) % 2]))
        owner.expect_good()
        epoch = pair.owned(owner, plan)["epoch"]
        expect(epoch == number + 2, f"epoch {epoch} after {number + 1} migrations")
        journeys.expect_no_overlap(before, owner)
        lines.append(journeys.figures(said))
    return lines


def valgrind(pair, _):
    """under valgrind, a guest goes from a VMM with libbaton to another: nothing leaks, no descriptor is lost"""
    if not shutil.which("valgrind"):
        raise Skipped("valgrind is not installed")
    pair.prepare()
    log = f"{pair.folder}/valgrind"
    # What the Swift compiler copies of an enum has bits that nobody has set.
    kind = LibraryVMM(pair.examples, shutil.which("valgrind"), "-q", "--undef-value-errors=no", "--leak-check=full",
                      "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite", "--track-fds=yes",
                      "--error-exitcode=9", f"--log-file={log}-%p")
    plan = pair.plan(memory="16M", sev="none", duty=1)
    source = pair.start(pair.north, plan, kind=kind)
    target, said = pair.move(source, plan, kind=kind, seconds=300)
    target.process.stop()
    for vmm in (source, target):
        with open(f"{log}-{vmm.pid}") as file:
            text = file.read()
        # What it came with is not lost: the standard ones, what this test has open, and the log itself.
        lost = [number for number, place in re.findall(r"Open file descriptor (\d+):(.*\n.*)", text)
                if int(number) > 2 and "<inherited" not in place and log not in place]
        expect(vmm.process.status == 0, f"{vmm.process.name} ended with {vmm.process.status}: {text}")
        expect(not lost, f"{vmm.process.name} lost the descriptors {lost}: {text}")
    return [journeys.figures(said)]


def journey(name, text, sides, is_quick=True, model=(), **settings):
    def body(pair, _):
        missing = linux.missing_kvm() if settings.get("vcpu") == "kvm" else None
        if missing:
            raise Skipped(missing)
        pair.prepare(model=model)
        return go(pair, pair.plan(**settings), sides)
    return Scenario(f"library_{name}_{sides[0]}_{sides[1]}", f"{text} goes from {sides[0]} to {sides[1]} and back", body,
                    is_quick)


# Refusals


def other_size(pair, _):
    """a VMM with libbaton that waits for a guest of another size declines it: successorDeclined"""
    pair.prepare()
    return refused(pair, "successorDeclined", waits=["--vcpus", "1"], words=["another number of vCPUs"], sev="none",
                   kind=pair.library_vmm)


def disk(pair, _):
    """a guest of a VMM with libbaton that has a disk of its host stays: sourceDeclined"""
    pair.prepare()
    image = f"{pair.folder}/library.disk"
    with open(image, "wb") as file:
        file.truncate(1 << 20)
    return refused(pair, "sourceDeclined", source=["--disk", image], words=["descriptors of this host, such as disk"],
                   sev="none", kind=pair.library_vmm)


def not_allowed(pair, _):
    """a VMM with libbaton that has not said that its guest may migrate is not asked: sourceDeclined"""
    pair.prepare()
    plan = pair.plan(sev="none")
    owner = pair.start(pair.north, plan, kind=LibraryVMM(pair.examples, program="guest-vmm-cpp"))
    return expect_refused(pair, owner, plan, "sourceDeclined", words=["cannot be migrated to another host"])


def distrust(pair, _):
    """a SEV guest of a VMM with libbaton does not go where only the model's test root vouches: certificateInvalid"""
    pair.prepare()
    kind = LibraryVMM(pair.examples)
    kind.trusts_model_root = False
    return refused(pair, "certificateInvalid", kind=kind)


def chipless(pair, _):
    """a SEV guest does not come to a VMM with libbaton that was given another host's certificates: certificateInvalid"""
    pair.prepare()
    return refused(pair, "certificateInvalid", waits=["--signed-cek", f"{pair.north.folder}/cek.cert"],
                   kind=pair.library_vmm)


def parked(pair, _):
    """a VMM with libbaton that is asked for a restart while its guest migrates parks it: the migration gives way"""
    pair.prepare(model=plans.SLOW)
    plan = pair.plan(memory="64M", duty=5)
    owner = pair.start(pair.north, plan, kind=pair.library_vmm)
    target = pair.wait_for_guest(pair.south, plan, kind=pair.library_vmm)
    command = pair.begin(owner, plan, *PATIENCE)
    # The first time for the plan, the second for the guest itself.
    owner.wait_for("migrationStarted", 2)
    target.wait_for("arriving", 2)
    owner.process.signal(signal.SIGHUP)
    status = owner.process.wait_for_end()
    expect(status == 0, f"the VMM ended with {status}")
    owner.wait_for("migrationFailed")
    status = command.wait_for_end()
    expect(status not in (0, None), f"batonctl migrate ended with {status}, though the guest stayed")
    wait("custody", lambda: pair.north.guest(plan.name)["state"] == "waiting")
    target.wait_for("arrivalFailed")
    expect(not target.said("running"), "the guest runs at the target")
    following = pair.vmm(pair.north, plan, kind=pair.library_vmm)
    following.wait_for("running")
    following.expect_good()
    pair.console(plan).expect_whole()


def also(function):
    """A scenario of another module, with VMMs of libbaton."""
    return Scenario(f"library_{function.__name__}", f"VMMs with libbaton: {function.__doc__}",
                    lambda pair, is_full: function(pair, is_full, pair.library_vmm))


def scenarios():
    return [
        *(journey("plain", "a plain guest of 64 MiB", sides, memory="64M", sev="none", duty=5) for sides in SIDES),
        *(journey("sev", "a SEV guest", sides, sides == ("c", "swift"), duty=5) for sides in SIDES),
        journey("sev_move", "a SEV guest of a kernel without tokens", ("c", "swift"),
                model=("--profile", "mainline-6.11"), duty=5),
        *(journey("kvm", "a plain guest with real vCPUs", sides, sides == ("c", "swift"), memory="64M", sev="none",
                  vcpu="kvm", duty=100) for sides in SIDES),
        # Its RAM lies around the hole for devices.
        journey("large", "a plain guest of 3200 MiB with real vCPUs", ("c", "swift"), False, memory="3200M", sev="none",
                vcpu="kvm", duty=100),
        *(named(body, "library") for body in (valgrind, other_size, disk, not_allowed, distrust, chipless, parked)),
        *(also(body) for body in (plans.plan_only, plans.cancelled, orders.under_way, orders.cancel_too_late)),
    ]
