"""Socket activation without a service manager: systemd-socket-activate, and nothing at all.

Usage: activation.py BIN_DIR WORK_DIR. Prints a line `passed: …` or `failed: …` for each check.
"""

import os
import signal
import socket
import subprocess
import sys
import time

programs, work = sys.argv[1:3]


def wait(what, condition, seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come within {seconds} s")


class Process:
    def __init__(self, name, arguments):
        self.log = f"{work}/{name}.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(arguments, stdout=log, stderr=log)

    def text(self):
        with open(self.log) as log:
            return log.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("SIGTERM did not end it")


def ctl(socket, *arguments):
    return subprocess.run(
        [f"{programs}/batonctl", *arguments, "--socket", socket], capture_output=True, text=True, timeout=20)


def listens(path):
    return os.path.exists(path)


def varlink_passed():
    directory = f"{work}/a1"
    os.mkdir(directory, 0o755)
    process = Process("a1", [
        "systemd-socket-activate", f"--listen={directory}/operators", "--fdname=varlink",
        f"{programs}/batond", "--runtime-directory", f"{directory}/run"])
    try:
        wait("the passed socket", lambda: listens(f"{directory}/operators"))
        answer = ctl(f"{directory}/operators", "list")
        assert answer.returncode == 0, answer.stderr
        assert listens(f"{directory}/run/handoff"), "the other socket is batond's own"
        assert not listens(f"{directory}/run/varlink"), "and the passed one is not made a second time"
    finally:
        assert process.stop() == 0, process.text()
    assert listens(f"{directory}/operators"), "a passed socket is not removed"
    assert not listens(f"{directory}/run/handoff"), "its own is"


def handoff_passed():
    directory = f"{work}/a2"
    os.mkdir(directory, 0o755)
    process = Process("a2", [
        "systemd-socket-activate", "--seqpacket", f"--listen={directory}/vmms", "--fdname=handoff",
        f"{programs}/batond", "--runtime-directory", f"{directory}/run"])
    vmm = None
    try:
        wait("the passed socket", lambda: listens(f"{directory}/vmms"))
        vmm = Process("a2-vmm", [
            f"{programs}/baton-vmm", "--vm", "vm1", "--memory", "16M", "--vcpus", "1", "--vcpu", "software",
            "--registry", f"{directory}/vmms", "--events", f"{directory}/events"])
        wait("a running guest", lambda: os.path.exists(f"{directory}/events")
             and '"running"' in open(f"{directory}/events").read())
        answer = ctl(f"{directory}/run/varlink", "list")
        assert "vm1" in answer.stdout, answer.stdout + answer.stderr
    finally:
        if vmm:
            vmm.stop()
        assert process.stop() == 0, process.text()


def wrong_kind():
    directory = f"{work}/a3"
    os.mkdir(directory, 0o755)
    process = Process("a3", [
        "systemd-socket-activate", f"--listen={directory}/vmms", "--fdname=handoff",
        f"{programs}/batond", "--runtime-directory", f"{directory}/run"])
    wait("the passed socket", lambda: listens(f"{directory}/vmms"))
    ctl(f"{directory}/vmms", "list")
    assert process.process.wait(15) == 1, process.text()
    assert "sequential-packet" in process.text(), process.text()


def unknown_name():
    directory = f"{work}/a4"
    os.mkdir(directory, 0o755)
    process = Process("a4", [
        "systemd-socket-activate", f"--listen={directory}/x", "--fdname=nobody-knows",
        f"{programs}/batond", "--runtime-directory", f"{directory}/run"])
    try:
        wait("the passed socket", lambda: listens(f"{directory}/x"))
        ctl(f"{directory}/x", "list", "--timeout", "1")
        wait("batond", lambda: listens(f"{directory}/run/varlink"))
        assert ctl(f"{directory}/run/varlink", "list").returncode == 0
        assert "nobody-knows was passed" in process.text(), process.text()
    finally:
        assert process.stop() == 0, process.text()


def model_passed():
    directory = f"{work}/a5"
    os.mkdir(directory, 0o755)
    model = Process("a5-model", [
        "systemd-socket-activate", "--seqpacket", f"--listen={directory}/model", "--fdname=model",
        f"{programs}/sevmodeld"])
    registry = Process("a5", [f"{programs}/batond", "--runtime-directory", f"{directory}/run"])
    vmm = None
    try:
        wait("the model's socket", lambda: listens(f"{directory}/model"))
        wait("the registry's socket", lambda: listens(f"{directory}/run/handoff"))
        vmm = Process("a5-vmm", [
            f"{programs}/baton-vmm", "--vm", "vm1", "--memory", "16M", "--vcpus", "1", "--vcpu", "software",
            "--sev", "model", "--model-socket", f"{directory}/model", "--registry", f"{directory}/run/handoff",
            "--events", f"{directory}/events"])
        wait("a running guest", lambda: os.path.exists(f"{directory}/events")
             and '"running"' in open(f"{directory}/events").read())
    finally:
        if vmm:
            vmm.stop()
        registry.stop()
        assert model.stop() == 0, model.text()
    assert listens(f"{directory}/model"), "a passed socket is not removed"


def remote_passed():
    directory = f"{work}/a6"
    os.mkdir(directory, 0o755)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=a test", "-addext", "subjectAltName=DNS:localhost", "-keyout", f"{directory}/key", "-out",
         f"{directory}/cert"], check=True, capture_output=True, timeout=20)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    process = Process("a6", [
        "systemd-socket-activate", f"--listen={directory}/local", f"--listen=127.0.0.1:{port}", "--fdname=local:tls",
        f"{programs}/baton-remote", "--allow", "localhost", "--cert", f"{directory}/cert", "--key", f"{directory}/key",
        "--ca", f"{directory}/cert", "--socket", f"{directory}/own"])
    try:
        wait("the passed socket", lambda: listens(f"{directory}/local"))
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(15)
            client.connect(f"{directory}/local")
            client.sendall(b"await vm1\n")
            answer = client.recv(100)
        assert answer == b"waiting\n", f"{answer} {process.text()}"
        assert not listens(f"{directory}/own"), "the passed one is not made a second time"
    finally:
        assert process.stop() == 0, process.text()
    assert listens(f"{directory}/local"), "a passed socket is not removed"


CHECKS = [
    ("batond listens on a passed socket for operators and makes the other one", varlink_passed),
    ("batond listens on a passed socket for VMMs and makes the other one", handoff_passed),
    ("batond refuses a passed socket of the wrong kind", wrong_kind),
    ("batond closes what was passed under an unknown name, and says so", unknown_name),
    ("sevmodeld listens on a passed socket", model_passed),
    ("baton-remote listens on passed sockets", remote_passed),
]
failed = 0
for name, check in CHECKS:
    try:
        check()
        print(f"passed: {name}", flush=True)
    except Exception as error:  # pylint: disable=broad-except
        failed += 1
        print(f"failed: {name}\n   | {type(error).__name__}: {error}", flush=True)
sys.exit(1 if failed else 0)
