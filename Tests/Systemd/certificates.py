"""An authority of the test's own, and certificates for hosts, made with openssl(1)."""

import os

from manager import run

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder)
        # The settings of this machine are not in the container.
        self.settings = f"{folder}/openssl.cnf"
        with open(self.settings, "w") as file:
            file.write("[req]\ndistinguished_name = name\n[name]\n")
        self.certificate = f"{folder}/ca.pem"
        self.key = f"{folder}/ca.key"
        self.openssl("req", "-x509", *KEY, "-days", "2", "-subj", "/CN=authority of a test", "-addext",
                     "basicConstraints=critical,CA:TRUE", "-keyout", self.key, "-out", self.certificate)

    def openssl(self, *arguments):
        run("openssl", *arguments, environment={"OPENSSL_CONF": self.settings})

    def issue(self, folder, *names):
        """Puts a certificate for these DNS names, its key and the authority where the unit looks for them."""
        os.makedirs(folder, exist_ok=True)
        request = f"{self.folder}/request"
        self.openssl("req", "-new", *KEY, "-subj", f"/CN={names[0]}", "-addext",
                     "subjectAltName=" + ",".join(f"DNS:{name}" for name in names), "-keyout", f"{folder}/key.pem",
                     "-out", request)
        self.openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                     "-days", "2", "-copy_extensions", "copy", "-out", f"{folder}/cert.pem")
        run("cp", self.certificate, f"{folder}/ca.pem")
        os.chmod(f"{folder}/key.pem", 0o600)
