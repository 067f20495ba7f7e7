import BatonWire

/// What the console and the disk carry to the successor.
struct DeviceState: Hashable {
  /// Number of the next console line, as the console device counts them.
  var consoleSequence: UInt64 = 0
  /// Number of the next disk write.
  var diskSequence: UInt64 = 1
  /// Output that the guest has given and that nobody has taken yet (format 2).
  var pendingConsole: [UInt8] = []

  func encoded(format: UInt16) throws(MachineStateError) -> [UInt8] {
    var writer = ByteWriter(capacity: 32 + pendingConsole.count)
    writer.write(consoleSequence)
    writer.write(diskSequence)
    if format == 1 {
      guard pendingConsole.isEmpty else {
        throw .cannotExpress(
          format: format, what: "\(pendingConsole.count) bytes of console output that wait for a reader")
      }
    } else {
      writer.write(UInt32(pendingConsole.count))
      writer.write(raw: pendingConsole)
    }
    return writer.bytes
  }

  init() {}

  init(decoding bytes: [UInt8], format: UInt16) throws(MachineStateError) {
    var reader = ByteReader(bytes)
    consoleSequence = try reader.take(UInt64.self)
    diskSequence = try reader.take(UInt64.self)
    if format >= 2 {
      let count = Int(try reader.take(UInt32.self))
      guard count <= Console.maximumPendingBytes else {
        throw .implausible("\(count) bytes of console output wait for a reader")
      }
      pendingConsole = try reader.take(count: count)
    }
    guard reader.remaining == 0 else { throw .trailingBytes(reader.remaining) }
  }
}
