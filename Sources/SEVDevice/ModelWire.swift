import SEVABI

/// The records between a device library and the model's process, little-endian, one per seqpacket record.
///
/// A caller has at most one request under way on a connection. The model answers it with `finished`, or with
/// a `question` about the caller's memory, which the caller answers before anything else. Docs/sev-model.md
/// has the layouts for people who write a peer.
package enum ModelWire {
  package static let magic: UInt32 = 0x4D56_4553  // "SEVM"
  package static let version: UInt32 = 1

  /// Magic, version, kind and the record's length in bytes, 4 bytes each.
  package static let headerByteCount = 16
  package static let kindOffset = 8
  package static let lengthOffset = 12

  package enum Kind: UInt32 {
    // From the caller.
    case makeMachine = 1
    case openFirmware = 2
    case memoryEncryptOperation = 3
    case registerRegion = 4
    case unregisterRegion = 5
    case answer = 6
    /// The results of the request that was finished last could not be written to the caller's memory.
    case undeliverable = 7
    // From the model.
    case finished = 0x81
    case question = 0x82
    /// Carries a descriptor.
    case made = 0x83
  }

  /// What a question wants.
  package enum Question: UInt32 {
    case read = 1
    case write = 2
    case pinForReading = 3
    case pinForWriting = 4
    case findFirmware = 5
  }

  /// `makeMachine`: the caller's address space.
  package enum MakeMachine {
    package static let addressSpace = 16
    package static let byteCount = 24
  }

  /// `memoryEncryptOperation`, `registerRegion`, `unregisterRegion`: the ioctl's argument and, sent ahead,
  /// what is in memory there and at the command's own struct, and whether it can be written.
  package enum Request {
    package static let addressSpace = 16
    package static let argument = 24
    /// All ones: no limit.
    package static let lockablePages = 32
    package static let flags = 40
    package static let parameterByteCount = 44
    package static let parameterAddress = 48
    package static let argumentBytes = 56
    package static let parameterBytes = argumentBytes + SEVCommandBlock.byteCount
    package static let byteCount = parameterBytes + SEVCommandID.maximumParameterByteCount

    package static let argumentReadable: UInt32 = 1 << 0
    package static let argumentWritable: UInt32 = 1 << 1
    package static let parametersReadable: UInt32 = 1 << 2
    package static let parametersWritable: UInt32 = 1 << 3
    package static let allAccessible: UInt32 = 0xF
  }

  /// `finished`: the errno, and bytes to write to the two places that were sent ahead.
  package enum Finished {
    package static let error = 16
    package static let flags = 20
    package static let argumentBytes = 24
    package static let parameterBytes = argumentBytes + SEVCommandBlock.byteCount
    package static let byteCount = parameterBytes + SEVCommandID.maximumParameterByteCount

    package static let hasArgument: UInt32 = 1 << 0
    package static let hasParameters: UInt32 = 1 << 1
  }

  /// `question`: what is asked, and the bytes of a write.
  package enum Ask {
    package static let question = 16
    package static let descriptor = 20
    package static let address = 24
    package static let count = 32
    package static let bytes = 40
  }

  /// `answer`: 1 for yes, 0 for no, and the bytes of a read. A firmware descriptor travels with it.
  package enum Answer {
    package static let succeeded = 16
    package static let bytes = 24
  }

  /// The most bytes that one question reads or writes.
  package static let maximumChunkByteCount = 0x8000
  /// The largest record.
  package static let maximumByteCount = Ask.bytes + maximumChunkByteCount

  /// Writes a record's header.
  package static func storeHeader(_ kind: Kind, byteCount: Int, into record: inout MutableSpan<UInt8>) {
    record.store(magic, at: 0)
    record.store(version, at: 4)
    record.store(kind.rawValue, at: kindOffset)
    record.store(UInt32(byteCount), at: lengthOffset)
  }

  /// The kind of a received record, or nothing if its header is not one of this protocol's.
  package static func kind(of record: Span<UInt8>) -> Kind? {
    guard record.count >= headerByteCount, record.uint32(at: 0) == magic, record.uint32(at: 4) == version,
      record.uint32(at: lengthOffset) == UInt32(record.count)
    else { return nil }
    return Kind(rawValue: record.uint32(at: kindOffset))
  }
}
