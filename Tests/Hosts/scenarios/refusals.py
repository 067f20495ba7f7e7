"""Peers, certificates, hosts and streams that are refused by name."""

import os
import shutil
import signal
import socket
import ssl

from certificates import Authority, damaged
from checks import expect, wait
from host import CUT_MILLISECONDS, PORT
from refusing import expect_refused, meddled, refused
from scenario import Scenario, named
from scenarios.deaths import Death

PROTOCOL = "baton/1"
# The exit status of a VMM whose guest is on another host.
DEPARTED = 11


# Peers and certificates


def wrong_name(pair, _):
    """a host that has no certificate for the name that it was called by is refused as wrongPeerName"""
    pair.prepare()
    return refused(pair, "wrongPeerName", to="other.test", words=["other.test", pair.south.name])


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
            return refused(pair, "certificateInvalid", words=[pair.south.name])

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


# The source


def given_up(pair, _):
    """a VMM of a guest that its host gave up is refused as departed until it is known where the guest runs"""
    pair.prepare(silence=CUT_MILLISECONDS)
    death = Death(pair, "link", "source-migration-departed")
    death.happen()
    name = death.plan.name
    expect(death.source.process.wait_for_end() != 0, "the source's VMM says that all went well")
    lines = []
    for options in ((), ("--fresh",)):
        second = pair.vmm(pair.north, death.plan, *options)
        status = second.process.wait_for_end()
        said = second.process.tail()
        expect(status == DEPARTED and not second.said("running"), f"a second VMM of {name} ended with {status}\n{said}")
        expect("gave the guest to another" in said and "batonctl settle" in said,
               f"a second VMM of {name} says\n{said}")
        lines += said.strip().splitlines()[-1:]
    place, settled = death.rest()
    death.check(place)
    expect(place == "target" and settled, f"the guest is at {place}, settled by {settled}")
    return lines + settled


# What an attacker inside of TLS could do


DAMAGES = {
    "flip": ("streamDamaged", "The seal of batch 2 does not fit", "a batch of pages with one bit flipped"),
    "swap": ("streamDamaged", "Batches 2 and 3 came in each other's place", "a batch of pages in another's place"),
    "replay": ("streamDamaged", "Batch 2 came again", "a batch of pages that comes a second time"),
    "gap": ("streamDamaged", "what is between was left out", "a batch of pages left out"),
    "truncate": ("linkLost", "broke", "a batch of pages cut off, and nothing after it,"),
    "version": ("streamVersion", "the peer 0 to 0", "a source that speaks only an old version of the stream"),
}


def damage(name):
    refusal, reason, what = DAMAGES[name]

    def body(pair, _):
        pair.prepare()
        return meddled(pair, [name], refusal, words=[reason])
    return Scenario(f"stream_{name}", f"{what} is refused as {refusal}", body)


def scenarios():
    return [
        named(wrong_name), named(not_allowed), named(no_certificate), named(reloaded),
        *(bad_certificate(side, kind) for side in ("source", "target") for kind in ("foreign", "expired", "damaged")),
        named(nobody_waits), named(nobody_there), named(same_name), named(no_room), named(given_up),
        *(damage(name) for name in DAMAGES),
    ]
