"""One host: namespaces of its own, with a registry, a model and a sidecar of its own in them."""

import contextlib
import json
import os
import socket
import subprocess

import linux
from checks import Failed, expect, wait
from processes import Process

# What each host sees at its own /run/baton, from outside.
RUNTIME = "run/baton"
PORT = 4646
# After which a link counts as lost. Both ends say something each second.
SILENCE_MILLISECONDS = 4000
# batonctl's exit status.
UNKNOWN_GUEST = 8
DAEMONS = ("model", "registry", "sidecar")
OWN_NETWORK = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Host:
    """
    Network, mount and host-name namespaces that end with their last process: this test's `cat` and what runs beside it.

    Each host has its own /run and /etc/hosts, so that every program is used with its default paths.
    """

    def __init__(self, folder, programs, name, address, names):
        self.name = name
        self.address = address
        self.folder = f"{folder}/{name}"
        self.programs = programs
        self.processes = []
        self.options = {
            "model": [],
            "registry": ["--settle-ms", "300", "--quiet"],
            "sidecar": [],
        }
        self.daemons = {}
        os.mkdir(self.folder, 0o755)
        with open(f"{self.folder}/hosts", "w") as file:
            file.write("127.0.0.1 localhost\n" + "".join(f"{at} {host}\n" for host, at in names.items()))
        script = (f"hostname {name} && mount -t tmpfs -o mode=755 tmpfs /run && mkdir /{RUNTIME}"
                  f" && mount --bind {self.folder}/hosts /etc/hosts && ip link set lo up && echo ready && exec cat")
        self.holder = Process(
            f"namespaces of {name}", ["unshare", "--net", "--mount", "--uts", "sh", "-c", script],
            f"{self.folder}/holder.log", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        answer = self.holder.child.stdout.readline()
        expect(answer == b"ready\n", f"no namespaces for {name}:\n{self.holder.tail()}")
        self.namespaces = [
            os.open(f"/proc/{self.holder.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("net", "uts", "mnt")]

    # Programs

    def start(self, program, *arguments, name=None, environment=None, **pipes):
        """Starts a program of the project, or of the system when it has a path."""
        path = program if "/" in program else f"{self.programs}/{program}"
        name = name or os.path.basename(program)
        log = f"{self.folder}/{name}-{len(self.processes)}.log"
        process = Process(f"{name} of {self.name}", [path, *arguments], log, self.namespaces, environment, **pipes)
        self.processes.append(process)
        return process

    def call(self, *command, seconds=30):
        """Runs a command of the system on this host; returns what it said."""
        done = self.run(*command, seconds=seconds)
        said = done.stderr.strip() or done.stdout.strip()
        expect(done.returncode == 0, f"{' '.join(command)} on {self.name}: {said}")
        return done.stdout

    def run(self, *command, seconds=30):
        def prepare():
            linux.end_with_parent()
            linux.enter(self.namespaces)
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, preexec_fn=prepare, cwd="/",
                              stdin=subprocess.DEVNULL, check=False)

    def batonctl(self, *arguments, seconds=60):
        """Runs batonctl to its end; returns status, what it wrote, and its errors."""
        return self.run(f"{self.programs}/batonctl", *arguments, seconds=seconds)

    @contextlib.contextmanager
    def network(self):
        """This test itself is in the host's network meanwhile: sockets that it makes stay there."""
        linux.enter(self.namespaces[:1])
        try:
            yield
        finally:
            linux.enter([OWN_NETWORK])

    def path(self, name):
        """A path of this host's /run/baton, as this test reaches it."""
        return os.path.join("/proc", str(self.holder.pid), "root", RUNTIME, name)

    # Daemons

    def start_daemon(self, kind, environment=None):
        """Starts the registry, model or sidecar, and waits until it answers."""
        program, socket_name, arguments = {
            "model": ("sevmodeld", "sevmodeld", ["--socket", f"/{RUNTIME}/sevmodeld"]),
            "registry": ("batond", "varlink", []),
            "sidecar": ("baton-remote", "remote.sock", []),
        }[kind]
        process = self.start(program, *arguments, *self.options[kind], name=kind, environment=environment)
        self.daemons[kind] = process

        def answers():
            if not process.is_alive:
                raise Failed(f"{process.name} ended with {process.status}\n{process.tail()}")
            return self.can_connect(socket_name)
        wait(f"the socket of {process.name}", answers)
        return process

    def can_connect(self, name):
        for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
            with socket.socket(socket.AF_UNIX, kind) as trial:
                try:
                    trial.connect(self.path(name))
                    return True
                except OSError:
                    pass
        return False

    def trust(self, identity, authority, *peers):
        """What the sidecar is started with from now on."""
        self.options["sidecar"] = [
            "--listen", f"{self.address}:{PORT}", "--idle-ms", str(SILENCE_MILLISECONDS),
            "--cert", identity.certificate, "--key", identity.key, "--ca", authority.certificate,
            *(word for peer in peers for word in ("--allow", peer))]

    def ensure_daemons(self):
        """Starts those that are not there; a service manager would do so."""
        for kind in DAEMONS:
            if kind not in self.daemons or not self.daemons[kind].is_alive:
                self.start_daemon(kind)

    # What the registry says

    def guest(self, name):
        """What the registry says of one guest; state `unknown`: it does not know it, `away`: it does not answer."""
        done = self.batonctl("--json", "show", name, seconds=20)
        if done.returncode == 0:
            return json.loads(done.stdout.splitlines()[0])["guest"]
        return {"state": "unknown" if done.returncode == UNKNOWN_GUEST else "away"}

    def tails(self):
        """The ends of all logs that have something, for a failure."""
        return "\n".join(tail for tail in (process.tail() for process in self.processes) if tail)

    def close(self):
        for process in reversed(self.processes):
            process.kill()
        for number in self.namespaces:
            os.close(number)
        self.holder.child.stdin.close()
        self.holder.child.wait()
        self.holder.child.stdout.close()
