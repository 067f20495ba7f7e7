"""One host: namespaces of its own, with a registry, a model and a sidecar of its own in them."""

import contextlib
import json
import os
import signal
import socket
import subprocess

import linux
from checks import SECONDS, Failed, expect, wait
from processes import Process

# What each host sees at its own /run/baton, from outside.
RUNTIME = "run/baton"
PORT = 4646
# After which a link counts as lost. Both ends say something each second, but not while they make a guest or restore it.
SILENCE_MILLISECONDS = 30_000
# The same where the link is cut, and the end of the silence is waited for.
CUT_MILLISECONDS = 4000
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
        self.count = 0
        # Commands that were run to their end in this scenario, with what they said.
        self.commands = []
        self.silence = SILENCE_MILLISECONDS
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
        self.count += 1
        log = f"{self.folder}/{name}-{self.count}.log"
        process = Process(f"{name} of {self.name}", [path, *arguments], log, self.namespaces, environment, **pipes)
        self.processes.append(process)
        return process

    def call(self, *command, seconds=SECONDS):
        """Runs a command of the system on this host; returns what it said."""
        done = self.run(*command, seconds=seconds)
        said = done.stderr.strip() or done.stdout.strip()
        expect(done.returncode == 0, f"{' '.join(command)} on {self.name}: {said}")
        return done.stdout

    def run(self, *command, seconds=SECONDS):
        def prepare():
            linux.end_with_parent()
            linux.enter(self.namespaces)
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, preexec_fn=prepare, cwd="/",
                              stdin=subprocess.DEVNULL, check=False)

    def batonctl(self, *arguments, seconds=2 * SECONDS):
        """Runs batonctl to its end; returns status, what it wrote, and its errors."""
        done = self.run(f"{self.programs}/batonctl", *arguments, seconds=seconds)
        if "show" not in arguments:
            said = (done.stdout + done.stderr).strip().replace("\n", "\n      ")
            self.commands.append(f"    batonctl {' '.join(arguments)} on {self.name}: {done.returncode} {said}")
        return done

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
            "model": ("sevmodeld", "sevmodeld", ["--socket", f"/{RUNTIME}/sevmodeld", "--certificates", self.folder]),
            "registry": ("batond", "varlink", []),
            "sidecar": ("baton-remote", "remote.sock", ["--idle-ms", str(self.silence)]),
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
            "--listen", f"{self.address}:{PORT}",
            "--cert", identity.certificate, "--key", identity.key, "--ca", authority.certificate,
            *(word for peer in peers for word in ("--allow", peer))]

    def take_silence(self, milliseconds):
        """What counts as a lost link from now on."""
        if self.silence != milliseconds and "sidecar" in self.daemons:
            self.daemons["sidecar"].kill()
        self.silence = milliseconds

    def ensure_daemons(self):
        """Starts those that are not there; a service manager would do so."""
        for kind in DAEMONS:
            if kind not in self.daemons or not self.daemons[kind].is_alive:
                self.start_daemon(kind)

    # What the registry says

    def guest(self, name):
        """What the registry says of one guest; state `unknown`: it does not know it, `away`: it does not answer."""
        done = self.batonctl("--json", "show", name)
        if done.returncode == 0:
            return json.loads(done.stdout.splitlines()[0])["guest"]
        return {"state": "unknown" if done.returncode == UNKNOWN_GUEST else "away"}

    def mark(self):
        """A new scenario begins: what was said before does not explain its failure."""
        self.commands.clear()
        self.processes = [process for process in self.processes if process.is_alive]
        for process in self.processes:
            process.mark()

    def tails(self):
        """What was said in this scenario, for a failure."""
        tails = [process.tail() for process in self.processes] + self.commands
        return "\n".join(tail for tail in tails if tail)

    def end_strangers(self):
        """Ends what this host's programs started, and nobody waits for: successors that batonctl made."""
        own = {self.holder.pid, *(process.pid for process in self.processes)}
        for pid in linux.processes_in(f"/proc/{self.holder.pid}/ns/mnt") - own:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self):
        for process in reversed(self.processes):
            process.kill()
        self.end_strangers()
        for number in self.namespaces:
            os.close(number)
        self.holder.child.stdin.close()
        self.holder.child.wait()
        self.holder.child.stdout.close()
