import BatonWire
import LinuxOS
import MigrationCore
import RemoteMigration
import Testing

@Suite("A migration over a bad link")
struct BrokenLinkTests {
  private static let batch: UInt16 = 4
  private static let receipt: UInt16 = 10

  private func make() throws -> (Rehearsal, FakeSourceDevice) {
    let device = FakeSourceDevice()
    let rehearsal = try Rehearsal(
      FakeSourceGuest(encryption: device), FakeTargetGuest(encryption: FakeTargetDevice()))
    rehearsal.kind = .sev
    return (rehearsal, device)
  }

  private func type(_ frame: [UInt8]) -> UInt16 { UInt16(frame[0]) | UInt16(frame[1]) << 8 }

  @Test("that is cut at any frame: either the receipt is there, or the source's device took the guest back")
  func cutEverywhere() throws {
    let count = try make().0.run().frames.count
    try #require(count > 12)
    for cut in 0..<count {
      let (rehearsal, device) = try make()
      rehearsal.relay = { number, frame in number == cut ? nil : [frame] }
      let outcome = try rehearsal.run()
      // A keepalive more or less makes a migration a frame shorter.
      guard outcome.frames.count > cut else { continue }
      #expect(outcome.receipt == nil, "cut at \(cut)")
      #expect(outcome.sourceFailure?.refusal == .linkLost, "cut at \(cut)")
      #expect(outcome.targetFailure?.refusal == .linkLost, "cut at \(cut)")
      if device.calls.contains("finish") {
        // The registries settle this one: nothing may be cancelled any more.
        #expect(outcome.frames.last == Self.receipt && !device.calls.contains("cancel"), "cut at \(cut)")
      } else {
        #expect(device.calls.contains("cancel") == device.calls.contains("setup"), "cut at \(cut)")
      }
      #expect(!rehearsal.source.isLogging)
    }
  }

  enum Harm: String, CaseIterable, Sendable { case swap, replay, leaveOut, flip, truncate }

  @Test("that harms a batch is refused by name, and the guest stays", arguments: Harm.allCases)
  func harmedBatch(_ harm: Harm) throws {
    let (rehearsal, device) = try make()
    var held: [UInt8]?
    var seen = 0
    rehearsal.relay = { _, frame in
      guard UInt16(frame[0]) | UInt16(frame[1]) << 8 == Self.batch else { return [frame] }
      seen += 1
      switch harm {
      case .swap:
        if seen == 3 {
          held = frame
          return []
        }
        defer { held = nil }
        return held.map { [frame, $0] } ?? [frame]
      case .replay: return seen == 3 ? [frame, frame] : [frame]
      case .leaveOut: return seen == 3 ? [] : [frame]
      case .flip:
        var frame = frame
        if seen == 3 { frame[frame.count / 2] ^= 1 }
        return [frame]
      case .truncate: return seen == 3 ? [Array(frame.dropLast(100))] : [frame]
      }
    }
    let outcome = try rehearsal.run()
    let target = try #require(outcome.targetFailure)
    #expect(target.refusal == .streamDamaged)
    #expect(outcome.sourceFailure?.refusal == .streamDamaged)
    #expect(outcome.sourceFailure?.text.contains(target.text.prefix(40)) == true)
    #expect(device.calls == ["check", "setup", "cancel"])
    #expect(outcome.receipt == nil)
  }

  @Test("that says nothing any more is noticed by both ends")
  func silence() throws {
    let (rehearsal, device) = try make()
    rehearsal.silence = 300_000_000
    rehearsal.relay = { number, frame in number < 6 ? [frame] : [] }
    let outcome = try rehearsal.run()
    #expect(outcome.sourceFailure?.refusal == .linkLost)
    #expect(outcome.targetFailure?.refusal == .linkLost)
    // One of them notices first and tells the other.
    let texts = [outcome.sourceFailure?.text, outcome.targetFailure?.text]
    #expect(texts.contains { $0?.contains("nothing was heard") == true })
    #expect(device.calls == ["check", "setup", "cancel"])
  }

  @Test("over which another receipt comes: the target refuses it")
  func wrongReceipt() throws {
    let (rehearsal, _) = try make()
    rehearsal.relay = { _, frame in
      guard UInt16(frame[0]) | UInt16(frame[1]) << 8 == Self.receipt else { return [frame] }
      var frame = frame
      frame[frame.count - 1] ^= 1
      return [frame]
    }
    let outcome = try rehearsal.run()
    #expect(outcome.targetFailure?.refusal == .receiptWrong)
    #expect(outcome.receipt == nil)
  }
}
