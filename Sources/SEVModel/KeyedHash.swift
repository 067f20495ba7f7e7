import Crypto

/// HMAC-SHA256 (RFC 2104) for many messages under one key of up to 64 bytes.
///
/// The library's type hashes the key again for each message, and its calls are generic across modules; both
/// together cost a packet a fifth of its time. The key is in the two hashes' states, which the library wipes.
struct KeyedHash: Sendable {
  private static let blockByteCount = 64
  private let inner: SHA256
  private let outer: SHA256

  init(key: ArraySlice<UInt8>) {
    precondition(key.count <= Self.blockByteCount, "a longer key would have to be hashed first")
    inner = Self.state(key: key, padding: 0x36)
    outer = Self.state(key: key, padding: 0x5C)
  }

  private static func state(key: ArraySlice<UInt8>, padding: UInt8) -> SHA256 {
    var block = [UInt8](repeating: padding, count: blockByteCount)
    for (index, byte) in key.enumerated() { block[index] ^= byte }
    var hash = SHA256()
    hash.update(data: block)
    wipe(&block)
    return hash
  }

  /// The code of a message in up to three parts. Compare it with ``==``, which takes the same time wherever two
  /// codes differ.
  func code(_ first: [UInt8], _ second: [UInt8], _ third: [UInt8]) -> SHA256Digest {
    var message = inner
    message.update(data: first)
    message.update(data: second)
    if !third.isEmpty { message.update(data: third) }
    var code = outer
    code.update(data: Array(message.finalize()))
    return code.finalize()
  }
}
