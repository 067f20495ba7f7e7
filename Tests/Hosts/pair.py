"""Two hosts, the link between them, and what is done with a guest on them."""

import json
import shlex

from certificates import Authority
from checks import SECONDS, Failed, expect, wait
from host import SILENCE_MILLISECONDS, Host
from link import Link
from vmm import BatonVMM, Console, GuestPlan, LibraryVMM, VMM

NORTH = "10.46.0.1"
SOUTH = "10.46.0.2"
# Names that lead to south, of which its certificate has only the first.
# So long the guest may stand still: it converges on any machine, however slow and busy. One that has 1 percent of a
# processor for two VMMs moves 30 pages a second.
PATIENCE_MILLISECONDS = 3_600_000
PATIENCE = ("--max-pause", str(PATIENCE_MILLISECONDS))
NAMES = {"north.test": NORTH, "south.test": SOUTH, "other.test": SOUTH}


class Pair:
    def __init__(self, folder, programs, examples):
        self.folder = folder
        self.authority = Authority(folder)
        self.north = Host(folder, programs, "north.test", NORTH, NAMES)
        self.south = Host(folder, programs, "south.test", SOUTH, NAMES)
        self.hosts = (self.north, self.south)
        self.link = Link(folder, self.north, self.south)
        for host in self.hosts:
            host.trust(self.authority.issue(host.name), self.authority, self.other(host).name)
        self.vmms = []
        self.count = 0
        self.examples = examples
        self.library_vmm = LibraryVMM(examples)

    def other(self, host):
        return self.south if host is self.north else self.north

    def prepare(self, model=(), north=(), south=(), silence=SILENCE_MILLISECONDS):
        """
        All daemons run, and both models as they are told; the network is whole and nobody is there.

        `north` and `south` are for the model of one host only; `silence` is after how many milliseconds a link is lost.
        """
        self.forget_guests()
        self.link.heal()
        for host, own in ((self.north, north), (self.south, south)):
            options = [*model, *own]
            if host.options["model"] != options and "model" in host.daemons:
                host.daemons["model"].kill()
            host.options["model"] = options
            host.take_silence(silence)
            host.ensure_daemons()

    def plan(self, **options):
        """A guest that nothing else has the name of."""
        self.count += 1
        return GuestPlan(f"vm{self.count}", **options)

    def vmm(self, host, plan, *options, **points):
        vmm = VMM(host, plan, self.console(plan).path, *options, **points)
        self.vmms.append(vmm)
        return vmm

    def start(self, host, plan, *options, **points):
        """The guest's first owner, once it runs."""
        self.console(plan).begin()
        owner = self.vmm(host, plan, *options, **points)
        owner.wait_for("running")
        return owner

    def wait_for_guest(self, host, plan, *options, **points):
        """A VMM that waits for the guest to come to this host."""
        waiting = self.vmm(host, plan, "--incoming", *options, **points)
        waiting.wait_for("waiting")
        return waiting

    def begin(self, source, plan, *options, to=None):
        """batonctl migrate, which goes on."""
        host = source.host
        self.count += 1
        output = f"{self.folder}/migrate-{self.count}.json"
        with open(output, "wb") as file:
            command = host.start(
                "batonctl", "--json", "migrate", plan.name, "--to", to or self.other(host).name,
                *(() if "--plan" in options else ("--yes",)), *options, name=f"migrate-{plan.name}", stdout=file)
        command.output = output
        return command

    def migrate(self, source, plan, *options, seconds=2 * SECONDS, to=None):
        """batonctl migrate to its end; returns its status, the objects that it wrote, and its errors."""
        return self.finish(self.begin(source, plan, *options, to=to), seconds)

    def finish(self, command, seconds=2 * SECONDS):
        """The same of one that goes on."""
        def has_ended():
            for vmm in self.vmms:
                vmm.look_at_memory()
            return not command.is_alive
        try:
            wait(f"the end of {command.name}", has_ended, seconds)
        except Failed as error:
            raise Failed(f"{error}\n{command.tail()}") from None
        with open(command.output) as file:
            return command.status, [json.loads(line) for line in file], command.tail()

    def move(self, source, plan, *options, seconds=2 * SECONDS, kind=BatonVMM):
        """A migration that has to succeed; returns the VMM that the guest is with, and batonctl's last word."""
        target = self.wait_for_guest(self.other(source.host), plan, kind=kind)
        status, said, errors = self.migrate(source, plan, *(options or PATIENCE), seconds=seconds)
        expect(status == 0 and said, f"batonctl migrate ended with {status}\n{errors}\n{said}")
        target.wait_for("running")
        self.expect_moved(source, target, plan, seconds)
        return target, said[-1]

    def expect_moved(self, source, target, plan, seconds):
        """The guest runs at the target and found each of its pages unharmed; the source has ended and says so."""
        expect(source.process.wait_for_end() == 0, f"the source ended with {source.process.status}\n{source.history()}")
        target.expect_good(plan.pages, seconds)
        self.console(plan).expect_whole()
        there = wait("the owner at the target", lambda: self.owned(target, plan))
        # Its VMM has ended, which the registry sees a moment later than this test may.
        def has_gone():
            here = source.host.guest(plan.name)
            return here["state"] not in ("running", "away") and not here.get("owner")
        wait(f"the word of {source.host.name}'s registry that the guest has gone", has_gone)
        return there

    def owned(self, vmm, plan):
        guest = vmm.host.guest(plan.name)
        is_owner = guest.get("state") == "running" and (guest.get("owner") or {}).get("processId") == vmm.pid
        return guest if is_owner else None

    def console(self, plan):
        return Console(f"{self.folder}/{plan.name}.console")

    # What waits for a person

    def alarms(self, plan):
        """Hosts whose registry has an alarm for the guest, with the command that settles it."""
        found = []
        for host in self.hosts:
            alarm = host.guest(plan.name).get("alarm")
            if alarm and alarm.get("command"):
                found.append((host, alarm["command"]))
        return found

    def settle(self, host, command, plan):
        """Runs what an alarm names, as an operator would."""
        words = shlex.split(command)
        if words[:2] == ["kill", "-CONT"]:
            # Somebody was too slow for a deadline, and not stopped any more.
            return host.run(*words)
        expect(words[:3] == ["batonctl", "settle", plan.name], f"the alarm on {host.name} names '{command}'")
        return host.batonctl(*words[1:])

    # Ends

    def mark(self):
        """A new scenario begins."""
        for host in self.hosts:
            host.mark()

    def tails(self):
        """All that is known of this scenario, for a failure: events of the VMMs, logs, and what the registries say."""
        guests = [f"    {host.name} says of {name}: {host.guest(name)}"
                  for name in sorted({vmm.plan.name for vmm in self.vmms}) for host in self.hosts]
        return "\n".join([*(vmm.story() for vmm in self.vmms), *(host.tails() for host in self.hosts), *guests])

    def forget_guests(self):
        """Ends all VMMs of the scenario before."""
        for vmm in self.vmms:
            vmm.process.kill()
        self.vmms.clear()
        for host in self.hosts:
            host.end_strangers()

    def close(self):
        for host in self.hosts:
            host.close()
        self.link.close()
