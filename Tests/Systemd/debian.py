"""dpkg in a container whose /usr is the host's, read-only, and whose /var is empty."""

import glob
import os
import shutil
import time

from manager import STATE, Failed, drop_in, expect, forget_drop_ins, run, systemctl

# Bound there by Tests/Systemd/run.
HOST_DATABASE = "/host-dpkg"
PACKAGES = "/out/debs"
OLD, NEW = "1.0", "1.1"
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive"}


def prepare(host):
    """Makes this container one that packages can be installed in, once; then forgets what was installed before."""
    host.prefix = "/usr"
    host.began = time.time()
    if os.path.exists("/var/lib/dpkg/status"):
        forget()
        return
    # What is installed goes into the layer above; below is the host's /usr.
    for directory in ("upper", "work"):
        os.makedirs(f"/run/usr/{directory}")
    run("mount", "-t", "overlay", "overlay", "-o", "lowerdir=/usr,upperdir=/run/usr/upper,workdir=/run/usr/work", "/usr")
    run("cp", "-a", f"{HOST_DATABASE}/.", "/var/lib/dpkg")
    # It names users that this container does not have.
    open("/var/lib/dpkg/statoverride", "w").close()
    os.makedirs("/var/log", exist_ok=True)
    # Machines that are images themselves often start no services for a package.
    if os.path.exists("/usr/sbin/policy-rc.d"):
        os.remove("/usr/sbin/policy-rc.d")
    os.makedirs(f"{STATE}/env", exist_ok=True)
    os.chmod(STATE, 0o1777)
    # Indexing all manual pages of the host takes long.
    triggers = "/var/lib/dpkg/triggers/File"
    with open(triggers) as file:
        lines = [line for line in file if not line.split()[1].startswith("man-db")]
    with open(triggers, "w") as file:
        file.writelines(lines)
    # What a test tells one slot of one guest, and where it lets guests write, beside what the shipped units allow.
    for slot in "ab":
        drop_in(f"baton-vmm-{slot}@.service", f"""[Service]
EnvironmentFile=-{STATE}/env/%p@%i
ReadWritePaths={STATE}
# A SEV guest's memory is pinned, and in a container no limit can be raised.
CapabilityBoundingSet=CAP_IPC_LOCK
AmbientCapabilities=CAP_IPC_LOCK
""")
    systemctl("daemon-reload")
    systemctl("start", "dbus.socket")


def package(version):
    found = glob.glob(f"{PACKAGES}/baton_{version}_*.deb")
    expect(len(found) == 1, f"one package of version {version}, there are {found}")
    return found[0]


def dpkg(*arguments, check=True):
    done = run("dpkg", *arguments, check=False, timeout=120, environment=ENVIRONMENT)
    if check and done.returncode != 0:
        raise Failed(f"dpkg {' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done


def status():
    """What dpkg says of the package, such as "install ok installed 1.0"; nothing when it does not know it."""
    done = run("dpkg-query", "-W", "-f", "${Status} ${Version}", "baton", check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def install(version, check=True):
    return dpkg("--install", package(version), check=check)


def broken(version):
    """A package like the newest one, but for its registry, which does not start."""
    directory = f"/run/{version}"
    if not os.path.exists(directory):
        run("dpkg-deb", "--raw-extract", package(NEW), directory)
        with open(f"{directory}/usr/bin/batond", "w") as file:
            file.write("#!/bin/sh\nexit 1\n")
        run("sed", "-i", f"s/^Version: .*/Version: {version}/", f"{directory}/DEBIAN/control")
        run("dpkg-deb", "-Znone", "--build", directory, f"{PACKAGES}/baton_{version}_all.deb")
    return version


def forget():
    """The package and everything that it and its guests left, as if it had never been here."""
    listed = systemctl("list-units", "--plain", "--no-legend", "--all", "baton-vmm-*").stdout
    units = [line.split()[0] for line in listed.splitlines()]
    if units:
        systemctl("kill", "-s", "KILL", *units, check=False)
        systemctl("stop", *units, check=False)
        systemctl("reset-failed", *units, check=False)
    systemctl("stop", "batond.service", check=False)
    if status():
        dpkg("--purge", "--force-remove-reinstreq", "baton")
    for path in glob.glob("/etc/baton/guests/*") + glob.glob("/var/lib/baton/guests/*") + glob.glob(f"{STATE}/*") \
            + glob.glob("/run/baton/registry.*"):
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.remove(path)
    os.makedirs(f"{STATE}/env", exist_ok=True)
    forget_drop_ins("once")
    systemctl("daemon-reload")
    systemctl("reset-failed", "batond.service", check=False)
