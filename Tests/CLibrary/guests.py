"""The reference guest, handed on between guest_vmm.c, guest_vmm.cpp, guest_vmm.rs and baton-vmm in every way, and what
becomes of it when one of the processes dies at each step of the failure table (Docs/failures.md).

Usage: guests.py --bin-dir DIR --preload LIBRARY --crash-points LIBRARY [--all] LANGUAGE=PROGRAM…

--all crosses every crash point with every language; without it the languages take turns. The last line is
`N passed, N failed`.
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

WAYS = ("none", "token", "move")
# The registry's deadlines are for what is measured; here the machine may be busy with other scenarios.
PATIENT = ("--freeze-ms", "10000", "--claim-ms", "10000", "--release-ms", "20000")


class Failed(AssertionError):
    """Something did not go as it should."""


def expect(condition, what):
    if not condition:
        raise Failed(what)


def until(what, condition, seconds=40):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise Failed(f"{what} did not come within {seconds} s")


class Setup:
    """What all scenarios share: the programs, and one SEV model for all guests."""

    def __init__(self, arguments):
        self.bin_dir = arguments.bin_dir
        self.preload = arguments.preload
        self.crash_points = arguments.crash_points
        self.programs = dict(program.split("=", 1) for program in arguments.programs)
        self.folder = tempfile.mkdtemp(prefix="baton-guests-")
        self.model_socket = f"{self.folder}/sevmodeld"
        pins = [] if os.geteuid() == 0 else ["--no-memlock"]
        self.model = subprocess.Popen(
            [f"{self.bin_dir}/sevmodeld", "--socket", self.model_socket, "--asids", "400", "--es-asids", "100", *pins],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("the SEV model", lambda: os.path.exists(self.model_socket))

    def close(self):
        self.model.kill()
        self.model.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class VMM:
    """A VMM process and what it says."""

    def __init__(self, host, language, arguments, environment):
        self.language = language
        self.events = f"{host.folder}/events-{len(host.vmms)}"
        self.errors = f"{host.folder}/errors-{len(host.vmms)}"
        with open(self.errors, "w") as errors:
            self.process = subprocess.Popen(
                [*arguments, "--events", self.events], stdin=subprocess.DEVNULL, stderr=errors,
                env={**os.environ, **environment})
        self.pid = self.process.pid

    def said(self, name=None):
        if not os.path.exists(self.events):
            return []
        with open(self.events) as file:
            # A line that is being written is not there yet.
            events = [json.loads(line) for line in file.read().split("\n")[:-1]]
        return [event for event in events if name in (None, event["event"])]

    def wait_for(self, name, skipping=0):
        def found():
            events = self.said(name)
            if len(events) > skipping:
                return events[skipping]
            if self.process.poll() is not None and len(self.said(name)) <= skipping:
                raise Failed(f"{self} ended without the event {name}: {self.errors_text()}")
            return None
        return until(f"{name} of {self}", found)

    def report(self):
        before = len(self.said("report"))
        self.process.send_signal(signal.SIGUSR1)
        return self.wait_for("report", before)["report"]

    def ended(self):
        try:
            return self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self} does not end") from None

    def errors_text(self):
        with open(self.errors) as file:
            return file.read()[-600:]

    def __str__(self):
        return f"{self.language} process {self.pid}"


class Host:
    """A registry of its own, and the VMMs of one guest."""

    def __init__(self, setup, way, custody=True, vcpu="software", encrypted=False, crash_at=None, under=None,
                 registry_options=PATIENT):
        self.setup, self.way, self.custody, self.vcpu, self.encrypted = setup, way, custody, vcpu, encrypted
        self.under = under or {}
        self.registry_options = registry_options
        self.folder = tempfile.mkdtemp(prefix="host-", dir=setup.folder)
        self.console = f"{self.folder}/console"
        self.disk = f"{self.folder}/disk"
        self.vmms = []
        self.registries = []
        self.start_registry(crash_at)

    def start_registry(self, crash_at=None):
        groups = [] if os.geteuid() == 0 else ["--admin-group", str(os.getegid())]
        self.registry = subprocess.Popen(
            [f"{self.setup.bin_dir}/batond", "--runtime-directory", self.folder, "--quiet", "--settle-ms", "300",
             *groups, *self.registry_options],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "BATON_CRASH_AT": crash_at or ""})
        self.registries.append(self.registry)
        until("the registry", lambda: self.guest() is not None or self.registry.poll() is not None)

    def arguments(self, language):
        """The command line, the same for the first owner and every successor; and the environment."""
        common = ["--vm", "vm1", "--registry", f"{self.folder}/handoff", "--memory", "16M", "--vcpu", self.vcpu,
                  "--duty", "15" if self.vcpu == "software" else "100"]
        if not self.custody:
            common.append("--no-custody")
        first = not self.vmms
        if first:
            common += ["--console", self.console]
            common += ["--disk", self.disk]
        if self.encrypted and (first or language == "swift"):
            common.append("--sev-es")
        if language == "swift":
            if self.way != "none":
                common += ["--sev", "model", "--handoff", self.way, "--model-socket", self.setup.model_socket]
            return [f"{self.setup.bin_dir}/baton-vmm", *common], {}
        environment = {}
        if self.way != "none":
            common += ["--sev", self.way]
            environment = {"SEVMODEL_SOCKET": self.setup.model_socket, "LD_PRELOAD": self.setup.preload,
                           "SEVMODEL_KVM": "stand-in" if self.vcpu == "software" else "auto"}
        return [*self.under.get(language, []), self.setup.programs[language], *common], environment

    def start(self, language, crash_at=None):
        arguments, environment = self.arguments(language)
        if crash_at is not None:
            environment["BATON_CRASH_AT"] = crash_at
            if language != "swift":
                libraries = [self.setup.crash_points, environment.get("LD_PRELOAD", "")]
                environment["LD_PRELOAD"] = ":".join(library for library in libraries if library)
        vmm = VMM(self, language, arguments, environment)
        self.vmms.append(vmm)
        return vmm

    def begin(self, language, crash_at=None):
        """The guest's first owner, which runs it."""
        vmm = self.start(language, crash_at)
        vmm.wait_for("running")
        return vmm

    def guest(self):
        """What the registry says of the guest; None if there is no answer, {} if it knows none."""
        done = subprocess.run(
            [f"{self.setup.bin_dir}/batonctl", "--json", "--socket", f"{self.folder}/varlink", "list"],
            capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            return None
        guests = [json.loads(line) for line in done.stdout.splitlines()]
        return next((guest for guest in guests if guest["name"] == "vm1"), {})

    def wait_for_guest(self, what, condition):
        last = []

        def found():
            guest = self.guest()
            if guest:
                last[:] = [guest]
                if condition(guest):
                    return guest
            return None
        try:
            return until(what, found)
        except Failed as error:
            raise Failed(f"{error}; the registry said {last}; {[vmm.errors_text() for vmm in self.vmms]}") from None

    def rests(self, vmm):
        return lambda guest: is_running(guest) and owner(guest) == vmm.pid

    # Checks

    def expect_runs(self, vmm):
        """The guest goes on in this process, and nothing is wrong with it."""
        before = vmm.report()
        after = until(f"the guest to go on in {vmm}",
                      lambda: next((r for r in [vmm.report()] if r["counter"] > before["counter"]), None))
        expect(after["problems"] == [], f"the guest in {vmm} says {after['problems']}")
        for other in self.vmms:
            # Nobody else may be alive with a guest that runs.
            if other is not vmm and other.process.poll() is None:
                expect(not other.said("running") or other.said("released") or other.said("staged"),
                       f"{other} has run the guest and was not released")
        if self.way != "none":
            states = [event.get("guestState") for event in vmm.said("report")]
            expect(states[-1] == 3, f"the firmware knows the guest as {states[-1]}, not as running")
        return after

    def expect_whole(self):
        """Nothing that the guest ever said or wrote is missing or there twice."""
        with open(self.console) as file:
            lines = file.read().split("\n")[:-1]
        numbers = [int(line.removeprefix("guest ")) for line in lines]
        expect(numbers == list(range(len(numbers))), f"the console has gaps or repetitions: {numbers[-20:]}")
        expect(len(numbers) > 3, "the guest said nothing")
        with open(self.disk, "rb") as file:
            image = file.read()
        words = [struct.unpack_from("<QQQQ", image, place) for place in range(0, len(image), 512)]
        written = sorted(number for magic, number, _, check in words
                         if magic == 0x4B5349444E544142 and check == number ^ magic)
        expect(written == list(range(1, len(written) + 1)), f"the disk has gaps: {written}")

    def hand_over(self, source, language):
        """One handoff without failures."""
        successor = self.start(language)
        expect(source.ended() == 0, f"{source} ended with {source.process.returncode}: {source.errors_text()}")
        successor.wait_for("running")
        self.wait_for_guest(f"the guest in {successor}", lambda guest: self.rests(successor)(guest) and not busy(guest))
        return successor

    def end(self, vmm):
        vmm.process.send_signal(signal.SIGINT)
        expect(vmm.ended() == 0, f"{vmm} ended with {vmm.process.returncode}: {vmm.errors_text()}")
        self.expect_whole()

    def close(self):
        for vmm in self.vmms:
            if vmm.process.poll() is None:
                vmm.process.kill()
            vmm.process.wait()
        for registry in self.registries:
            registry.kill()
            registry.wait()


def is_running(guest):
    return guest.get("state") == "running"


def owner(guest):
    return (guest.get("owner") or {}).get("processId")


def busy(guest):
    return guest.get("handoff") is not None


# ---- handoffs without failures ----


def chain(setup, languages, way, **options):
    """Each language hands the guest to the next one."""
    host = Host(setup, way, **options)
    try:
        vmm = host.begin(languages[0])
        counter = 0
        for language in languages[1:]:
            report = host.expect_runs(vmm)
            expect(report["counter"] > counter, "the guest's counter went back")
            counter = report["counter"]
            vmm = host.hand_over(vmm, language)
        host.expect_runs(vmm)
        expect(vmm.said("running")[0]["epoch"] == len(languages), f"epoch {vmm.said('running')}")
        host.end(vmm)
    finally:
        host.close()


# ---- deaths: the failure table ----

CUSTODIES = (("none", True), ("token", True), ("token", False), ("move", True), ("move", False))


def named(way, custody):
    return way if custody else f"{way} without custody"


def rest_of_source(point, way, custody):
    if point in ("sourcePrepare", "sourceOffered", "sourceFrozen", "sourceContextSent"):
        return {"ended"}
    # Staged: without custody the receive has to win the race against the VM's last close.
    return {"successor", "lost"} if point == "sourceStaged" and way == "token" and not custody else {"successor"}


def rest_of_successor(point, way, custody):
    if point in ("successorOffered", "successorReady", "successorClaimed"):
        return {"source"}
    if point == "successorRunning":
        return {"ended"}
    # The context is in a process that is gone: a plain guest has none, a moved one's VM may be in custody.
    back = "source" if way == "none" or (way == "move" and custody) else "lost"
    # The record of the receive and the death race: the commit needs a living successor.
    return {back} if point == "successorContextReceived" else {back, "ended"}


def where(guest, source, successor):
    if is_running(guest):
        return {source.pid: "source", successor.pid: "successor"}.get(owner(guest), "elsewhere")
    return guest.get("state")


def settle(host, rests, source, successor):
    guest = host.wait_for_guest(
        f"the guest at rest: {rests}", lambda guest: not busy(guest) and where(guest, source, successor) in rests)
    return where(guest, source, successor)


def go_on_from(host, vmm):
    """The guest is whole, and can be handed over once more."""
    vmm.wait_for("running")
    host.expect_runs(vmm)
    host.end(host.hand_over(vmm, "swift"))


def source_dies(setup, languages, point, way, custody):
    host = Host(setup, way, custody)
    try:
        source = host.begin(languages[0], crash_at=point)
        successor = host.start(languages[1])
        expect(source.ended() == -signal.SIGKILL, f"{source} did not come to {point}")
        if settle(host, rest_of_source(point, way, custody), source, successor) == "successor":
            go_on_from(host, successor)
    finally:
        host.close()


def successor_dies(setup, languages, point, way, custody):
    host = Host(setup, way, custody)
    try:
        source = host.begin(languages[0])
        successor = host.start(languages[1], crash_at=point)
        expect(successor.ended() == -signal.SIGKILL, f"{successor} did not come to {point}")
        if settle(host, rest_of_successor(point, way, custody), source, successor) == "source":
            go_on_from(host, source)
    finally:
        host.close()


def both_die(setup, languages, way):
    """The source that staged and the claimant that received: the next claimant finds out."""
    host = Host(setup, way)
    try:
        source = host.begin(languages[0], crash_at="sourceStaged")
        successor = host.start(languages[1], crash_at="successorContextReceived")
        expect(source.ended() == -signal.SIGKILL, f"{source} did not come to its end")
        expect(successor.ended() == -signal.SIGKILL, f"{successor} did not come to its end")
        # A plain guest that was given back to a source that was just dying ended with it.
        rests = ("waiting", "staged", "ended") if way == "none" else ("waiting", "staged")
        guest = host.wait_for_guest("the guest in custody", lambda guest: guest["state"] in rests)
        if guest["state"] == "ended":
            return
        following = host.start(languages[2])
        if way == "token":
            host.wait_for_guest("the guest to be lost", lambda guest: guest["state"] == "lost")
            expect(following.ended() != 0, "a claimant of a used token ended as if all was well")
            expect(not following.said("running"), "a guest ran whose token was used")
        else:
            following.wait_for("running")
            go_on_from(host, following)
    finally:
        host.close()


REGISTRY_POINTS = (
    "afterJournalAttempt", "afterPrepareSent", "afterOfferKept", "afterOfferedSent", "afterFreezeSent",
    "beforeJournalStaged", "afterJournalStaged", "afterJournalClaimed", "afterClaimSent", "beforeJournalCommit",
    "afterJournalCommit", "afterRunSent:2", "afterReleaseSent")
ROLLBACK_POINTS = ("afterJournalRollback", "afterTakeBackSent", "afterJournalTakenBack")


def registry_dies(setup, languages, point, way, custody):
    host = Host(setup, way, custody, crash_at=point)
    try:
        source = host.begin(languages[0])
        successor = host.start(languages[1])
        expect(host.registry.wait(timeout=40) == -signal.SIGKILL, f"the registry did not come to {point}")
        host.start_registry()

        def is_at_rest(guest):
            if not is_running(guest) or busy(guest):
                return False
            return owner(guest) == successor.pid or (
                owner(guest) == source.pid and successor.process.poll() is not None)
        guest = host.wait_for_guest("the guest in one process", is_at_rest)
        go_on_from(host, source if owner(guest) == source.pid else successor)
    finally:
        host.close()


def registry_dies_while_taking_back(setup, languages, point, way, custody):
    host = Host(setup, way, custody, crash_at=point)
    try:
        source = host.begin(languages[0])
        successor = host.start(languages[1], crash_at="successorClaimed")
        expect(host.registry.wait(timeout=40) == -signal.SIGKILL, f"the registry did not come to {point}")
        expect(successor.ended() == -signal.SIGKILL, f"{successor} did not come to its end")
        host.start_registry()
        host.wait_for_guest("the guest back at its source", host.rests(source))
        go_on_from(host, source)
    finally:
        host.close()


def parked(setup, languages, way):
    """SIGHUP: the guest waits in custody until a next process takes it."""
    host = Host(setup, way)
    try:
        vmm = host.begin(languages[0])
        for language in languages[1:]:
            vmm.process.send_signal(signal.SIGHUP)
            expect(vmm.ended() == 0, f"{vmm} was not let go: {vmm.errors_text()}")
            host.wait_for_guest("the guest in custody", lambda guest: guest["state"] == "waiting")
            vmm = host.start(language)
            vmm.wait_for("running")
            host.expect_runs(vmm)
        host.end(vmm)
    finally:
        host.close()


SLOW = ("--prepare-ms", "120000", "--freeze-ms", "60000", "--claim-ms", "60000", "--release-ms", "60000")


def under_valgrind(setup):
    """As first owner, as successor and as the one that ends the guest: nothing leaks, no descriptor is lost."""
    log = f"{setup.folder}/valgrind"
    valgrind = ["valgrind", "-q", "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite",
                "--track-fds=yes", "--error-exitcode=9", f"--log-file={log}-%p"]
    host = Host(setup, "none", under={"c": valgrind}, registry_options=SLOW)
    try:
        vmm = host.begin("c")
        for language in ("swift", "c"):
            host.expect_runs(vmm)
            vmm = host.hand_over(vmm, language)
        host.expect_runs(vmm)
        host.end(vmm)
        for vmm in host.vmms:
            if vmm.language == "c":
                with open(f"{log}-{vmm.pid}") as file:
                    said = file.read()
                lost = [line for line in said.splitlines()
                        if "Open file descriptor" in line and log not in line
                        and line.split("descriptor ")[1][0] not in "012"]
                expect(not lost, f"{vmm} lost descriptors: {said}")
    finally:
        host.close()


def kvm_opens():
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
        return True
    except OSError:
        return False


# ---- which scenarios there are ----


def scenarios(arguments, others):
    """Names and calls. Each death happens to a VMM of one language, and its partner is baton-vmm or another one."""
    for way in WAYS:
        ten = [("c", "swift")[number % 2] for number in range(11)]
        yield f"{way}: ten handoffs, C and baton-vmm in turns", chain, (ten, way), {}
        for language in others:
            yield f"{way}: baton-vmm to {language} and back", chain, (["swift", language, "swift"], way), {}
        if len(others) > 0:
            yield f"{way}: the C languages among themselves", chain, (["c", *others, "c"], way), {}
        # baton-vmm is parked by its unit only, which Tests/Systemd shows.
        yield f"{way}: parked, taken by the next one", parked, (["c", *others, "c", "swift"], way), {}
        if kvm_opens():
            yield f"{way}: real vCPUs, C and baton-vmm in turns", chain, (["c", "swift", "c", "swift"], way), {"vcpu": "kvm"}
    yield "move: encrypted registers (SEV-ES)", chain, (["swift", "c", "swift", "c"], "move"), {"encrypted": True}

    if "c-sanitized" in arguments.known:
        for way in WAYS:
            yield (f"{way}: under gcc's sanitizers, in turns with baton-vmm", chain,
                   (["c-sanitized", "swift", "c-sanitized"], way), {"registry_options": SLOW})
    if shutil.which("valgrind"):
        yield "none: under valgrind, in turns with baton-vmm", under_valgrind, (), {}

    languages = ["c", *others]
    turn = itertools.cycle(languages)
    partner = itertools.cycle(["swift", "c"])

    def whose():
        return languages if arguments.all else [next(turn)]

    for way, custody in CUSTODIES:
        for point in ("sourcePrepare", "sourceOffered", "sourceFrozen", "sourceContextSent", "sourceStaged",
                      "sourceReleased"):
            if point == "sourceContextSent" and way != "token":
                continue
            for language in whose():
                yield (f"{named(way, custody)}: {point} kills a source in {language}", source_dies,
                       ([language, next(partner)], point, way, custody), {})
        for point in ("successorOffered", "successorReady", "successorClaimed", "successorContextReceived",
                      "successorReceived", "successorRunning"):
            for language in whose():
                # The source is the one that takes back.
                yield (f"{named(way, custody)}: {point} kills a successor in {language}", successor_dies,
                       ([next(turn), language], point, way, custody), {})
                if arguments.all:
                    yield (f"{named(way, custody)}: {point} kills baton-vmm, the source is in {language}", successor_dies,
                           ([language, "swift"], point, way, custody), {})
        for point in REGISTRY_POINTS:
            for language in whose():
                yield (f"{named(way, custody)}: {point} kills the registry, {language} and a partner", registry_dies,
                       ([language, next(partner)], point, way, custody), {})
        for point in ROLLBACK_POINTS:
            # A plain guest is not ordered to take back: it runs after the claimant's seen death.
            if point == "afterTakeBackSent" and way == "none":
                continue
            for language in whose():
                yield (f"{named(way, custody)}: {point} kills the registry, the source in {language} takes back",
                       registry_dies_while_taking_back, ([language, next(partner)], point, way, custody), {})
    for way in WAYS:
        yield f"{way}: source and claimant die", both_die, (["c", next(turn), "c"], way), {}


def run(setup, call, positional, options):
    try:
        call(setup, *positional, **options)
        return None
    except (Failed, subprocess.SubprocessError, OSError, ValueError, KeyError, IndexError) as error:
        return f"{type(error).__name__}: {error}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin-dir", required=True)
    parser.add_argument("--preload", required=True)
    parser.add_argument("--crash-points", required=True)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", default="", help="only scenarios whose name has this in it")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("programs", nargs="+", metavar="LANGUAGE=PROGRAM")
    arguments = parser.parse_args()
    setup = Setup(arguments)
    arguments.known = setup.programs
    others = [language for language in setup.programs if language not in ("c", "c-sanitized")]
    passed, failures = 0, []
    try:
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            wanted = [scenario for scenario in scenarios(arguments, others) if arguments.only in scenario[0]]
            done = {pool.submit(run, setup, *scenario[1:]): scenario[0] for scenario in wanted}
            for finished in concurrent.futures.as_completed(done):
                if finished.result() is None:
                    passed += 1
                else:
                    failures.append(done[finished])
                    print(f"failed: {done[finished]}: {finished.result()}", flush=True)
    finally:
        setup.close()
    print(f"{passed} passed, {len(failures)} failed")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
