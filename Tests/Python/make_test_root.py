"""Makes a root and a signing key for the model, and prints Sources/SEVModel/TestRoot.swift.

Done once; the root's private key is thrown away, the signing key's is part of the model. A model proves nothing,
so a root that everybody has is the honest one; both key ids say what it is. Usage: make_test_root.py
"""

import hashlib
import struct

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ROOT_ID, SIGNING_ID = b"SEVMODEL TESTARK", b"SEVMODEL TESTASK"


def certificate(key, key_id, usage, signer, signer_id):
    numbers = key.public_key().public_numbers()
    body = struct.pack("<I16s16sI16sII", 1, key_id, signer_id, usage, bytes(16), 2048, 2048)
    body += numbers.e.to_bytes(256, "little") + numbers.n.to_bytes(256, "little")
    signature = signer.sign(body, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    return body + signature[::-1]


def literal(data):
    digits = data.hex()
    return "\n".join("    " + digits[i : i + 96] for i in range(0, len(digits), 96))


root = rsa.generate_private_key(65537, 2048)
signing = rsa.generate_private_key(65537, 2048)
root_certificate = certificate(root, ROOT_ID, 0x0000, root, ROOT_ID)
signing_certificate = certificate(signing, SIGNING_ID, 0x0013, root, ROOT_ID)
private_key = signing.private_bytes(
    serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
)

print(f'''import Crypto
import CryptoExtras
import SEVABI

/// The root of the model's certificates, which stands where AMD's root stands on hardware.
///
/// It proves nothing: the key that signs is in this file, for everybody. Both key ids say so: SEVMODEL
/// TESTARK and SEVMODEL TESTASK. All models have the same, so that one accepts another's chain. Printed by
/// `Tests/Python/make_test_root.py`.
enum TestRoot {{
  /// ARK, 832 bytes, signed by itself. SHA-256: {hashlib.sha256(root_certificate).hexdigest()[:32]}...
  static let root = hexadecimal(
    """
{literal(root_certificate)}
    """)

  /// ASK, 832 bytes, signed by the root.
  static let signingKey = hexadecimal(
    """
{literal(signing_certificate)}
    """)

  /// The private key of the ASK (PKCS #1).
  private static let privateKey = hexadecimal(
    """
{literal(private_key)}
    """)

  /// Signs a chip's certificate (CEK), as AMD's server does.
  static func sign(_ certificate: inout SEVCertificate) throws(FirmwareStatus) {{
    guard let key = try? _RSA.Signing.PrivateKey(derRepresentation: privateKey),
      let signature = try? key.signature(for: SHA256.hash(data: certificate.body), padding: .PSS)
    else {{ throw .hardwareErrorPlatform }}
    certificate.setSignature(
      in: .first, of: .amdSigning, algorithm: .rsaSHA256, signature.rawRepresentation.reversed())
  }}
}}''')
