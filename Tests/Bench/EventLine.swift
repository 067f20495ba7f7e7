import FoundationEssentials
import Harness
import LinuxOS

/// A line of a VMM's event log, as far as the measurement reads it.
struct EventLine: Decodable {
  let event: String
  let pid: Int32
  /// `CLOCK_MONOTONIC`, nanoseconds.
  let at: UInt64
  let lastInstruction: UInt64?
  let firstInstruction: UInt64?
  let report: Report?

  /// What the guest says of itself.
  struct Report: Decodable {
    /// Over all processes that ran it.
    let pagesWritten: UInt64
    /// That did not hold what it had written there.
    let pageErrors: UInt64?
  }
}

/// The events of one guest, written by one VMM process after the other into one file.
struct EventReader {
  let path: String
  private var offset: UInt64 = 0
  /// What was read since ``forget()``.
  private var seen: [EventLine] = []

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

  /// From here on only later lines count.
  mutating func forget() throws {
    _ = try next()
    seen = []
  }

  /// Waits for the first line that matches.
  ///
  /// - Parameter failure: Asked while there is none; what it says ends the waiting.
  mutating func first(
    within seconds: UInt64, orFailure failure: () -> String? = { nil }, where matches: (EventLine) -> Bool
  ) throws -> EventLine {
    let deadline = MonotonicClock.now() + seconds * 1_000_000_000
    while MonotonicClock.now() < deadline {
      seen += try next()
      if let event = seen.first(where: matches) { return event }
      if let reason = failure() { throw BenchError(reason) }
      Wait.pause(milliseconds: 5)
    }
    throw BenchError("an event did not come within \(seconds) s; the events are in \(path)")
  }
}
