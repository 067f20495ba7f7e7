import BatonWire
import Testing

@testable import BatonCore

@Suite("The journal")
struct JournalTests {
  static func name(_ text: String) throws -> GuestName { try #require(GuestName(text)) }

  /// Records with every extreme that the fields allow.
  static func extremes() throws -> [GuestRecord] {
    let low = ProcessID(pid: 1, startTime: 0)
    let high = ProcessID(pid: .max, startTime: .max)
    var records: [GuestRecord] = []
    for (index, phase) in GuestRecord.Phase.allCases.enumerated() {
      for way in Way.allCases {
        records.append(
          GuestRecord(
            name: try name("g\(index)-\(way.rawValue)"), way: way, owner: index % 2 == 0 ? low : nil,
            epoch: .max, phase: phase, handoff: 0, claimant: index % 3 == 0 ? high : nil,
            leaving: index % 2 == 0 ? [] : [low, high], migration: try migration(phase),
            previous: phase == .arriving ? try migration(.departed) : nil,
            stayed: phase == .idle ? [try migrationID(3), try migrationID(4)] : []))
      }
    }
    records.append(
      GuestRecord(
        name: try name(String(repeating: "z", count: 63)), way: .none, owner: high, epoch: 0, phase: .idle,
        handoff: .max, claimant: nil,
        leaving: (1...300).map { ProcessID(pid: Int32($0), startTime: UInt64($0)) }))
    return records.sorted { $0.name < $1.name }
  }

  static func migrationID(_ byte: UInt8) throws -> MigrationID {
    try #require(MigrationID([UInt8](repeating: byte, count: MigrationID.byteCount)))
  }

  /// What goes with a phase of a migration.
  static func migration(_ phase: GuestRecord.Phase) throws -> MigrationRecord? {
    let receipt = try #require(DepartureReceipt((0..<32).map { UInt8($0) }))
    var request = MigrationRequest(host: "south:4646")
    request.maxTimeSeconds = .max
    let course: MigrationRecord.Course
    switch phase {
    case .departing, .departed: course = .leaving(receipt, request, isCancelled: false)
    case .arriving: course = .coming(isArrived: true, isShown: false)
    case .idle: course = .came
    case .ended: course = .coming(isArrived: false, isShown: false)
    case .staged, .claimed, .rollback, .lost: return nil
    }
    return MigrationRecord(
      id: try migrationID(1),
      lock: try #require(DepartureLock([UInt8](repeating: 2, count: DepartureLock.byteCount))),
      peer: "south:4646", course: course)
  }

  @Test("is as it was before there were migrations, as long as a guest has none")
  func olderFormat() throws {
    let record = GuestRecord(
      name: try Self.name("vm1"), way: .token, owner: ProcessID(pid: 7, startTime: 70), epoch: 1,
      phase: .idle,
      handoff: 0, claimant: nil)
    // Name, way, phase, epoch, handoff, owner, no claimant, nobody leaving.
    let payload: [UInt8] =
      [3, 0] + Array("vm1".utf8) + [1, 0, 1, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 0, count: 8)
      + [1, 7, 0, 0, 0, 70, 0, 0, 0, 0, 0, 0, 0] + [0, 0, 0]
    #expect(Array(Journal.entry(record)[8...]) == payload)
    #expect(try Journal.replay(Journal.image([record])).records == [record])
  }

  @Test("refuses a phase of a migration without the migration")
  func phaseWithoutMigration() throws {
    for phase in [GuestRecord.Phase.departing, .departed, .arriving] {
      let record = GuestRecord(
        name: try Self.name("vm1"), way: .none, owner: nil, epoch: 1, phase: phase, handoff: 0, claimant: nil)
      #expect(throws: JournalError.self) { try Journal.replay(Journal.image([record])) }
    }
  }

  /// A journal with an older entry of a guest in it.
  static func small() throws -> (bytes: [UInt8], records: [GuestRecord]) {
    let first = GuestRecord(
      name: try name("vm1"), way: .token, owner: ProcessID(pid: 7, startTime: 70), epoch: 1, phase: .idle,
      handoff: 0, claimant: nil)
    let other = GuestRecord(
      name: try name("vm2"), way: .none, owner: ProcessID(pid: 8, startTime: 80), epoch: 3, phase: .staged,
      handoff: 9, claimant: nil)
    var later = first
    later.phase = .claimed
    later.handoff = 1
    later.claimant = ProcessID(pid: 9, startTime: 90)
    return (Journal.image([first, other, later]), [later, other])
  }

  @Test("gives back what was written, at every extreme")
  func roundTrip() throws {
    let records = try Self.extremes()
    let bytes = Journal.image(records)
    let contents = try Journal.replay(bytes)
    #expect(contents.records == records)
    #expect(contents.committedByteCount == bytes.count)
    #expect(contents.liveByteCount == bytes.count)
  }

  @Test("of no guest is valid and empty")
  func empty() throws {
    let contents = try Journal.replay(Journal.image([]))
    #expect(contents.records.isEmpty)
    #expect(contents.committedByteCount == Journal.headerByteCount)
  }

  @Test("lets the last entry of a guest win")
  func lastWins() throws {
    let (bytes, records) = try Self.small()
    let contents = try Journal.replay(bytes)
    #expect(contents.records == records)
    #expect(contents.liveByteCount < bytes.count)
  }

  @Test("ignores a torn tail, whatever is in it")
  func tornTail() throws {
    let (bytes, records) = try Self.small()
    let entry = Journal.entry(try #require(records.first))
    for length in 0...entry.count {
      #expect(try Journal.replay(bytes + entry.prefix(length)).records == records)
    }
    #expect(try Journal.replay(bytes + [UInt8](repeating: 0xFF, count: 100)).records == records)
  }

  @Test("counts an entry from the moment when the committed word reaches its end")
  func commit() throws {
    var (bytes, records) = try Self.small()
    let added = GuestRecord(
      name: try Self.name("vm3"), way: .move, owner: nil, epoch: 1, phase: .lost, handoff: 1, claimant: nil)
    bytes += Journal.entry(added)
    #expect(try Journal.replay(bytes).records == records)
    var word = Journal.committedWord(bytes.count)
    for index in 0..<8 {
      bytes[Journal.committedOffset + index] = UInt8(truncatingIfNeeded: word)
      word >>= 8
    }
    #expect(try Journal.replay(bytes).records == records + [added])
  }

  @Test("with any one bit flipped before the committed length is refused")
  func everyFlip() throws {
    let (bytes, _) = try Self.small()
    for index in bytes.indices {
      for bit in 0..<8 {
        var damaged = bytes
        damaged[index] ^= 1 << bit
        #expect(throws: JournalError.self, "byte \(index), bit \(bit)") { try Journal.replay(damaged) }
      }
    }
  }

  @Test("with any byte flipped in the tail still says the same")
  func everyFlipInTail() throws {
    let (bytes, records) = try Self.small()
    let whole = bytes + Journal.entry(try #require(records.last))
    for index in bytes.count..<whole.count {
      var damaged = whole
      damaged[index] ^= 0xFF
      #expect(try Journal.replay(damaged).records == records)
    }
  }

  @Test("cut off anywhere before the committed length is refused")
  func everyTruncation() throws {
    let (bytes, _) = try Self.small()
    for length in 0..<bytes.count {
      #expect(throws: JournalError.self, "\(length) bytes") {
        try Journal.replay(Array(bytes.prefix(length)))
      }
    }
  }

  @Test("says where it is damaged")
  func offsets() throws {
    var (bytes, _) = try Self.small()
    bytes[0] = 0
    #expect(throws: JournalError(offset: 0, reason: .notAJournal)) { try Journal.replay(bytes) }
    let (fine, _) = try Self.small()
    bytes = fine
    bytes[Journal.headerByteCount + 20] ^= 1
    #expect(throws: JournalError(offset: Journal.headerByteCount, reason: .wrongEntryChecksum)) {
      try Journal.replay(bytes)
    }
    #expect(throws: JournalError(offset: 0, reason: .tooShort)) { try Journal.replay([]) }
  }

  @Test("keeps the numbers of guests that were forgotten, and is refused with any bit of them flipped")
  func forgotten() throws {
    let numbers = ForgottenNumbers(epoch: 12, handoff: .max)
    let (_, records) = try Self.small()
    let bytes = Journal.image(records, forgotten: numbers)
    let contents = try Journal.replay(bytes)
    #expect(contents.records == records)
    #expect(contents.forgotten == numbers)
    #expect(contents.liveByteCount == bytes.count)
    #expect(try Journal.replay(Journal.image(records)).forgotten == ForgottenNumbers())
    for index in bytes.indices {
      for bit in 0..<8 {
        var damaged = bytes
        damaged[index] ^= 1 << bit
        #expect(throws: JournalError.self, "byte \(index), bit \(bit)") { try Journal.replay(damaged) }
      }
    }
  }

  @Test("of a later layout is refused by its version")
  func laterVersion() throws {
    var (bytes, _) = try Self.small()
    bytes[8] = 2
    let checksum = CRC32C.checksum(Array(bytes[0..<12]))
    for index in 0..<4 { bytes[12 + index] = UInt8(truncatingIfNeeded: checksum >> (8 * index)) }
    #expect(throws: JournalError(offset: 8, reason: .unknownVersion(2))) { try Journal.replay(bytes) }
  }
}
