"""There and back, over a good network and over bad ones."""

import linux
from checks import expect, wait
from scenario import named

# Each way.
DELAY_MILLISECONDS = 100
LOSS_PERCENT = 5
MEMORY_LIMIT_MIB = 64
ENCRYPTED_STATE = ("--es-asids", "100")
REGISTERS_TOO = (*ENCRYPTED_STATE, "--firmware-vmsa")
# Seconds; ten times there and back are no reason to fail on any machine.
LONG = 3600


def there_and_back(pair, plan, times, *options, seconds=120):
    """Returns lines about each migration; the guest is alive and unharmed after each."""
    owner = settled(pair, plan, seconds)
    first = owner.verdict()
    lines = []
    for number in range(2 * times):
        before = owner
        owner, said = pair.move(owner, plan, *options, seconds=seconds)
        report = owner.expect_good()
        expect(report["counter"] > first["counter"], f"the guest went back in time: {first}, now {report}")
        epoch = pair.owned(owner, plan)["epoch"]
        expect(epoch == number + 2, f"epoch {epoch} after {number + 1} migrations")
        expect_no_overlap(before, owner)
        lines.append(figures(said))
    return lines


def settled(pair, plan, seconds):
    """
    The guest's first owner, once the guest has written all of its memory.

    Until then it writes new pages all the time, whatever its working set: over a slow link that does not converge.
    """
    owner = pair.start(pair.north, plan)
    owner.expect_good()
    wait(f"the guest's first pass over its memory in {owner.process.name}",
         lambda: owner.verdict()["pagesWritten"] >= plan.pages, seconds)
    return owner


def expect_no_overlap(source, target):
    """No instruction there before the last one here."""
    last = source.said("migrationDeparted")[-1]["lastInstruction"]
    first = target.said("running")[0]["firstInstruction"]
    expect(first > last, f"the guest ran at the target {last - first} ns before it stood still at the source")


def figures(said):
    def text(name):
        return ", ".join(f"{key} {value}" for key, value in sorted((said.get(name) or {}).items()))
    return f"foretold: {text('predicted')}; real: {text('real')}"


def sev(pair, is_full):
    """a SEV guest with 512 MiB under load, there and back; sidecars and VMMs stay below 64 MiB of their own"""
    pair.prepare()
    plan = pair.plan(memory="512M", duty=50, options=("--working-set", "4M"))
    lines = there_and_back(pair, plan, 10 if is_full else 1, seconds=600)
    for host in pair.hosts:
        used = host.daemons["sidecar"].memory()
        expect(used < MEMORY_LIMIT_MIB, f"the sidecar of {host.name} had {used:.0f} MiB")
        lines.append(f"the sidecar of {host.name} had at most {used:.0f} MiB")
    for vmm in pair.vmms:
        expect(vmm.memory < MEMORY_LIMIT_MIB, f"{vmm.process.name} had {vmm.memory:.0f} MiB of its own")
    lines.append(f"VMMs had at most {max(vmm.memory for vmm in pair.vmms):.0f} MiB without the guest's memory")
    return lines


def ciphertext(pair, is_full):
    """a SEV guest whose memory is really encrypted, there and back"""
    pair.prepare(model=["--ciphertext"])
    return there_and_back(pair, pair.plan(memory="16M"), 10 if is_full else 1)


def real_vcpus(pair, is_full):
    """a plain guest with 64 MiB and real vCPUs, there and back"""
    pair.prepare()
    missing = linux.missing_kvm()
    lines = []
    if missing:
        print(f"SKIPPED: real vCPUs in a guest that migrates, software ones are taken: {missing}", flush=True)
    plan = pair.plan(memory="64M", sev="none", vcpu="software" if missing else "kvm", duty=100)
    return lines + there_and_back(pair, plan, 10 if is_full else 1)


def encrypted_state(pair, is_full):
    """a SEV-ES guest, between two models with the extension for its registers, there and back"""
    pair.prepare(model=REGISTERS_TOO)
    plan = pair.plan(memory="16M", options=("--sev-es",))
    return there_and_back(pair, plan, 10 if is_full else 1)


def delayed(pair, _):
    """a SEV guest with 128 MiB over a network that takes 200 ms there and back"""
    pair.prepare()
    plan = pair.plan(memory="128M", duty=20, options=("--working-set", "2M"))
    pair.link.delay(DELAY_MILLISECONDS)
    _, said = pair.move(settled(pair, plan, 240), plan, seconds=240)
    return [figures(said)]


def lossy(pair, _):
    """a SEV guest with 64 MiB over a network that loses 5 percent of its small packets"""
    pair.prepare()
    pair.link.set_packets(1500)
    pair.link.lose(LOSS_PERCENT, seed=5)
    plan = pair.plan(memory="64M", duty=20, options=("--working-set", "2M"))
    owner = settled(pair, plan, 120)
    _, _, before = pair.link.counts()
    _, said = pair.move(owner, plan, seconds=240)
    _, _, dropped = pair.link.counts()
    expect(dropped > before, "nothing was lost")
    return [figures(said), f"{dropped - before} packets were lost"]


def scenarios():
    return [
        named(sev, seconds=4 * LONG), named(ciphertext, seconds=LONG), named(real_vcpus, seconds=LONG),
        named(encrypted_state, seconds=LONG), named(delayed, seconds=900), named(lossy, seconds=900),
    ]
