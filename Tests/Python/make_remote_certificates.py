#!/usr/bin/env python3
"""Makes the certificates of Tests/RemoteServiceTests: two CAs, and hosts with good and bad certificates.

The keys protect nothing. Writes the Swift file to standard output:
  Tests/Python/make_remote_certificates.py > Tests/RemoteServiceTests/TestCertificates.swift
"""
import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

START = datetime.datetime(2025, 1, 1)
END = datetime.datetime(2125, 1, 1)


def pem_key(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def authority(text):
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder().subject_name(name(text)).issuer_name(name(text)).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(START).not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256()))
    return certificate, key


def host(issuer, names, addresses=(), end=END, usages=()):
    certificate, issuer_key = issuer
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder().subject_name(name("host")).issuer_name(certificate.subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(START).not_valid_after(end))
    alternatives = [x509.DNSName(n) for n in names] + [x509.IPAddress(ipaddress.ip_address(a)) for a in addresses]
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return builder.sign(issuer_key, hashes.SHA256()), key


def pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def constant(label, comment, text):
    lines = "\n".join("    " + line for line in text.strip().split("\n"))
    return f'  /// {comment}\n  static let {label} = """\n{lines}\n\n    """\n'


trusted = authority("Trusted CA")
foreign = authority("Foreign CA")
both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
hosts = {
    "north": (host(trusted, ["north.test"], usages=both), "Of `north.test`."),
    "south": (host(trusted, ["south.test", "localhost"], ["127.0.0.1"]), "Of `south.test` and of this machine."),
    "renewed": (host(trusted, ["south.test", "localhost"]), "Another one of `south.test`."),
    "stranger": (host(trusted, ["stranger.test"]), "Of a host that nobody expects."),
    "foreign": (host(foreign, ["north.test", "localhost"]), "Of `north.test`, from a CA that is not trusted."),
    "expired": (
        host(trusted, ["north.test", "localhost"], end=datetime.datetime(2025, 6, 1)), "Its time has passed."),
    "serverOnly": (
        host(trusted, ["north.test"], usages=[ExtendedKeyUsageOID.SERVER_AUTH]), "May not connect, only accept."),
    "nameless": (host(trusted, []), "Has only a common name."),
}

print("// Made by Tests/Python/make_remote_certificates.py. The keys protect nothing.")
print("enum TestCertificates {")
parts = [
    constant("trustedAuthority", "A CA.", pem(trusted[0])),
    constant("foreignAuthority", "Another one.", pem(foreign[0])),
]
for label, ((certificate, key), comment) in hosts.items():
    parts.append(constant(label, comment, pem(certificate)))
    parts.append(constant(label + "Key", "Its key.", pem_key(key)))
print("\n".join(parts).rstrip("\n"))
print("}")
