/// How a migration stands, for people and for the plan. The registry passes it on and decides nothing by it.
///
/// On the wire it begins with the number of its fields, all of 64 bits: a reader takes those that it knows and
/// takes 0 for those that are not there.
public struct MigrationReport: Hashable, Sendable {
  public enum Phase: UInt8, Hashable, Sendable, CaseIterable {
    case connecting = 1
    case checking = 2
    case planning = 3
    case copying = 4
    /// The guest stands still; the rest is sent.
    case finishing = 5
    /// The other host has all of it.
    case ready = 6
    /// The guest was given up here.
    case departed = 7
    /// The guest runs on the other host; of a plan: it is made.
    case done = 8
    case failed = 9
  }

  public static let maximumText = 512
  public static let maximumChecks = 64

  public var phase: Phase
  /// Counts the passes over RAM from 1; 0 before the first.
  public var round: UInt64 = 0
  public var pagesTotal: UInt64 = 0
  public var pagesSent: UInt64 = 0
  public var pagesRemaining: UInt64 = 0
  public var bytesSent: UInt64 = 0
  public var pagesPerSecond: UInt64 = 0
  public var dirtyPagesPerSecond: UInt64 = 0
  /// From now to the end.
  public var expectedMilliseconds: UInt64 = 0
  public var expectedPauseMilliseconds: UInt64 = 0
  public var willConverge = true
  public var elapsedMilliseconds: UInt64 = 0
  /// How long the guest stood still, once it is known.
  public var pauseMicroseconds: UInt64 = 0
  /// Of the plan, as all that follow: how many passes over RAM.
  public var expectedRounds: UInt64 = 0
  public var encryptedPages: UInt64 = 0
  public var plainPages: UInt64 = 0
  public var zeroPages: UInt64 = 0
  public var linkBytesPerSecond: UInt64 = 0
  /// How many pages the guest writes over and over.
  public var workingSetPages: UInt64 = 0
  /// The longest pause that was asked for.
  public var maxPauseMilliseconds: UInt64 = 0
  /// As ``expectedPauseMilliseconds``, for pauses of few of them; 0 is not told.
  public var expectedPauseMicroseconds: UInt64 = 0
  /// What else is to be said, at most ``maximumText`` bytes.
  public var text = ""
  /// Comes with the plan only.
  public var checks: [PreflightCheck] = []

  public init(phase: Phase) { self.phase = phase }
}

extension MigrationReport {
  private var fields: [UInt64] {
    [
      UInt64(phase.rawValue), round, pagesTotal, pagesSent, pagesRemaining, bytesSent, pagesPerSecond,
      dirtyPagesPerSecond, expectedMilliseconds, expectedPauseMilliseconds, willConverge ? 1 : 0,
      elapsedMilliseconds, pauseMicroseconds, expectedRounds, encryptedPages, plainPages, zeroPages,
      linkBytesPerSecond, workingSetPages, maxPauseMilliseconds, expectedPauseMicroseconds,
    ]
  }

  private static let mostFields = 64

  /// Appends the report; what is longer than the limits is cut.
  public func encode(into writer: inout ByteWriter) {
    let fields = fields
    writer.write(UInt16(fields.count))
    for field in fields { writer.write(field) }
    writer.write(text, maximum: Self.maximumText)
    writer.write(UInt16(min(checks.count, Self.maximumChecks)))
    for check in checks.prefix(Self.maximumChecks) { check.encode(into: &writer) }
  }

  public init(decoding reader: inout ByteReader) throws(WireError) {
    let count = Int(try reader.read(UInt16.self, "report field count"))
    guard (1...Self.mostFields).contains(count) else { throw .badValue(field: "report field count") }
    var fields: [UInt64] = []
    for _ in 0..<count { fields.append(try reader.read(UInt64.self, "report field")) }
    func field(_ index: Int) -> UInt64 { index < fields.count ? fields[index] : 0 }
    guard let code = UInt8(exactly: field(0)), let phase = Phase(rawValue: code) else {
      throw .badValue(field: "report phase")
    }
    self.init(phase: phase)
    round = field(1)
    pagesTotal = field(2)
    pagesSent = field(3)
    pagesRemaining = field(4)
    bytesSent = field(5)
    pagesPerSecond = field(6)
    dirtyPagesPerSecond = field(7)
    expectedMilliseconds = field(8)
    expectedPauseMilliseconds = field(9)
    guard field(10) <= 1 else { throw .badValue(field: "convergence") }
    willConverge = field(10) == 1
    elapsedMilliseconds = field(11)
    pauseMicroseconds = field(12)
    expectedRounds = field(13)
    encryptedPages = field(14)
    plainPages = field(15)
    zeroPages = field(16)
    linkBytesPerSecond = field(17)
    workingSetPages = field(18)
    maxPauseMilliseconds = field(19)
    expectedPauseMicroseconds = field(20)
    text = try reader.readText("report text", maximum: Self.maximumText)
    let checkCount = Int(try reader.read(UInt16.self, "report check count"))
    guard checkCount <= Self.maximumChecks else { throw .badValue(field: "report check count") }
    for _ in 0..<checkCount { checks.append(try PreflightCheck(decoding: &reader)) }
  }
}
