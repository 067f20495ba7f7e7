"""An authority of the test's own, and the certificates of its hosts, made with openssl(1)."""

import os
import shutil
import subprocess

from checks import Failed

DAYS = "2"


def openssl(*arguments, data=b""):
    done = subprocess.run(["openssl", *arguments], capture_output=True, input=data, timeout=30, check=False)
    if done.returncode != 0:
        raise Failed(f"openssl {' '.join(arguments)}: {done.stderr.decode().strip()}")
    return done.stdout


class Identity:
    """A key and the certificate for it, in PEM files."""

    def __init__(self, folder, name):
        self.key = f"{folder}/{name}.key"
        self.certificate = f"{folder}/{name}.pem"


class Authority:
    def __init__(self, folder, name="authority"):
        self.folder = f"{folder}/{name}"
        os.mkdir(self.folder, 0o700)
        self.identity = Identity(self.folder, "ca")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", DAYS,
                "-subj", f"/CN={name} of a test", "-keyout", self.identity.key, "-out", self.identity.certificate)
        with open(f"{self.folder}/ca.conf", "w") as file:
            file.write(
                "[ca]\ndefault_ca = test\n[test]\n"
                f"database = {self.folder}/index\nserial = {self.folder}/serial\nnew_certs_dir = {self.folder}\n"
                f"certificate = {self.identity.certificate}\nprivate_key = {self.identity.key}\n"
                "default_md = sha256\npolicy = any\nunique_subject = no\ncopy_extensions = copy\n"
                "[any]\ncommonName = supplied\n")
        with open(f"{self.folder}/index", "w"), open(f"{self.folder}/serial", "w") as serial:
            serial.write("1000\n")
        self.count = 0

    @property
    def certificate(self):
        return self.identity.certificate

    def issue(self, host, validity=("-days", DAYS)):
        """A certificate for one DNS name, good for both ends of TLS."""
        self.count += 1
        made = Identity(self.folder, f"{host}-{self.count}")
        request = f"{self.folder}/request"
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}",
                "-addext", "extendedKeyUsage=serverAuth,clientAuth", "-keyout", made.key, "-out", request)
        openssl("ca", "-batch", "-config", f"{self.folder}/ca.conf", "-notext", *validity,
                "-in", request, "-out", made.certificate)
        return made

    def issue_expired(self, host):
        return self.issue(host, ("-startdate", "20200101000000Z", "-enddate", "20200102000000Z"))


def damaged(identity, folder):
    """The same identity with one bit of the certificate's signature flipped."""
    made = Identity(folder, "damaged")
    encoded = bytearray(openssl("x509", "-in", identity.certificate, "-outform", "DER"))
    encoded[-1] ^= 1
    openssl("x509", "-inform", "DER", "-out", made.certificate, data=bytes(encoded))
    shutil.copy(identity.key, made.key)
    return made
