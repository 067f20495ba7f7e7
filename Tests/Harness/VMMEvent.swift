import FoundationEssentials
import LinuxOS
import Synchronization

/// One line of a VMM's event log.
public struct VMMEvent: Codable, Hashable, Sendable {
  public var event: String
  public var pid: Int32
  /// `CLOCK_MONOTONIC`, nanoseconds.
  public var at: UInt64
  public var guest: String?
  public var vcpus: String?
  public var epoch: UInt64?
  public var handoff: UInt64?
  public var takenBack: UInt64?
  public var firstInstruction: UInt64?
  public var lastInstruction: UInt64?
  public var refusal: String?
  public var text: String?
  public var report: GuestVerdict?
  public var remarks: [String]?
  public var consoleLines: UInt64?
  /// How the guest is handed over, in an offer.
  public var way: String?
  /// What the firmware says of a SEV guest, in a report.
  public var guestState: UInt64?
}

/// What the guest itself says about its life, over all processes that ran it.
public struct GuestVerdict: Codable, Hashable, Sendable {
  public var counter: UInt64
  public var pagesWritten: UInt64
  public var pagesChecked: UInt64
  public var pageErrors: UInt64
  public var consoleSequence: UInt64
  public var diskSequence: UInt64
  public var timerTicks: UInt64
  public var largestGapNanoseconds: UInt64
  public var clockLagNanoseconds: Int64
  /// Empty when it noticed nothing but pauses.
  public var problems: [String]
}

/// The event log of one or more VMM processes: a file that they append whole lines to.
public final class EventFile: Sendable {
  public let path: String
  private let file: OwnedDescriptor
  private struct Progress {
    var offset: UInt64 = 0
    var partial: [UInt8] = []
    var events: [VMMEvent] = []
  }
  private let progress = Mutex(Progress())

  public init(path: String) throws {
    self.path = path
    file = try Files.open(path, .createReadWrite)
  }

  /// Everything that was written up to now.
  public func all() throws -> [VMMEvent] {
    try progress.withLock { progress in
      while true {
        let bytes = try file.read(count: 1 << 16, at: progress.offset)
        if bytes.isEmpty { return progress.events }
        progress.offset += UInt64(bytes.count)
        progress.partial += bytes
        while let end = progress.partial.firstIndex(of: UInt8(ascii: "\n")) {
          let line = Data(progress.partial[..<end])
          progress.partial.removeSubrange(...end)
          progress.events.append(try JSONDecoder().decode(VMMEvent.self, from: line))
        }
      }
    }
  }
}
