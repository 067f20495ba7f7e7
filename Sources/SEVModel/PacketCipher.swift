import Crypto
package import SEVABI

/// What a packet carries, as the byte that its authentication code begins with.
package enum PacketContext: UInt8, Sendable {
  /// LAUNCH_SECRET; the launch measurement is authenticated too.
  case secret = 0x01
  /// SEND_UPDATE_DATA and RECEIVE_UPDATE_DATA.
  case data = 0x02
  /// SEND_UPDATE_VMSA and RECEIVE_UPDATE_VMSA. The number is that of the published headers; one published
  /// firmware uses 0x02 here as well, which nothing in Linux can observe.
  case registers = 0x03
}

/// The header of a packet, 52 bytes: flags, initialization vector, authentication code.
package enum PacketHeader {
  package static let byteCount = 52
  static let flags = 0..<4
  static let vector = 4..<20
  /// What is authenticated as it stands.
  static let authenticated = 0..<20
  static let code = 20..<52

  /// Bit 0 of the flags: the data is compressed, which no firmware was seen to support.
  static func isCompressed(_ header: [UInt8]) -> Bool { header[flags.lowerBound] & 1 != 0 }
}

/// Seals and opens packets with one guest's transport keys: AES-128 in counter mode, then HMAC-SHA256 over
/// the ciphertext.
///
/// A packet says nothing about where it belongs or when it was made: one that is swapped with another or
/// sent again is authentic.
package struct PacketCipher: Sendable {
  private let encryptionKey: SymmetricKey
  private let authenticator: KeyedHash

  package init(_ keys: TransportKeys) {
    encryptionKey = keys.encryptionKey
    authenticator = keys.authenticator
  }

  /// Encrypts `plaintext` under a fresh `vector` of 16 bytes.
  ///
  /// - Parameter measurement: The launch measurement, for ``PacketContext/secret`` only.
  package func seal(
    _ plaintext: [UInt8], as context: PacketContext, vector: [UInt8], measurement: [UInt8] = []
  ) throws(FirmwareStatus) -> (header: [UInt8], transport: [UInt8]) {
    let transport = try applyCounterMode(to: plaintext, key: encryptionKey, vector: vector)
    var header: [UInt8] = []
    header.reserveCapacity(PacketHeader.byteCount)
    header.append(contentsOf: [0, 0, 0, 0])
    header.append(contentsOf: vector)
    header.append(
      contentsOf: authenticationCode(
        context, header: header, guestByteCount: UInt32(plaintext.count), transport: transport,
        measurement: measurement))
    return (header, transport)
  }

  /// Whether a packet was made with these keys. The comparison takes the same time wherever the codes
  /// differ.
  ///
  /// - Precondition: `header` has ``PacketHeader/byteCount`` bytes or more.
  package func isAuthentic(
    header: [UInt8], transport: [UInt8], as context: PacketContext, guestByteCount: UInt32,
    measurement: [UInt8] = []
  ) -> Bool {
    let expected = authenticationCode(
      context, header: header, guestByteCount: guestByteCount, transport: transport,
      measurement: measurement)
    return expected == header[PacketHeader.code]
  }

  /// Decrypts what ``isAuthentic(header:transport:as:guestByteCount:measurement:)`` accepted.
  package func decrypt(header: [UInt8], transport: [UInt8]) throws(FirmwareStatus) -> [UInt8] {
    try applyCounterMode(to: transport, key: encryptionKey, vector: header[PacketHeader.vector])
  }

  private func authenticationCode(
    _ context: PacketContext, header: [UInt8], guestByteCount: UInt32, transport: [UInt8],
    measurement: [UInt8]
  ) -> SHA256Digest {
    var prefix: [UInt8] = []
    prefix.reserveCapacity(29)
    prefix.append(context.rawValue)
    prefix.append(contentsOf: header[PacketHeader.authenticated])
    for shift in stride(from: UInt32(0), to: 32, by: 8) {
      prefix.append(UInt8(truncatingIfNeeded: guestByteCount >> shift))
    }
    let transportByteCount = UInt32(transport.count)
    for shift in stride(from: UInt32(0), to: 32, by: 8) {
      prefix.append(UInt8(truncatingIfNeeded: transportByteCount >> shift))
    }
    return authenticator.code(prefix, transport, measurement)
  }
}
