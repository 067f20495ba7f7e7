import SEVABI
import SEVDevice
import SEVModel

extension Step {
  /// The same step, or one that asks in pieces that fit into records.
  func inChunks() -> Step {
    switch self {
    case .finished, .resume, .pin, .findFirmware, .findMachine, .lock: self
    case .read(let address, let count, let then): Self.read(address, count, gathered: [], then)
    case .write(let address, let bytes, let then): Self.write(address, bytes[...], then)
    case .identifyPages(let address, let count, let then):
      Self.identify(address, count, gathered: [], then)
    }
  }

  private static func read(
    _ address: UInt64, _ count: Int, gathered: [UInt8],
    _ then: @escaping @Sendable (inout ModelHost, [UInt8]?) -> Step
  ) -> Step {
    let chunk = min(count, ModelWire.maximumChunkByteCount)
    guard chunk < count || !gathered.isEmpty else {
      return .read(address: address, count: count, then: then)
    }
    return .read(address: address, count: chunk) { host, bytes in
      guard let bytes else { return then(&host, nil) }
      guard chunk < count else { return then(&host, gathered + bytes) }
      return read(address &+ UInt64(chunk), count - chunk, gathered: gathered + bytes, then)
    }
  }

  private static func write(
    _ address: UInt64, _ bytes: ArraySlice<UInt8>,
    _ then: @escaping @Sendable (inout ModelHost, Bool) -> Step
  ) -> Step {
    let chunk = bytes.prefix(ModelWire.maximumChunkByteCount)
    guard chunk.count < bytes.count else {
      return .write(address: address, bytes: Array(bytes), then: then)
    }
    return .write(address: address, bytes: Array(chunk)) { host, isWritten in
      guard isWritten else { return then(&host, false) }
      return write(address &+ UInt64(chunk.count), bytes.dropFirst(chunk.count), then)
    }
  }

  private static func identify(
    _ address: UInt64, _ count: UInt64, gathered: [PageIdentity],
    _ then: @escaping @Sendable (inout ModelHost, [PageIdentity]?) -> Step
  ) -> Step {
    // As many bytes as lie in the most pages that one question identifies.
    let room =
      UInt64(ModelWire.maximumIdentifiedPages) * SEVLimit.pageByteCount - address % SEVLimit.pageByteCount
    let chunk = min(count, room)
    guard chunk < count || !gathered.isEmpty else {
      return .identifyPages(address: address, count: count, then: then)
    }
    return .identifyPages(address: address, count: chunk) { host, pages in
      guard let pages else { return then(&host, nil) }
      guard chunk < count else { return then(&host, gathered + pages) }
      return identify(address &+ chunk, count - chunk, gathered: gathered + pages, then)
    }
  }
}
