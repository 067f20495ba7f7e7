package import Crypto

/// Overwrites bytes that were secret.
///
/// Not inlined, so that the stores are not seen to be the last ones to the memory and dropped.
@inline(never)
package func wipe(_ bytes: inout some MutableCollection<UInt8>) {
  for index in bytes.indices { bytes[index] = 0 }
}

extension SymmetricKey {
  /// Draws a key of 128 bits.
  static func draw(from random: inout any RandomSource) -> SymmetricKey {
    var bytes = random.bytes(16)
    defer { wipe(&bytes) }
    return SymmetricKey(data: bytes)
  }
}

/// The two keys that a guest's owner or two platforms share for one guest, until it runs or is gone.
///
/// A key's memory is wiped when the last value that holds it is gone.
package struct TransportKeys: Sendable {
  /// TEK, which encrypts.
  package let encryptionKey: SymmetricKey
  /// TIK, which authenticates.
  package let integrityKey: SymmetricKey
  /// TIK once more, for packets.
  let authenticator: KeyedHash

  /// What the two keys take, one after the other.
  package static let byteCount = 32

  /// Takes TEK and TIK over from ``byteCount`` bytes and wipes them there.
  package init(takingFrom bytes: inout [UInt8]) {
    encryptionKey = SymmetricKey(data: bytes[..<16])
    integrityKey = SymmetricKey(data: bytes[16..<Self.byteCount])
    authenticator = KeyedHash(key: bytes[16..<Self.byteCount])
    wipe(&bytes)
  }

  /// Draws new keys.
  init(random: inout any RandomSource) {
    var bytes = random.bytes(Self.byteCount)
    self.init(takingFrom: &bytes)
  }
}
