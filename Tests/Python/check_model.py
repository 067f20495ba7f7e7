"""Checks the model's cryptography with another implementation of it. Usage: check_model.py PROGRAM

PROGRAM is the built sevmodel-vectors. The last line is `N passed, N failed`.
"""

import hashlib
import os
import struct
import sys
import unittest

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

import sev_format as sev
from model_program import Model, Refused

PROGRAM = None
BAD_SIGNATURE, BAD_MEASUREMENT, POLICY_FAILURE, ALREADY_OWNED = 0x0A, 0x0B, 0x07, 0x05
INVALID_CERTIFICATE, INVALID_PARAMETER = 0x06, 0x16
NOKS, ES, NOSEND, DOMAIN, SEV = 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 5


class ModelTest(unittest.TestCase):
    def setUp(self):
        self.model = Model(PROGRAM)
        self.addCleanup(self.model.close)
        self.key = ec.generate_private_key(ec.SECP384R1())
        self.certificate = sev.make_certificate(self.key, sev.USAGE_PDH, sev.ECDH_SHA256)

    def refused(self, status, name, **fields):
        with self.assertRaises(Refused) as caught:
            self.model(name, **fields)
        self.assertEqual(caught.exception.status, status)

    def pdh(self):
        return self.model.blob("export", "pdh")

    def shared(self):
        return sev.shared_secret(self.key, self.pdh())

    def running(self, policy=0):
        handle = self.model("launch-start", policy=policy)["handle"]
        if policy & ES:
            self.model("launch-update-vmsa", handle=handle, data=bytes(4096))
        self.model("launch-measure", handle=handle)
        self.model("launch-finish", handle=handle)
        return handle

    def send_start(self, handle, pdh=None, chain=b"", amd=b""):
        pdh = self.certificate if pdh is None else pdh
        answer = self.model("send-start", handle=handle, pdh=pdh, chain=chain, amd=amd)
        return int(answer["policy"]), bytes.fromhex(answer["session"])


class OwnVectors(unittest.TestCase):
    """This file's own code against the published values, so that it is worth comparing with."""

    def test_the_published_session_of_zeros(self):
        zero = bytes(16)
        self.assertEqual(
            sev.kdf(zero, "sev-master-secret", zero).hex(), "ab4d269fcc62bedb4511d56c386ce706"
        )
        blob = sev.Session.seal(zero, 0, zero, zero, nonce=zero, iv=zero)
        self.assertEqual(
            blob[16:48].hex(), "2137bc7f9bb8bd7c3e55a576a15d3454b3856b8ba27afadf46dcfee9f02c02c4"
        )
        self.assertEqual(
            blob[64:96].hex(), "3176c0752738bd9d5e86689534020f528c088f16238826b000b327dee6aeed7d"
        )
        self.assertEqual(
            blob[96:].hex(), "aa7855e13839dd767cd5da7c1ff5036540c9264b7a803029315e55375287b4af"
        )

    def test_the_published_launch_measurement(self):
        self.assertEqual(
            sev.launch_measurement(
                bytes.fromhex("66320db73158a35a255d051758e95ed4"), 0, 0x12, 0x0F, 0,
                hashlib.sha256(b"").digest(), bytes.fromhex("4fbe0bedbad6c86ae8f68971d103e554"),
            ).hex(),
            "6faab2daae389bcd3405a05d6cafe33c0414f7bedd0bae19ba5f38b7fd1664ea",
        )


    def test_the_packets_of_the_counting_keys_in_each_context(self):
        def counting(first, count):
            return bytes(range(first, first + count))

        measured = bytes.fromhex("6faab2daae389bcd3405a05d6cafe33c0414f7bedd0bae19ba5f38b7fd1664ea")
        for context, measurement, code in (
            (sev.CONTEXT_DATA, b"", "028b9a291dc1ce623f13b52970ed8ee8e2a891b7beea175860a0cfbec16a6646"),
            (sev.CONTEXT_VMSA, b"", "ebf22da5338dce76b30450577dbe464e4ddf52f61dd9898c3e8540876d6aa73c"),
            (sev.CONTEXT_SECRET, b"", "0f719a0304a385663d334367606384784da438d78c477affbe0f11a86ec4906d"),
            (sev.CONTEXT_SECRET, measured, "fb2dff267a4a7bab466af48f833a849af63462d084a4cc11b31e5f0fa70318a3"),
        ):
            header, _ = sev.Packet.seal(
                counting(0x60, 16), counting(0x70, 16), context, counting(0, 64), iv=counting(0x80, 16),
                measurement=measurement,
            )
            self.assertEqual(header, bytes(4) + counting(0x80, 16) + bytes.fromhex(code))


class Sending(ModelTest):
    def test_a_session_of_the_model_opens_and_its_packets_decrypt(self):
        policy = NOKS | 0x01000000
        handle = self.running(policy)
        answered, blob = self.send_start(handle)
        self.assertEqual(answered, policy)
        tek, tik = sev.Session.open(blob, self.shared(), policy)
        vectors = set()
        for number in range(200):
            size = (16, 4096, 0x5000, 48, 4096)[number % 5]
            plaintext = os.urandom(size)
            answer = self.model("send-update", handle=handle, kind="data", data=plaintext)
            header, transport = bytes.fromhex(answer["header"]), bytes.fromhex(answer["transport"])
            self.assertEqual(
                sev.Packet.open(tek, tik, sev.CONTEXT_DATA, header, transport), plaintext
            )
            self.assertNotEqual(transport, plaintext)
            with self.assertRaises(ValueError):
                sev.Packet.open(tek, tik, sev.CONTEXT_VMSA, header, transport)
            vectors.add(header[4:20])
        self.assertEqual(len(vectors), 200)
        self.model("send-finish", handle=handle)
        self.assertEqual(self.model("status", handle=handle)["state"], "6")

    def test_registers_travel_in_a_context_of_their_own(self):
        handle = self.model("launch-start", policy=ES)["handle"]
        page = self.model.blob("launch-update-vmsa", "page", handle=handle, data=os.urandom(4096))
        self.model("launch-measure", handle=handle)
        self.model("launch-finish", handle=handle)
        tek, tik = sev.Session.open(self.send_start(handle)[1], self.shared(), ES)
        answer = self.model("send-update", handle=handle, kind="registers", data=page)
        header, transport = bytes.fromhex(answer["header"]), bytes.fromhex(answer["transport"])
        self.assertEqual(sev.Packet.open(tek, tik, sev.CONTEXT_VMSA, header, transport), page)
        spoilt = bytes([page[0] ^ 1]) + page[1:]
        self.refused(INVALID_PARAMETER, "send-update", handle=handle, kind="registers", data=spoilt)

    def test_after_cancelling_the_next_session_has_other_keys(self):
        handle = self.running()
        first = sev.Session.open(self.send_start(handle)[1], self.shared(), 0)
        self.model("send-cancel", handle=handle)
        self.assertEqual(self.model("status", handle=handle)["state"], "3")
        second = sev.Session.open(self.send_start(handle)[1], self.shared(), 0)
        self.assertNotEqual(first[0], second[0])
        self.assertNotEqual(first[1], second[1])


class Receiving(ModelTest):
    def start(self, policy=0, change=lambda blob: blob):
        self.tek, self.tik = os.urandom(16), os.urandom(16)
        blob = change(sev.Session.seal(self.shared(), policy, self.tek, self.tik))
        return self.model(
            "receive-start", policy=policy, certificate=self.certificate, session=blob
        )["handle"]

    def test_the_model_accepts_a_session_and_packets_of_ours(self):
        handle = self.start(policy=NOKS)
        for number in range(100):
            plaintext = os.urandom((16, 4096, 0x5000)[number % 3])
            header, transport = sev.Packet.seal(self.tek, self.tik, sev.CONTEXT_DATA, plaintext)
            received = self.model.blob(
                "receive-update", "data", handle=handle, kind="data", header=header, transport=transport
            )
            self.assertEqual(received, plaintext)
        self.model("receive-finish", handle=handle)
        self.assertEqual(self.model("status", handle=handle)["state"], "3")

    def test_any_changed_bit_of_a_packet_is_noticed(self):
        handle = self.start()
        header, transport = sev.Packet.seal(self.tek, self.tik, sev.CONTEXT_DATA, os.urandom(64))
        for bit in range(8, 8 * 52, 5):
            changed = bytearray(header)
            changed[bit // 8] ^= 1 << bit % 8
            self.refused(
                BAD_MEASUREMENT, "receive-update", handle=handle, kind="data", header=changed,
                transport=transport,
            )
        for bit in range(0, 8 * 64, 7):
            changed = bytearray(transport)
            changed[bit // 8] ^= 1 << bit % 8
            self.refused(
                BAD_MEASUREMENT, "receive-update", handle=handle, kind="data", header=header,
                transport=changed,
            )

    def test_any_changed_byte_of_a_session_is_noticed(self):
        for position in range(128):
            def change(blob):
                return blob[:position] + bytes([blob[position] ^ 0x10]) + blob[position + 1 :]

            with self.assertRaises(Refused) as caught:
                self.start(change=change)
            self.assertEqual(caught.exception.status, BAD_MEASUREMENT)

    def test_a_session_for_another_policy_is_refused(self):
        blob = sev.Session.seal(self.shared(), 0, bytes(16), bytes(16))
        self.refused(
            BAD_MEASUREMENT, "receive-start", policy=1, certificate=self.certificate, session=blob
        )


class Launching(ModelTest):
    def test_the_launch_measurement_is_what_the_owner_computes(self):
        policy = ES | NOSEND
        tek, tik = os.urandom(16), os.urandom(16)
        blob = sev.Session.seal(self.shared(), policy, tek, tik)
        handle = self.model(
            "launch-start", policy=policy, certificate=self.certificate, session=blob
        )["handle"]
        digest = hashlib.sha256()
        for size in (4096, 16, 4096, 48):
            data = os.urandom(size)
            digest.update(data)
            self.model("launch-update", handle=handle, data=data)
        registers = os.urandom(4096)
        digest.update(registers)
        self.model("launch-update-vmsa", handle=handle, data=registers)
        answer = self.model.blob("launch-measure", "blob", handle=handle)
        version = {name: int(value) for name, value in self.model("version").items()}
        expected = sev.launch_measurement(
            tik, version["major"], version["minor"], version["build"], policy, digest.digest(), answer[32:]
        )
        self.assertEqual(answer[:32], expected)

        secret = os.urandom(256)
        header, transport = sev.Packet.seal(
            tek, tik, sev.CONTEXT_SECRET, secret, measurement=answer[:32]
        )
        self.assertEqual(
            self.model.blob("launch-secret", "data", handle=handle, header=header, transport=transport),
            secret,
        )
        header, transport = sev.Packet.seal(tek, tik, sev.CONTEXT_SECRET, secret, measurement=bytes(32))
        self.refused(BAD_MEASUREMENT, "launch-secret", handle=handle, header=header, transport=transport)

        self.model("launch-finish", handle=handle)
        nonce = os.urandom(16)
        report = self.model.blob("attest", "report", handle=handle, nonce=nonce)
        self.check_report(report, nonce, digest.digest(), policy)

    def check_report(self, report, nonce, digest, policy):
        self.assertEqual(len(report), 208)
        self.assertEqual(report[:52], nonce + digest + struct.pack("<I", policy))
        self.assertEqual(
            struct.unpack_from("<III", report, 52), (sev.USAGE_PEK, sev.ECDSA_SHA256, 0)
        )
        r = int.from_bytes(report[64:136], "little")
        s = int.from_bytes(report[136:208], "little")
        pek = sev.public_key(self.model.blob("certificates", "pek"))
        signature = utils.encode_dss_signature(r, s)
        pek.verify(signature, report[:52], ec.ECDSA(hashes.SHA256()))
        with self.assertRaises(InvalidSignature):
            pek.verify(signature, report[:51] + b"\xff", ec.ECDSA(hashes.SHA256()))


class Identity(ModelTest):
    def test_the_chain_leads_to_the_test_root_which_says_that_it_is_one(self):
        blobs = {name: bytes.fromhex(text) for name, text in self.model("certificates").items()}
        ark, ask = sev.AMDCertificate(blobs["ark"]), sev.AMDCertificate(blobs["ask"])
        self.assertEqual(ark.key_id, b"SEVMODEL TESTARK")
        self.assertEqual(ask.key_id, b"SEVMODEL TESTASK")
        self.assertEqual((ark.usage, ask.usage), (sev.USAGE_ARK, sev.USAGE_ASK))
        self.assertTrue(ark.verifies(ark.signature, ark.body))
        self.assertTrue(ark.verifies(ask.signature, ask.body))
        self.assertEqual((ask.certifying_id, ark.certifying_id), (ark.key_id, ark.key_id))
        self.assertTrue(ask.signed(blobs["cek"]))
        self.assertTrue(sev.is_signed_by(blobs["pek"], blobs["cek"]))
        self.assertTrue(sev.is_signed_by(blobs["pek"], blobs["oca"]))
        self.assertTrue(sev.is_signed_by(blobs["oca"], blobs["oca"]))
        self.assertTrue(sev.is_signed_by(blobs["pdh"], blobs["pek"]))
        exported = self.model("export")
        self.assertEqual(bytes.fromhex(exported["pdh"]), blobs["pdh"])
        chain = bytes.fromhex(exported["chain"])
        self.assertEqual(chain[: 2 * 2084], blobs["pek"] + blobs["oca"])
        self.assertEqual(chain[2 * 2084 :][: sev.SIGNED_BYTES], blobs["cek"][: sev.SIGNED_BYTES])
        self.assertFalse(ask.signed(chain[2 * 2084 :]))

    def test_a_guest_that_wants_a_genuine_platform_goes_to_another_model_only(self):
        other = Model(PROGRAM)
        self.addCleanup(other.close)
        peer = {name: bytes.fromhex(text) for name, text in other("certificates").items()}
        chain, amd = peer["pek"] + peer["oca"] + peer["cek"], peer["ask"] + peer["ark"]
        handle = self.running(SEV)
        spoilt = bytes([chain[100] ^ 1])
        self.refused(
            BAD_SIGNATURE, "send-start", handle=handle, pdh=peer["pdh"],
            chain=chain[:100] + spoilt + chain[101:], amd=amd,
        )
        self.refused(
            BAD_SIGNATURE, "send-start", handle=handle, pdh=self.certificate, chain=chain, amd=amd
        )
        policy, blob = self.send_start(handle, pdh=peer["pdh"], chain=chain, amd=amd)
        received = other(
            "receive-start", policy=policy, certificate=self.pdh(), session=blob
        )["handle"]
        page = os.urandom(4096)
        packet = self.model("send-update", handle=handle, kind="data", data=page)
        self.assertEqual(
            other.blob("receive-update", "data", handle=received, kind="data", **packet), page
        )

    def test_an_owner_takes_the_platform_over_and_domains_are_kept_apart(self):
        owner = ec.generate_private_key(ec.SECP384R1())
        oca = sev.make_certificate(owner, sev.USAGE_OCA, sev.ECDSA_SHA256)
        oca = sev.sign(oca, 0, sev.USAGE_OCA, owner)
        peers = [self.model, Model(PROGRAM), Model(PROGRAM)]
        for peer in peers[1:]:
            self.addCleanup(peer.close)
        for peer in peers[:2]:
            request = peer.blob("csr", "pek")
            self.assertEqual(struct.unpack_from("<I", request, sev.SLOTS[0])[0], sev.USAGE_EMPTY)
            before = peer.blob("export", "pdh")
            unsigned = dict(pek=request, oca=oca)
            with self.assertRaises(Refused) as caught:
                peer("import", **unsigned)
            self.assertEqual(caught.exception.status, BAD_SIGNATURE)
            pek = sev.sign(request, 0, sev.USAGE_OCA, owner)
            peer("import", pek=pek, oca=oca)
            with self.assertRaises(Refused) as caught:
                peer("import", pek=pek, oca=oca)
            self.assertEqual(caught.exception.status, ALREADY_OWNED)
            self.assertNotEqual(peer.blob("export", "pdh"), before)

        def certificates(peer):
            return {name: bytes.fromhex(text) for name, text in peer("certificates").items()}

        handle = self.running(DOMAIN)
        stranger, friend = certificates(peers[2]), certificates(peers[1])
        self.assertTrue(sev.is_signed_by(friend["pek"], friend["cek"]))
        self.assertTrue(sev.is_signed_by(friend["pek"], oca))
        self.refused(
            POLICY_FAILURE, "send-start", handle=handle, pdh=stranger["pdh"],
            chain=stranger["pek"] + stranger["oca"] + stranger["cek"], amd=b"",
        )
        self.send_start(
            handle, pdh=friend["pdh"], chain=friend["pek"] + friend["oca"] + friend["cek"]
        )


class Memory(ModelTest):
    def test_pages_are_encrypted_as_by_xts_under_inode_and_offset(self):
        key, tweak_key = os.urandom(16), os.urandom(16)
        for inode, offset in ((1, 0), (77, 4096), (2**64 - 1, 2**40)):
            page = os.urandom(4096)
            fields = dict(key=key, tweak_key=tweak_key, inode=inode, offset=offset)
            whole = sev.xts(key, tweak_key, inode, offset, page)
            encrypted = self.model.blob("xts", "bytes", direction="encrypt", at=0, data=page, **fields)
            self.assertEqual(encrypted, whole)
            decrypted = self.model.blob("xts", "bytes", direction="decrypt", at=0, data=whole, **fields)
            self.assertEqual(decrypted, page)
            for at, count in ((16, 16), (4080, 16), (2048, 256)):
                part = self.model.blob(
                    "xts", "bytes", direction="encrypt", at=at, data=page[at : at + count], **fields
                )
                self.assertEqual(part, whole[at : at + count])


def main():
    global PROGRAM
    if len(sys.argv) != 2:
        print("usage: check_model.py PROGRAM", file=sys.stderr)
        return 64
    PROGRAM = sys.argv[1]
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    print(f"{result.testsRun - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
