import SEVABI

/// Buffers of the caller that a command hands to the firmware or fills from it.
extension ModelHost {
  /// How much is copied from or to the caller at a time: whole pages, and small enough for one record.
  static let chunkByteCount: UInt64 = 8 * SEVLimit.pageByteCount
  /// The most that the kernel allocates in one piece.
  static let allocationByteCount: UInt32 = 4 << 20

  /// Copies a certificate, session, header or packet in, or ends the command: EINVAL for an absent, empty or
  /// too long one, EFAULT for one that cannot be read.
  func readBlob(
    _ command: Command, address: UInt64, count: UInt32,
    then: @escaping @Sendable (inout ModelHost, [UInt8]) -> Step
  ) -> Step {
    guard address != 0, count != 0, count <= SEVLimit.blobByteCount else {
      return finish(command, .invalidArgument)
    }
    return .read(address: address, count: Int(count)) { host, bytes in
      guard let bytes else { return host.finish(command, .badAddress) }
      return then(&host, bytes)
    }
  }

  /// As ``readBlob(_:address:count:then:)``, but an address of 0 is an absent one and no error.
  func readOptionalBlob(
    _ command: Command, address: UInt64, count: UInt32,
    then: @escaping @Sendable (inout ModelHost, [UInt8]?) -> Step
  ) -> Step {
    // The closure needs the host as inout, so that an absent blob takes the same way as one that was read.
    guard address != 0 else { return .resume { host in then(&host, nil) } }
    return readBlob(command, address: address, count: count) { host, bytes in then(&host, bytes) }
  }

  /// Copies bytes out and then zeros up to `count`, as the kernel does with a buffer of the caller's size, or
  /// ends the command with EFAULT.
  func writeBlob(
    _ command: Command, _ bytes: [UInt8], address: UInt64, count: UInt32,
    then: @escaping @Sendable (inout ModelHost) -> Step
  ) -> Step {
    let chunk = min(UInt64(count), Self.chunkByteCount)
    guard bytes.count != Int(chunk) || UInt64(count) != chunk else {
      return .write(address: address, bytes: bytes) { host, written in
        written ? then(&host) : host.finish(command, .badAddress)
      }
    }
    var first = Array(bytes.prefix(Int(chunk)))
    first.append(contentsOf: repeatElement(0, count: Int(chunk) - first.count))
    let rest = Array(bytes.dropFirst(Int(chunk)))
    return .write(address: address, bytes: first) { host, written in
      guard written else { return host.finish(command, .badAddress) }
      let left = count - UInt32(chunk)
      guard left > 0 else { return then(&host) }
      return host.writeBlob(command, rest, address: address &+ chunk, count: left, then: then)
    }
  }
}
