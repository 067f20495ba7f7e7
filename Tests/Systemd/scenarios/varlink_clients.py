"""The interface for operators, tried with two independent clients."""

import signal
import threading
from contextlib import ExitStack

import asking
from asking import Refused
from clients import CLIENTS, AsyncClient
from guest import Guest
from manager import Failed, expect, systemctl, wait
from users import acting_as


# How many calls of Watch may be open at once.
WATCHES = 128


def plain(value):
    """Without the classes of a library."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not None}
    return [plain(item) for item in value] if isinstance(value, list) else value


def clients_read(host):
    """varlink and asyncvarlink get the same answers to every method that reads"""
    host.fresh()
    guest = Guest(host).start()
    guest.settled("a")
    guest.upgrade("b")
    wait("the end of the handoff", lambda: not host.guest("vm1").get("handoff"))
    answers = []
    for make in CLIENTS:
        with make() as client:
            expect(client.description(), "the interface is described")
            expect(client.info(), "the service says who it is")
            answers.append(plain({
                "List": client.call("List"), "Describe": client.call("Describe", guest="vm1"),
                "Preflight": client.call("Preflight", guest="vm1"),
                "One": client.call("Describe", guest="vm1", handoff=1),
            }))
            metrics = plain(client.call("Metrics"))
            expect(metrics["counters"]["handoffsCommitted"] == 1, f"{metrics}")
            expect(any(histogram["name"] == "blackout" for histogram in metrics["histograms"]), f"{metrics}")
    expect(answers[0] == answers[1], f"{answers[0]}\n{answers[1]}")
    expect(answers[0]["Describe"]["handoffs"][0]["outcome"] == "committed", f"{answers[0]['Describe']}")


def clients_upgrade_and_watch(host):
    """each of them upgrades a guest with a successor that it starts, while the other one watches every event"""
    for mine, other in (CLIENTS, CLIENTS[::-1]):
        host.fresh()
        guest = Guest(host).start()
        guest.settled("a")
        events, watching = [], threading.Event()

        def watch(make=other):
            with make() as client:
                for event in client.more("Watch", guest="vm1"):
                    events.append(plain(event))
                    watching.set()
                    if event["kind"] == "handoffEnded":
                        return
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        expect(watching.wait(10), "the snapshot comes")
        steps = []
        with mine() as client:
            for reply in client.more("Upgrade", guest="vm1"):
                steps.append(plain(reply))
                if reply["step"] == "recorded":
                    guest.start_in_background("b")
        expect(steps[0]["step"] == "recorded" and steps[-1]["step"] == "finished", f"{steps}")
        expect(steps[-1]["handoff"]["outcome"] == "committed", f"{steps[-1]}")
        watcher.join(10)
        expect(not watcher.is_alive(), f"the end is told: {events[-1:]}")
        expect([event["sequence"] for event in events] == list(range(len(events))), "no event is missing")
        kinds = [event["kind"] for event in events]
        expect(kinds[0] == "snapshot" and events[0]["guests"][0]["name"] == "vm1", f"{events[0]}")
        expect({"handoffStarted", "phaseStarted", "phaseEnded", "handoffEnded"} <= set(kinds), f"{kinds}")
        guest.settled("b")


def refused(make, error, method, is_more=False, during=None, **parameters):
    """The call ends with the error of this name; `during` happens once the first reply is there."""
    with make() as client:
        refusal(client, error, method, is_more, during, **parameters)


def refusal(client, error, method, is_more=False, during=None, **parameters):
    replies = []
    try:
        if is_more:
            for reply in client.more(method, **parameters):
                replies.append(reply)
                if during and len(replies) == 1:
                    during()
        else:
            replies.append(client.call(method, **parameters))
    except Refused as refused_with:
        expect(refused_with.name == error, f"{type(client).__name__}: {method} is to end with {error}: {refused_with}")
        return
    raise Failed(f"{type(client).__name__}: {method} is to end with {error} and gave {replies}")


def errors_of_a_running_guest(host, make):
    host.fresh(options="--claim-ms 20000")
    guest = Guest(host).start()
    guest.settled("a")
    refused(make, "UnknownGuest", "Describe", guest="nobody")
    refused(make, "UnknownHandoff", "Describe", guest="vm1", handoff=99)
    refused(make, "NoHandoffInProgress", "Abort", guest="vm1")
    refused(make, "DeadlinePassed", "Upgrade", guest="vm1", deadlineMicroseconds=1000)
    refused(make, "RefusedByRegistry", "Upgrade", is_more=True, during=lambda: asking.ask("Abort", guest="vm1"),
            guest="vm1")
    # Who may connect and no more.
    with acting_as("vmm", only_group="baton"):
        other = make()
    with other:
        expect(plain(other.call("List"))["guests"][0]["name"] == "vm1", "anybody who may connect may read")
        refusal(other, "NotAllowed", "Upgrade", guest="vm1")
        refusal(other, "NotAllowed", "Abort", guest="vm1")
    guest.arm("b", STOP_AT="successorReady")
    guest.start_in_background("b")
    guest.wait_for_stop("b", "successorReady")
    refused(make, "HandoffInProgress", "Upgrade", guest="vm1")
    guest.continued("b")
    guest.settled("b")
    wait("its end", lambda: not host.guest("vm1").get("handoff"))
    refused(make, "AlreadyCommitted", "Abort", guest="vm1", handoff=host.guest("vm1")["lastHandoff"])
    systemctl("stop", guest.unit("b"))
    host.wait_for_state("vm1", "ended")
    refused(make, "GuestEnded", "Upgrade", guest="vm1")


def errors_of_both_sides(host, make):
    host.fresh()
    guest = Guest(host)
    guest.arm("a", MISBEHAVE="decline-handoff")
    guest.start("a").settled("a")
    refused(make, "RefusedBySource", "Upgrade", is_more=True, guest="vm1",
            during=lambda: guest.start_in_background("b"))
    guest.expect_unit("b", ActiveState="failed")
    host.fresh()
    guest = Guest(host).start()
    guest.settled("a")
    guest.arm("a", CRASH_AT="successorOffered")
    systemctl("restart", guest.unit("a"), check=False)
    host.wait_for_state("vm1", "waiting")
    guest.arm("b", CRASH_AT="successorReady")
    refused(make, "RefusedBySuccessor", "Upgrade", is_more=True, guest="vm1",
            during=lambda: guest.start_in_background("b"))
    host.wait_for_state("vm1", "waiting")
    for slot in "ab":
        guest.arm(slot)
    host.ctl("upgrade", "vm1")
    guest.settled_somewhere()


def errors_of_a_lost_guest(host, make):
    host.fresh(options="--claim-ms 20000")
    guest = Guest(host).start()
    guest.settled("a")
    guest.arm("b", STOP_AT="successorClaimed")
    guest.start_in_background("b")
    guest.wait_for_stop("b", "successorClaimed")
    # What is stopped and started has an empty store.
    systemctl("stop", "batond.service")
    guest.kill("a", signal.SIGKILL)
    guest.kill("b", signal.SIGKILL)
    systemctl("start", "batond.service")
    host.wait_for_state("vm1", "lost")
    refused(make, "GuestLost", "Upgrade", guest="vm1")


def errors_of_the_registry(host, make):
    host.fresh(store=2)
    guest = Guest(host).start()
    guest.settled("a")
    refused(make, "PreflightFailed", "Upgrade", guest="vm1")
    refused(make, "Stopping", "Watch", is_more=True, during=lambda: systemctl("stop", "--no-block", "batond.service"))
    systemctl("start", "batond.service")
    refused(make, "Stopping", "Upgrade", is_more=True, guest="vm1", ignorePreflight=True,
            during=lambda: systemctl("stop", "--no-block", "batond.service"))
    systemctl("start", "batond.service")


def quota(make):
    """One call of Watch more than may be open."""
    with ExitStack() as stack:
        for _ in range(WATCHES):
            watch = stack.enter_context(asking.Connection())
            watch.send("Watch", more=True)
            watch.receive()
        refused(make, "QuotaExceeded", "Watch", is_more=True)


def clients_errors(host):
    """each of them gets every error by its name: what is unknown, refused, lost, ended, late, forbidden, too much"""
    for make in CLIENTS:
        errors_of_a_running_guest(host, make)
        errors_of_both_sides(host, make)
        errors_of_a_lost_guest(host, make)
        errors_of_the_registry(host, make)
        quota(make)
    # The reference client does not let one send such calls.
    with AsyncClient() as client:
        refusal(client, "InvalidParameter", "Describe", guest=5)
        refusal(client, "InvalidParameter", "Describe", guest="vm1", colour="red")
        refusal(client, "MethodNotFound", "Dance")
        refusal(client, "ExpectedMore", "Watch")


SCENARIOS = [clients_read, clients_upgrade_and_watch, clients_errors]
