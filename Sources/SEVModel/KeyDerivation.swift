package import Crypto

/// The key derivation of NIST SP 800-108 in counter mode with HMAC-SHA256, as the firmware uses it: counter
/// and length are little-endian, and a zero byte follows the label.
package enum KeyDerivation {
  /// Derives a key of `bitCount` bits, a multiple of 8.
  package static func key(
    from key: SymmetricKey, label: String, context: [UInt8] = [], bitCount: UInt32 = 128
  ) -> SymmetricKey {
    var output: [UInt8] = []
    let byteCount = Int(bitCount / 8)
    output.reserveCapacity(byteCount + SHA256.byteCount)
    var counter: UInt32 = 0
    while output.count < byteCount {
      counter += 1
      var mac = HMAC<SHA256>(key: key)
      mac.update(data: littleEndianBytes(counter))
      mac.update(data: Array(label.utf8))
      mac.update(data: [0])
      mac.update(data: context)
      mac.update(data: littleEndianBytes(bitCount))
      output.append(contentsOf: mac.finalize())
    }
    defer { wipe(&output) }
    return SymmetricKey(data: output[..<byteCount])
  }

  /// What wraps the keys of a session, derived from the shared secret of two Diffie-Hellman keys.
  static func wrappingKeys(
    sharedSecret: SymmetricKey, nonce: [UInt8]
  ) -> (encryption: SymmetricKey, integrity: SymmetricKey) {
    let master = key(from: sharedSecret, label: "sev-master-secret", context: nonce)
    return (key(from: master, label: "sev-kek"), key(from: master, label: "sev-kik"))
  }
}

package func littleEndianBytes(_ value: UInt32) -> [UInt8] {
  (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
}
