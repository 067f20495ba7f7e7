"""The cryptography and the formats of the SEV firmware API, as an owner's or a peer's tool has them.

Written from the description of the formats alone, with PyCA cryptography, and not from the Swift model:
where both agree, two independent readings agree.
"""

import hashlib
import hmac
import os
import struct

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

CERTIFICATE_BYTES = 2084
SIGNED_BYTES = 1044
SLOTS = (1044, 1564)

USAGE_ARK, USAGE_ASK, USAGE_EMPTY = 0x0000, 0x0013, 0x1000
USAGE_OCA, USAGE_PEK, USAGE_PDH, USAGE_CEK = 0x1001, 0x1002, 0x1003, 0x1004
RSA_SHA256, ECDSA_SHA256, ECDH_SHA256, RSA_SHA384 = 0x001, 0x002, 0x003, 0x101

CONTEXT_SECRET, CONTEXT_DATA, CONTEXT_VMSA, CONTEXT_MEASURE = 0x01, 0x02, 0x03, 0x04


def hmac_sha256(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def aes_ctr(key, counter_block, data):
    context = Cipher(algorithms.AES(key), modes.CTR(counter_block)).encryptor()
    return context.update(data) + context.finalize()


def kdf(key, label, context=b"", bits=128):
    """NIST SP 800-108 in counter mode; the counter and the length are little-endian."""
    out = b""
    counter = 0
    while 8 * len(out) < bits:
        counter += 1
        out += hmac_sha256(
            key, struct.pack("<I", counter), label.encode(), b"\0", context, struct.pack("<I", bits)
        )
    return out[: bits // 8]


def wrapping_keys(shared, nonce):
    master = kdf(shared, "sev-master-secret", nonce)
    return kdf(master, "sev-kek"), kdf(master, "sev-kik")


class Session:
    """The 128-byte session: nonce 16, wrapped keys 32, wrap IV 16, wrap MAC 32, policy MAC 32."""

    @staticmethod
    def seal(shared, policy, tek, tik, nonce=None, iv=None):
        nonce = os.urandom(16) if nonce is None else nonce
        iv = os.urandom(16) if iv is None else iv
        kek, kik = wrapping_keys(shared, nonce)
        wrapped = aes_ctr(kek, iv, tek + tik)
        return (
            nonce + wrapped + iv + hmac_sha256(kik, wrapped) + hmac_sha256(tik, struct.pack("<I", policy))
        )

    @staticmethod
    def open(blob, shared, policy):
        if len(blob) != 128:
            raise ValueError("a session has 128 bytes")
        nonce, wrapped, iv = blob[:16], blob[16:48], blob[48:64]
        kek, kik = wrapping_keys(shared, nonce)
        if not hmac.compare_digest(hmac_sha256(kik, wrapped), blob[64:96]):
            raise ValueError("the keys were not wrapped with this shared secret")
        keys = aes_ctr(kek, iv, wrapped)
        tek, tik = keys[:16], keys[16:]
        if not hmac.compare_digest(hmac_sha256(tik, struct.pack("<I", policy)), blob[96:128]):
            raise ValueError("the session is for another policy")
        return tek, tik


class Packet:
    """A packet: header of 52 bytes (flags, IV, MAC) and ciphertext."""

    @staticmethod
    def mac(tik, context, flags, iv, guest_length, transport, measurement=b""):
        return hmac_sha256(
            tik,
            bytes([context]),
            struct.pack("<I", flags),
            iv,
            struct.pack("<II", guest_length, len(transport)),
            transport,
            measurement,
        )

    @staticmethod
    def seal(tek, tik, context, plaintext, iv=None, flags=0, measurement=b""):
        iv = os.urandom(16) if iv is None else iv
        transport = aes_ctr(tek, iv, plaintext)
        mac = Packet.mac(tik, context, flags, iv, len(plaintext), transport, measurement)
        return struct.pack("<I", flags) + iv + mac, transport

    @staticmethod
    def open(tek, tik, context, header, transport, measurement=b""):
        if len(header) != 52:
            raise ValueError("a packet's header has 52 bytes")
        (flags,) = struct.unpack("<I", header[:4])
        iv, mac = header[4:20], header[20:52]
        expected = Packet.mac(tik, context, flags, iv, len(transport), transport, measurement)
        if not hmac.compare_digest(mac, expected):
            raise ValueError("the packet is not authentic")
        return aes_ctr(tek, iv, transport)


def launch_measurement(tik, major, minor, build, policy, digest, nonce):
    return hmac_sha256(
        tik, bytes([CONTEXT_MEASURE, major, minor, build]), struct.pack("<I", policy), digest, nonce
    )


# Certificates


def le(number, width):
    return number.to_bytes(width, "little")


def public_key(certificate):
    """The point of a firmware certificate."""
    (curve,) = struct.unpack_from("<I", certificate, 16)
    if curve != 2:
        raise ValueError("the key is not on P-384")
    x = int.from_bytes(certificate[20:92], "little")
    y = int.from_bytes(certificate[92:164], "little")
    return ec.EllipticCurvePublicNumbers(x, y, ec.SECP384R1()).public_key()


def make_certificate(key, usage, algorithm, major=1, minor=55):
    """An unsigned certificate of a private key."""
    numbers = key.public_key().public_numbers()
    certificate = bytearray(CERTIFICATE_BYTES)
    struct.pack_into("<IBBHIII", certificate, 0, 1, major, minor, 0, usage, algorithm, 2)
    certificate[20:92] = le(numbers.x, 72)
    certificate[92:164] = le(numbers.y, 72)
    for slot in SLOTS:
        struct.pack_into("<II", certificate, slot, USAGE_EMPTY, 0)
    return bytes(certificate)


def sign(certificate, slot, usage, key):
    r, s = utils.decode_dss_signature(key.sign(certificate[:SIGNED_BYTES], ec.ECDSA(hashes.SHA256())))
    signed = bytearray(certificate)
    struct.pack_into("<II", signed, SLOTS[slot], usage, ECDSA_SHA256)
    signed[SLOTS[slot] + 8 : SLOTS[slot] + 520] = le(r, 72) + le(s, 72) + bytes(368)
    return bytes(signed)


def usage_of(certificate):
    return struct.unpack_from("<I", certificate, 8)[0]


def is_signed_by(certificate, signer):
    """Whether a firmware certificate has a signature of another one's key, in either slot."""
    for slot in SLOTS:
        usage, algorithm = struct.unpack_from("<II", certificate, slot)
        if usage != usage_of(signer) or algorithm != ECDSA_SHA256:
            continue
        r = int.from_bytes(certificate[slot + 8 : slot + 80], "little")
        s = int.from_bytes(certificate[slot + 80 : slot + 152], "little")
        try:
            public_key(signer).verify(
                utils.encode_dss_signature(r, s), certificate[:SIGNED_BYTES], ec.ECDSA(hashes.SHA256())
            )
            return True
        except InvalidSignature:
            return False
    return False


class AMDCertificate:
    """ARK or ASK: key ids, and an RSA key whose fields are as wide as the modulus."""

    def __init__(self, data):
        version, self.key_id, self.certifying_id, self.usage = struct.unpack_from("<I16s16sI", data, 0)
        exponent_bits, modulus_bits = struct.unpack_from("<II", data, 56)
        self.width = modulus_bits // 8
        if version != 1 or exponent_bits != modulus_bits or len(data) != 64 + 3 * self.width:
            raise ValueError("no AMD certificate")
        exponent = int.from_bytes(data[64 : 64 + self.width], "little")
        modulus = int.from_bytes(data[64 + self.width : 64 + 2 * self.width], "little")
        self.key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
        self.hash = hashes.SHA256() if self.width == 256 else hashes.SHA384()
        self.body = data[: 64 + 2 * self.width]
        self.signature = data[64 + 2 * self.width :]

    def verifies(self, signature, body):
        salt = self.hash.digest_size
        try:
            self.key.verify(signature[::-1], body, padding.PSS(padding.MGF1(self.hash), salt), self.hash)
            return True
        except InvalidSignature:
            return False

    def signed(self, certificate):
        """Whether this key signed a firmware certificate, in either slot."""
        algorithm = RSA_SHA256 if self.width == 256 else RSA_SHA384
        return any(
            struct.unpack_from("<II", certificate, slot) == (self.usage, algorithm)
            and self.verifies(certificate[slot + 8 : slot + 8 + self.width], certificate[:SIGNED_BYTES])
            for slot in SLOTS
        )


def shared_secret(private_key, certificate):
    """The X coordinate, big-endian, 48 bytes."""
    return private_key.exchange(ec.ECDH(), public_key(certificate))


def xts(key, tweak_key, inode, offset, data, encrypt=True):
    tweak = struct.pack("<QQ", inode, offset)
    cipher = Cipher(algorithms.AES(key + tweak_key), modes.XTS(tweak))
    context = cipher.encryptor() if encrypt else cipher.decryptor()
    return context.update(data) + context.finalize()
