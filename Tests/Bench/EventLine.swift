import FoundationEssentials
import LinuxOS

/// A line of a VMM's event log, as far as the measurement reads it.
struct EventLine: Decodable {
  let event: String
  let pid: Int32
  /// `CLOCK_MONOTONIC`, nanoseconds.
  let lastInstruction: UInt64?
  let firstInstruction: UInt64?
}

/// The events of one guest, written by one VMM process after the other into one file.
struct EventReader {
  private let path: String
  private var offset: UInt64 = 0

  init(_ path: String) throws {
    self.path = path
    _ = try Files.open(path, .append)
  }

  /// The complete lines that came since the last call.
  mutating func next() throws -> [EventLine] {
    let file = try Files.open(path, .readOnly)
    let bytes = try file.read(count: Int(clamping: try file.identity().byteCount - offset), at: offset)
    guard let end = bytes.lastIndex(of: UInt8(ascii: "\n")) else { return [] }
    offset += UInt64(end + 1)
    return try bytes[...end].split(separator: UInt8(ascii: "\n")).map {
      try JSONDecoder().decode(EventLine.self, from: Data($0))
    }
  }
}
