import BatonWire

/// All that a stream has brought; both ends count, and the end frame compares.
public struct StreamTotals: Hashable, Sendable {
  /// Rounds that have ended.
  public var rounds: UInt32 = 0
  public var batches: UInt64 = 0
  public var zeroPages: UInt64 = 0
  public var plainPages: UInt64 = 0
  public var encryptedPages: UInt64 = 0
  /// Ranges in the list of shared regions.
  public var sharedRanges: UInt64 = 0
  public var saveAreas: UInt32 = 0
  public var stateBytes: UInt64 = 0
  /// Bytes of all frames of the source, headers included; in an end frame, of all before it.
  public var bytes: UInt64 = 0

  public init() {}

  /// Pages of all kinds.
  public var pages: UInt64 { zeroPages &+ plainPages &+ encryptedPages }

  func encode(into writer: inout ByteWriter) {
    writer.write(rounds)
    for value in [batches, zeroPages, plainPages, encryptedPages, sharedRanges] { writer.write(value) }
    writer.write(saveAreas)
    writer.write(stateBytes)
    writer.write(bytes)
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    rounds = try reader.read(UInt32.self, "rounds")
    batches = try reader.read(UInt64.self, "batches")
    zeroPages = try reader.read(UInt64.self, "zero pages")
    plainPages = try reader.read(UInt64.self, "plain pages")
    encryptedPages = try reader.read(UInt64.self, "encrypted pages")
    sharedRanges = try reader.read(UInt64.self, "shared ranges")
    saveAreas = try reader.read(UInt32.self, "save areas")
    stateBytes = try reader.read(UInt64.self, "state bytes")
    bytes = try reader.read(UInt64.self, "bytes")
  }

  /// Refuses totals of the peer's that are not these.
  func compare(announced: StreamTotals) throws(StreamFault) {
    let pairs: [(String, UInt64, UInt64)] = [
      ("rounds", UInt64(announced.rounds), UInt64(rounds)),
      ("batches", announced.batches, batches),
      ("zero pages", announced.zeroPages, zeroPages),
      ("plain pages", announced.plainPages, plainPages),
      ("encrypted pages", announced.encryptedPages, encryptedPages),
      ("shared ranges", announced.sharedRanges, sharedRanges),
      ("save areas", UInt64(announced.saveAreas), UInt64(saveAreas)),
      ("bytes of device state", announced.stateBytes, stateBytes),
      ("bytes", announced.bytes, bytes),
    ]
    for (name, theirs, ours) in pairs where theirs != ours {
      throw .totalsDiffer(name, announced: theirs, counted: ours)
    }
  }
}
