"""What is refused, by name, and leaves the guest where it was."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys

import variables
from certificates import Authority, damaged
from checks import expect, wait
from host import PORT
from scenario import Scenario, named

NOSEND, DOMAIN = 0x8, 0x10
PROTOCOL = "baton/1"
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def expect_refused(pair, owner, plan, name, *options, to=None):
    """batonctl migrate fails with this refusal, and the guest runs on. Returns the sentence."""
    status, said, errors = pair.migrate(owner, plan, "--max-pause", "30000", *options, to=to)
    text = "\n".join([errors, *(json.dumps(line) for line in said[-1:])])
    expect(status not in (0, None), f"batonctl migrate went through with {status}\n{text}")
    expect(name in text, f"the refusal is not {name}\n{text}\n{owner.history()}")
    owner.expect_good()
    expect(pair.owned(owner, plan)["epoch"] == 1, "a refused migration raised the epoch")
    pair.console(plan).expect_whole()
    return errors.strip().splitlines()[-1:] or [text]


def refused(pair, name, *, to=None, target=True, **settings):
    """A guest at north that cannot go to south."""
    plan = pair.plan(**settings)
    owner = pair.start(pair.north, plan)
    if target:
        waiting = pair.wait_for_guest(pair.south, plan)
    said = expect_refused(pair, owner, plan, name, to=to)
    if target:
        expect(not waiting.said("running"), "the guest runs at the target all the same")
    return said


# Peers and certificates


def wrong_name(pair, _):
    """a host that has no certificate for the name that it was called by is refused as wrongPeerName"""
    pair.prepare()
    return refused(pair, "wrongPeerName", to="other.test")


def not_allowed(pair, _):
    """a host that the target does not allow is refused as wrongPeerName"""
    pair.prepare()
    with sidecar_options(pair.south, pair.south.options["sidecar"][:-1] + ["else.test"]):
        return refused(pair, "wrongPeerName")


class sidecar_options:
    """A host's sidecar with other options for a while."""

    def __init__(self, host, options):
        self.host = host
        self.options = options
        self.usual = host.options["sidecar"]

    def __enter__(self):
        self.change(self.options)

    def __exit__(self, *_):
        self.change(self.usual)

    def change(self, options):
        self.host.options["sidecar"] = options
        self.host.daemons["sidecar"].kill()
        self.host.start_daemon("sidecar")


def bad_certificate(side, kind):
    """A scenario in which the sidecar of one side has a certificate that the other must not take."""
    sentences = {
        "foreign": "of another authority", "expired": "that has expired", "damaged": "with one bit flipped",
    }

    def body(pair, _):
        pair.prepare()
        host = pair.north if side == "source" else pair.south
        folder = f"{pair.folder}/{side}-{kind}"
        os.mkdir(folder)
        if kind == "foreign":
            identity = Authority(folder).issue(host.name)
        elif kind == "expired":
            identity = pair.authority.issue_expired(host.name)
        else:
            identity = damaged(pair.authority.issue(host.name), folder)
        usual = host.options["sidecar"]
        host.trust(identity, pair.authority, pair.other(host).name)
        options, host.options["sidecar"] = host.options["sidecar"], usual
        with sidecar_options(host, options):
            return refused(pair, "certificateInvalid")

    return Scenario(f"{side}_certificate_{kind}",
                    f"a {side} with a certificate {sentences[kind]} is refused as certificateInvalid", body)


def reloaded(pair, _):
    """a sidecar that is told to (SIGHUP) takes its new certificate without a restart"""
    pair.prepare()
    host = pair.south
    identity = pair.authority.issue_expired(host.name)
    usual = host.options["sidecar"]
    host.trust(identity, pair.authority, pair.north.name)
    options, host.options["sidecar"] = host.options["sidecar"], usual
    with sidecar_options(host, options):
        plan = pair.plan()
        owner = pair.start(pair.north, plan)
        target = pair.wait_for_guest(host, plan)
        expect_refused(pair, owner, plan, "certificateInvalid")
        new = pair.authority.issue(host.name)
        shutil.copy(new.key, identity.key)
        shutil.copy(new.certificate, identity.certificate)
        sidecar = host.daemons["sidecar"]
        sidecar.signal(signal.SIGHUP)
        wait("the new certificate", lambda: talk(pair, plan, pair.authority.issue("north.test")) == b"ok")
        # That client of ours was taken for the guest.
        target.process.kill()
        pair.move(owner, plan)
        expect(sidecar.is_alive, "the sidecar was restarted")


def unknown_root(pair, _):
    """a target whose platform is vouched for by a root that is not trusted is refused as certificateInvalid"""
    pair.prepare()
    plan = pair.plan()
    owner = pair.start(pair.north, plan, "--no-trust-model-root")
    pair.wait_for_guest(pair.south, plan)
    return expect_refused(pair, owner, plan, "certificateInvalid")


def no_certificate(pair, _):
    """a client without a certificate, or with an older TLS, gets nothing from the sidecar"""
    pair.prepare()
    plan = pair.plan()
    pair.wait_for_guest(pair.south, plan)
    own = pair.authority.issue("north.test")
    expect(talk(pair, plan, identity=own) == b"ok", "the right client is not let in")
    for what, options in (
            ("without a certificate", {"identity": None}),
            ("with TLS 1.2", {"identity": own, "version": ssl.TLSVersion.TLSv1_2}),
            ("of another name", {"identity": pair.authority.issue("else.test")})):
        answer = talk(pair, plan, **options)
        expect(answer is None or answer.startswith(b"error"), f"a client {what} was answered {answer!r}")


def talk(pair, plan, identity, version=None):
    """What the sidecar of south answers a client of ours on north; nothing when it does not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pair.authority.certificate)
    context.set_alpn_protocols([PROTOCOL])
    if version:
        context.maximum_version = version
    if identity:
        context.load_cert_chain(identity.certificate, identity.key)
    with pair.north.network():
        plain = socket.create_connection((pair.south.address, PORT), timeout=10)
    try:
        with context.wrap_socket(plain, server_hostname="south.test") as stream:
            stream.sendall(f"migrate {plan.name}\n".encode())
            return stream.recv(1024).split()[0]
    except (ssl.SSLError, ConnectionError, IndexError):
        return None


# The target


def nobody_waits(pair, _):
    """a host on which no VMM waits for the guest refuses it as targetNotWaiting"""
    pair.prepare()
    return refused(pair, "targetNotWaiting", target=False)


def nobody_there(pair, _):
    """a host that does not answer is named as remoteUnreachable"""
    pair.prepare()
    pair.south.daemons["sidecar"].kill()
    return refused(pair, "remoteUnreachable", target=False)


def same_name(pair, _):
    """a host that has a guest of that name refuses another one as guestExists"""
    pair.prepare()
    plan = pair.plan()
    owner = pair.start(pair.north, plan)
    other = pair.vmm(pair.south, plan, "--console", "/dev/null")
    other.wait_for("running")
    pair.wait_for_guest(pair.south, plan)
    said = expect_refused(pair, owner, plan, "guestExists")
    other.expect_good()
    return said


def no_room(pair, _):
    """a host whose address-space identifiers are all in use refuses a guest as noRoom"""
    pair.prepare(model=["--asids", "1"])
    pair.start(pair.south, pair.plan())
    return refused(pair, "noRoom")


def no_registers(pair, _):
    """a SEV-ES guest is not sent by a kernel that cannot send its registers: encryptedStateNotSendable"""
    pair.prepare(model=["--es-asids", "100"])
    return refused(pair, "encryptedStateNotSendable", options=("--sev-es",))


# Policy and agreement


def policy(name, bits, text):
    def body(pair, _):
        pair.prepare()
        plan = pair.plan()
        owner = pair.start(pair.north, plan, "--sev-policy", f"{bits:x}")
        pair.wait_for_guest(pair.south, plan)
        return expect_refused(pair, owner, plan, "policyForbids")
    return Scenario(f"policy_{name}", f"a guest whose policy {text} is refused as policyForbids", body)


def party(name, options, text):
    def body(pair, _):
        pair.prepare()
        plan = pair.plan()
        owner = pair.start(pair.north, plan, *options)
        pair.wait_for_guest(pair.south, plan)
        return expect_refused(pair, owner, plan, "agreementMissing")
    return Scenario(f"agreement_{name}", f"without the {text} a migration is refused as agreementMissing", body)


def firmware(name, value, text):
    def body(pair, run):
        path = f"{pair.folder}/{name}.fd"
        with open(path, "wb") as file:
            file.write(variables.store(value))
        return party(name, ("--uefi-variables", path), "").body(pair, run)
    return Scenario(f"agreement_{name}", f"a firmware whose variable {text} is refused as agreementMissing", body)


def firmware_agrees(pair, _):
    """with all three parties of the agreement, a firmware's variable among them, the guest goes over"""
    pair.prepare()
    path = f"{pair.folder}/agrees.fd"
    with open(path, "wb") as file:
        file.write(variables.store(1))
    plan = pair.plan()
    pair.move(pair.start(pair.north, plan, "--uefi-variables", path), plan)


# What an attacker inside of TLS could do


DAMAGES = {
    "flip": ("streamDamaged", "a batch of pages with one bit flipped"),
    "swap": ("streamDamaged", "a batch of pages in another's place"),
    "replay": ("streamDamaged", "a batch of pages that comes a second time"),
    "gap": ("streamDamaged", "a batch of pages left out"),
    "truncate": ("linkLost", "a batch of pages cut off, and nothing after it,"),
    "version": ("streamVersion", "a source that speaks only an old version of the stream"),
}


def damage(name):
    refusal, what = DAMAGES[name]

    def body(pair, _):
        pair.prepare()
        return meddled(pair, name, refusal)
    return Scenario(f"stream_{name}", f"{what} is refused as {refusal}", body)


def meddled(pair, name, refusal):
    """A migration whose stream goes through hands that change it."""
    path = "/run/baton/meddled.sock"
    meddler = pair.north.start(
        sys.executable, os.path.join(HERE, "meddler.py"), path, "/run/baton/remote.sock", name, name="meddler",
        stdout=subprocess.PIPE)
    expect(meddler.child.stdout.readline() == b"ready\n", f"the meddler is not ready\n{meddler.tail()}")
    try:
        plan = pair.plan()
        owner = pair.start(pair.north, plan, "--remote-socket", path)
        waiting = pair.wait_for_guest(pair.south, plan)
        said = expect_refused(pair, owner, plan, refusal)
        expect(not waiting.said("running"), "the guest runs at the target all the same")
        return said
    finally:
        meddler.kill()
        meddler.child.stdout.close()
        os.unlink(pair.north.path("meddled.sock"))


def scenarios():
    return [
        named(wrong_name), named(not_allowed), named(no_certificate), named(reloaded), named(unknown_root),
        *(bad_certificate(side, kind) for side in ("source", "target") for kind in ("foreign", "expired", "damaged")),
        named(nobody_waits), named(nobody_there), named(same_name), named(no_room), named(no_registers),
        policy("nosend", NOSEND, "says that it must not be sent"),
        policy("domain", DOMAIN, "keeps it in its domain"),
        party("host", ("--no-migration-feature",), "host's feature bits"),
        party("guest", ("--guest-not-ready",), "guest's word"),
        firmware("variable_missing", None, "is missing"), firmware("variable_false", 0, "is false"),
        named(firmware_agrees), *(damage(name) for name in DAMAGES),
    ]
