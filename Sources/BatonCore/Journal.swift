public import BatonWire

/// The registry's journal as bytes: what is in the file, and what may be wrong with it.
///
/// | offset | width | field |
/// | --- | --- | --- |
/// | 0 | 8 | magic, the bytes `BATONJNL` |
/// | 8 | 4 | layout version, 1 |
/// | 12 | 4 | CRC-32C of bytes 0 to 11 |
/// | 16 | 8 | committed word: the low half is the committed length of the file in bytes, the high half its complement |
/// | 24 | … | entries |
///
/// The record of a guest that has, or had, to do with another host goes on behind what other records have: only
/// such a journal cannot be read by a registry that knows nothing of migration.
///
/// An entry is a u32 length, a u32 CRC-32C of the length field and the record, and the record. A record with
/// an empty name is no guest's: it holds the numbers of guests that were forgotten. An entry
/// counts once the committed word, stored last and in one piece, reaches its end: what lies behind is a
/// torn tail and ignored. Whatever is wrong before that end is damage, and refused.
public enum Journal {
  /// Where entries begin.
  public static let headerByteCount = 24
  /// Where the committed word is.
  public static let committedOffset = 16
  /// Bytes in front of each record.
  public static let entryOverhead = 8
  /// Largest journal, so that its length fits half of the committed word.
  public static let maximumByteCount = Int(Int32.max)

  static let magic = Array("BATONJNL".utf8)
  static let version: UInt32 = 1
  static let maximumRecord = 65_536
  static let maximumLeaving = 4_096

  /// The committed word for a length in bytes.
  public static func committedWord(_ byteCount: Int) -> UInt64 {
    let length = UInt32(truncatingIfNeeded: byteCount)
    return UInt64(length) | UInt64(~length) << 32
  }

  /// One entry, ready to be appended.
  public static func entry(_ record: GuestRecord) -> [UInt8] {
    var payload = ByteWriter(capacity: 128)
    record.encode(into: &payload)
    return entry(payload.bytes)
  }

  private static func entry(_ forgotten: ForgottenNumbers) -> [UInt8] {
    guard forgotten != ForgottenNumbers() else { return [] }
    var payload = ByteWriter(capacity: 18)
    payload.write("")
    payload.write(forgotten.epoch)
    payload.write(forgotten.handoff)
    return entry(payload.bytes)
  }

  private static func entry(_ payload: [UInt8]) -> [UInt8] {
    var length = ByteWriter(capacity: 4)
    length.write(UInt32(payload.count))
    var writer = ByteWriter(capacity: entryOverhead + payload.count)
    writer.write(raw: length.bytes)
    writer.write(CRC32C.checksum(length.bytes + payload))
    writer.write(raw: payload)
    return writer.bytes
  }

  /// A whole journal that says no more than these records: a new one, or a compacted one.
  public static func image(
    _ records: [GuestRecord], forgotten: ForgottenNumbers = ForgottenNumbers()
  ) -> [UInt8] {
    let entries = entry(forgotten) + records.flatMap { entry($0) }
    var writer = ByteWriter(capacity: headerByteCount + entries.count)
    writer.write(raw: magic)
    writer.write(version)
    writer.write(CRC32C.checksum(writer.bytes))
    writer.write(committedWord(headerByteCount + entries.count))
    writer.write(raw: entries)
    return writer.bytes
  }

  /// What a journal says.
  public struct Contents: Hashable, Sendable {
    /// The last record of each guest, by name.
    public var records: [GuestRecord]
    /// What guests had used that were forgotten.
    public var forgotten: ForgottenNumbers
    /// The committed length in bytes; the next entry goes there.
    public var committedByteCount: Int
    /// How many bytes of it the last records take; the rest is garbage.
    public var liveByteCount: Int
  }

  /// Reads a journal.
  ///
  /// - Throws: ``JournalError`` for anything wrong before the committed length.
  public static func replay(_ bytes: [UInt8]) throws(JournalError) -> Contents {
    let committed = try checkHeader(bytes)
    var last: [GuestName: (record: GuestRecord, byteCount: Int)] = [:]
    var forgotten = ForgottenNumbers()
    var live = headerByteCount
    var offset = headerByteCount
    while offset < committed {
      let (content, byteCount) = try decodeEntry(bytes, at: offset, committed: committed)
      switch content {
      case .guest(let record): last[record.name] = (record, byteCount)
      case .forgotten(let numbers):
        forgotten = numbers
        live += byteCount
      }
      offset += byteCount
    }
    return Contents(
      records: last.values.map(\.record).sorted { $0.name < $1.name }, forgotten: forgotten,
      committedByteCount: committed, liveByteCount: last.values.reduce(live) { $0 + $1.byteCount })
  }

  private enum Content {
    case guest(GuestRecord)
    case forgotten(ForgottenNumbers)
  }

  private static func checkHeader(_ bytes: [UInt8]) throws(JournalError) -> Int {
    guard bytes.count >= headerByteCount else {
      throw JournalError(offset: bytes.count, reason: .tooShort)
    }
    guard Array(bytes[0..<8]) == magic else { throw JournalError(offset: 0, reason: .notAJournal) }
    let found = number(bytes, at: 8)
    guard number(bytes, at: 12) == CRC32C.checksum(Array(bytes[0..<12])) else {
      throw JournalError(offset: 8, reason: .wrongHeaderChecksum)
    }
    guard found == version else { throw JournalError(offset: 8, reason: .unknownVersion(found)) }
    let length = number(bytes, at: 16)
    guard number(bytes, at: 20) == ~length else {
      throw JournalError(offset: 16, reason: .committedLengthDamaged)
    }
    guard Int(length) >= headerByteCount, Int(length) <= bytes.count else {
      throw JournalError(
        offset: 16, reason: .committedLengthOutside(committed: Int(length), file: bytes.count))
    }
    return Int(length)
  }

  private static func decodeEntry(
    _ bytes: [UInt8], at offset: Int, committed: Int
  ) throws(JournalError) -> (Content, Int) {
    guard committed - offset >= entryOverhead else {
      throw JournalError(offset: offset, reason: .entryTooLong)
    }
    let length = Int(number(bytes, at: offset))
    guard length <= maximumRecord, length <= committed - offset - entryOverhead else {
      throw JournalError(offset: offset, reason: .entryTooLong)
    }
    let start = offset + entryOverhead
    let payload = Array(bytes[start..<(start + length)])
    guard number(bytes, at: offset + 4) == CRC32C.checksum(Array(bytes[offset..<(offset + 4)]) + payload)
    else { throw JournalError(offset: offset, reason: .wrongEntryChecksum) }
    do throws(WireError) {
      var reader = ByteReader(payload)
      let content = try decodeContent(&reader)
      try reader.finish()
      return (content, entryOverhead + length)
    } catch {
      throw JournalError(offset: offset, reason: .unreadableRecord(error))
    }
  }

  private static func decodeContent(_ reader: inout ByteReader) throws(WireError) -> Content {
    var ahead = reader
    guard try ahead.read(UInt16.self, "guest name") == 0 else {
      return .guest(try GuestRecord(decoding: &reader))
    }
    reader = ahead
    return .forgotten(
      ForgottenNumbers(
        epoch: try reader.read(UInt64.self, "forgotten epoch"),
        handoff: try reader.read(UInt64.self, "forgotten handoff")))
  }

  private static func number(_ bytes: [UInt8], at offset: Int) -> UInt32 {
    UInt32(bytes[offset]) | UInt32(bytes[offset + 1]) << 8 | UInt32(bytes[offset + 2]) << 16
      | UInt32(bytes[offset + 3]) << 24
  }
}

/// What is wrong with a journal, and where.
public struct JournalError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Kinds of damage.
  public enum Reason: Hashable, Sendable {
    case tooShort
    case notAJournal
    case unknownVersion(UInt32)
    case wrongHeaderChecksum
    case committedLengthDamaged
    case committedLengthOutside(committed: Int, file: Int)
    case entryTooLong
    case wrongEntryChecksum
    case unreadableRecord(WireError)
  }

  /// In bytes from the start of the file.
  public let offset: Int
  public let reason: Reason

  public init(offset: Int, reason: Reason) {
    self.offset = offset
    self.reason = reason
  }

  public var description: String {
    let what =
      switch reason {
      case .tooShort: "the file ends within the header"
      case .notAJournal: "the file does not begin with BATONJNL"
      case .unknownVersion(let version): "layout version \(version) is unknown, 1 was expected"
      case .wrongHeaderChecksum: "the header's checksum is wrong"
      case .committedLengthDamaged: "the two halves of the committed length do not agree"
      case .committedLengthOutside(let committed, let file):
        "the committed length is \(committed) bytes, the file has \(file)"
      case .entryTooLong: "an entry reaches beyond the committed length"
      case .wrongEntryChecksum: "the checksum of an entry is wrong"
      case .unreadableRecord(let error): "the record of an entry cannot be read: \(error)"
      }
    return "at byte \(offset): \(what)"
  }
}

extension GuestRecord {
  func encode(into writer: inout ByteWriter) {
    writer.write(name.text)
    writer.write(way.rawValue)
    writer.write(phase.rawValue)
    writer.write(epoch)
    writer.write(handoff)
    Self.encode(owner, into: &writer)
    Self.encode(claimant, into: &writer)
    writer.write(UInt16(leaving.count))
    for process in leaving { process.encode(into: &writer) }
    guard migration != nil || previous != nil || !stayed.isEmpty else { return }
    writer.write(migration != nil)
    migration?.encode(into: &writer)
    writer.write(previous != nil)
    previous?.encode(into: &writer)
    writer.write(UInt8(min(stayed.count, Self.maximumStayed)))
    for id in stayed.suffix(Self.maximumStayed) { id.encode(into: &writer) }
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    guard let name = GuestName(try reader.readText("guest name", maximum: 63)) else {
      throw .badValue(field: "guest name")
    }
    guard let way = Way(rawValue: try reader.read(UInt8.self, "way")) else {
      throw .badValue(field: "way")
    }
    guard let phase = Phase(rawValue: try reader.read(UInt8.self, "phase")) else {
      throw .badValue(field: "phase")
    }
    let epoch = try reader.read(UInt64.self, "epoch")
    let handoff = try reader.read(UInt64.self, "handoff")
    let owner = try Self.decodeProcess(&reader, "owner")
    let claimant = try Self.decodeProcess(&reader, "claimant")
    let count = Int(try reader.read(UInt16.self, "leaving count"))
    guard count <= Journal.maximumLeaving else { throw .badValue(field: "leaving count") }
    var leaving: [ProcessID] = []
    for _ in 0..<count { leaving.append(try ProcessID(decoding: &reader, "leaving process")) }
    var migration: MigrationRecord?
    var previous: MigrationRecord?
    var stayed: [MigrationID] = []
    if reader.remaining > 0 {
      migration = try reader.readFlag("migration flag") ? MigrationRecord(decoding: &reader) : nil
      previous = try reader.readFlag("previous migration flag") ? MigrationRecord(decoding: &reader) : nil
      let stayedCount = Int(try reader.read(UInt8.self, "stayed count"))
      guard stayedCount <= Self.maximumStayed else { throw .badValue(field: "stayed count") }
      for _ in 0..<stayedCount { stayed.append(try MigrationID(decoding: &reader)) }
    }
    // The phases of a migration are nothing without it.
    switch (phase, migration?.course) {
    case (.departing, .leaving?), (.departed, .leaving?), (.departed, .confirmed?), (.arriving, .coming?):
      break
    case (.departing, _), (.departed, _), (.arriving, _): throw .badValue(field: "migration")
    case (.idle, _), (.staged, _), (.claimed, _), (.rollback, _), (.lost, _), (.ended, _): break
    }
    self.init(
      name: name, way: way, owner: owner, epoch: epoch, phase: phase, handoff: handoff,
      claimant: claimant, leaving: leaving, migration: migration, previous: previous, stayed: stayed)
  }

  private static func encode(_ process: ProcessID?, into writer: inout ByteWriter) {
    writer.write(process != nil)
    process?.encode(into: &writer)
  }

  private static func decodeProcess(
    _ reader: inout ByteReader, _ field: String
  ) throws(WireError) -> ProcessID? {
    try reader.readFlag(field) ? ProcessID(decoding: &reader, field) : nil
  }
}

extension ProcessID {
  func encode(into writer: inout ByteWriter) {
    writer.write(pid)
    writer.write(startTime)
  }

  init(decoding reader: inout ByteReader, _ field: String) throws(WireError) {
    self.init(
      pid: try reader.read(Int32.self, field), startTime: try reader.read(UInt64.self, field))
  }
}
