import BatonWire
import LinuxOS
import MigrationCore
import RemoteMigration
import Testing

@Suite("A migration, both ends")
struct MigrationTests {
  private func expectSameRAM(_ rehearsal: Rehearsal, _ comment: Comment? = nil) {
    let size = TestRAM.byteCount
    let isSame =
      rehearsal.source.mapping.read(at: 0, count: size) == rehearsal.target.mapping.read(at: 0, count: size)
    #expect(isSame, comment)
  }

  @Test("brings all RAM, the state and the receipt, and tells the source that the guest runs")
  func plain() throws {
    let rehearsal = try Rehearsal(FakeSourceGuest(), FakeTargetGuest())
    rehearsal.finalWrites = [0, 5, 127]
    let outcome = try rehearsal.run()
    #expect(outcome.sourceFailure == nil && outcome.targetFailure == nil)
    expectSameRAM(rehearsal)
    #expect(outcome.state == rehearsal.savedState)
    #expect(outcome.receipt == rehearsal.receipt)
    #expect(outcome.first?.epoch == 5)
    let first = try #require(outcome.rounds.first)
    #expect(first.total == UInt64(TestRAM.pageCount) && first.zero == 43 && first.encrypted == 0)
    #expect(!rehearsal.source.isLogging)
  }

  @Test("sends again what the guest writes meanwhile, and what it wrote last")
  func dirtyPages() throws {
    let rehearsal = try Rehearsal(FakeSourceGuest(), FakeTargetGuest())
    rehearsal.source.writes = [Array(0..<100), [7, 8], [8], []]
    rehearsal.finalWrites = [8, 120]
    let outcome = try rehearsal.run()
    #expect(outcome.sourceFailure == nil)
    expectSameRAM(rehearsal)
  }

  @Test(
    "lets a guest run on that wrote a burst just before it stood still, three times at most",
    arguments: [(bursts: 1, inVain: 1...3), (3, 3...3), (5, 3...3)])
  func bursts(_ number: (bursts: Int, inVain: ClosedRange<Int>)) throws {
    let device = FakeSourceDevice()
    device.pageNanoseconds = 1_000_000
    let rehearsal = try Rehearsal(
      FakeSourceGuest(encryption: device), FakeTargetGuest(encryption: FakeTargetDevice()))
    rehearsal.kind = .sev
    rehearsal.bursts = Array(repeating: Array(0..<60), count: number.bursts)
    rehearsal.finalWrites = [3]
    let outcome = try rehearsal.run()
    #expect(outcome.sourceFailure == nil && outcome.targetFailure == nil)
    // More often than it wrote bursts where the machine became so slow that one page takes as long as a burst.
    #expect(number.inVain.contains(outcome.stoppedInVain))
    expectSameRAM(rehearsal)
    #expect(outcome.state == rehearsal.savedState)
    #expect(!rehearsal.source.isLogging)
  }

  @Test("makes pages zero again that were written and then cleared")
  func cleared() throws {
    let rehearsal = try Rehearsal(FakeSourceGuest(), FakeTargetGuest())
    let source = rehearsal.source
    rehearsal.relay = { number, frame in
      // While the rounds run, a page that was sent becomes zero.
      if number == 2 {
        source.write([1])
        source.mapping.clear(at: GuestRAM.pageByteCount, count: GuestRAM.pageByteCount)
      }
      return [frame]
    }
    let outcome = try rehearsal.run()
    #expect(outcome.sourceFailure == nil)
    expectSameRAM(rehearsal)
  }

  @Test("sends private pages through the device and shared ones as they are, with the list of these")
  func encrypted() throws {
    let device = FakeSourceDevice()
    let targetDevice = FakeTargetDevice()
    try device.share(1)
    try device.share(2)
    let rehearsal = try Rehearsal(
      FakeSourceGuest(encryption: device), FakeTargetGuest(encryption: targetDevice))
    rehearsal.kind = .sev
    rehearsal.finalWrites = [1, 2, 3]
    let outcome = try rehearsal.run()
    #expect(outcome.sourceFailure == nil && outcome.targetFailure == nil)
    expectSameRAM(rehearsal)
    let first = try #require(outcome.rounds.first)
    #expect(first.encrypted == UInt64(TestRAM.pageCount) - 2 && first.plain == 2)
    #expect(targetDevice.regions == device.regions && targetDevice.isFinished)
    #expect(device.calls == ["check", "setup", "finish"])
    #expect(targetDevice.registers == [])
  }

  @Test("sends a page anew that changes its kind")
  func kindChanges() throws {
    let device = FakeSourceDevice()
    let rehearsal = try Rehearsal(
      FakeSourceGuest(encryption: device), FakeTargetGuest(encryption: FakeTargetDevice()))
    rehearsal.kind = .sev
    let source = rehearsal.source
    rehearsal.relay = { number, frame in
      if number == 10 {
        TestRAM.fill(source.mapping, page: 9, version: 99)
        try? device.share(9)
      }
      return [frame]
    }
    let outcome = try rehearsal.run()
    #expect(outcome.sourceFailure == nil)
    expectSameRAM(rehearsal)
  }

  @Test("sends the registers of a SEV-ES guest, each vCPU's in order")
  func encryptedState() throws {
    let device = FakeSourceDevice()
    device.hasEncryptedState = true
    let targetDevice = FakeTargetDevice()
    let rehearsal = try Rehearsal(
      FakeSourceGuest(encryption: device), FakeTargetGuest(encryption: targetDevice))
    rehearsal.kind = .sevES
    let outcome = try rehearsal.run()
    #expect(outcome.sourceFailure == nil)
    #expect(targetDevice.registers == [0, 1])
  }

  @Test("a plan measures, reports and changes nothing; the device takes the guest back")
  func plan() throws {
    let device = FakeSourceDevice()
    let rehearsal = try Rehearsal(
      FakeSourceGuest(encryption: device), FakeTargetGuest(encryption: FakeTargetDevice()))
    rehearsal.kind = .sev
    rehearsal.request.isPlanOnly = true
    let outcome = try rehearsal.run()
    let report = try #require(outcome.plan)
    #expect(report.phase == .done && report.willConverge)
    #expect(report.pagesTotal == UInt64(TestRAM.pageCount))
    #expect(!outcome.hasStopped && outcome.receipt == nil && outcome.state == nil)
    #expect(outcome.cancelled?.refusal == nil)
    #expect(device.calls == ["check", "setup", "cancel"])
    #expect(!rehearsal.source.isLogging)
  }

  @Test("a plan ends with pages that go one by one, and sends none twice")
  func echoes() throws {
    let rehearsal = try Rehearsal(FakeSourceGuest(), FakeTargetGuest())
    rehearsal.request.isPlanOnly = true
    var batches: [Int] = []
    rehearsal.relay = { _, frame in
      if UInt16(frame[0]) | UInt16(frame[1]) << 8 == 4 { batches.append(frame.count) }
      return [frame]
    }
    let outcome = try rehearsal.run()
    #expect(outcome.plan != nil && outcome.targetFailure == nil)
    let page = GuestRAM.pageByteCount
    #expect(batches.count > 8)
    #expect(batches.suffix(8).allSatisfy { $0 < 2 * page })
    #expect(batches.dropLast(8).contains { $0 > 8 * page })
  }

  @Test("leaves RAM at the target as zero as it was, if the target wants to use it for the next source")
  func erased() throws {
    for erases in [false, true] {
      let rehearsal = try Rehearsal(FakeSourceGuest(), FakeTargetGuest())
      rehearsal.request.isPlanOnly = true
      rehearsal.erases = erases
      #expect(try rehearsal.run().plan != nil)
      let written = (0..<TestRAM.pageCount).filter {
        !rehearsal.target.mapping.isZero(at: $0 * GuestRAM.pageByteCount, count: GuestRAM.pageByteCount)
      }
      #expect(written.isEmpty == erases)
    }
  }

  @Test("a guest that cannot be stopped shortly enough is refused before the pause")
  func nonconvergence() throws {
    let rehearsal = try Rehearsal(FakeSourceGuest(), FakeTargetGuest())
    rehearsal.request.maxPauseMilliseconds = 0
    let outcome = try rehearsal.run()
    #expect(outcome.sourceFailure?.refusal == .willNotConverge)
    #expect(!outcome.hasStopped && !rehearsal.source.isLogging)
    #expect(outcome.cancelled?.refusal == .willNotConverge)
  }

  @Test("the same is moved when the operator allows it")
  func nonconvergenceAllowed() throws {
    let rehearsal = try Rehearsal(FakeSourceGuest(), FakeTargetGuest())
    rehearsal.request.maxPauseMilliseconds = 0
    rehearsal.request.allowsNonconvergence = true
    let outcome = try rehearsal.run()
    #expect(outcome.sourceFailure == nil && outcome.receipt != nil)
  }

  @Test("a source that changes its mind after ready takes the guest back, and the target is told")
  func changeOfMind() throws {
    let device = FakeSourceDevice()
    let rehearsal = try Rehearsal(
      FakeSourceGuest(encryption: device), FakeTargetGuest(encryption: FakeTargetDevice()))
    rehearsal.kind = .sev
    rehearsal.departs = false
    let outcome = try rehearsal.run()
    #expect(outcome.reachedReady && outcome.receipt == nil)
    #expect(outcome.cancelled?.refusal == .migrationCancelled)
    #expect(device.calls == ["check", "setup", "cancel"])
  }

  // MARK: Refusals

  @Test("a target without room refuses by name, and the guest is not touched")
  func noRoom() throws {
    let rehearsal = try Rehearsal(FakeSourceGuest(), FakeTargetGuest())
    rehearsal.answer = { _, _ throws(MigrationFailure) in throw MigrationFailure(.noRoom, "no room for it")
    }
    let outcome = try rehearsal.run()
    let failure = try #require(outcome.sourceFailure)
    #expect(failure.refusal == .noRoom && failure.isPeers && failure.text.contains("no room for it"))
    #expect(!outcome.hasStopped)
  }

  @Test(
    "what a device refuses is refused by its name, and SEND_CANCEL follows SEND_START",
    arguments: [
      (FakeSourceDevice.Trouble.policy, Refusal.policyForbids, ["check"]),
      (.setup, .certificateInvalid, ["check", "setup"]),
      (.page, .sourceDeclined, ["check", "setup", "cancel"]),
      (.registers, .encryptedStateNotSendable, ["check", "setup", "registers 0", "cancel"]),
      (.finish, .sourceDeclined, ["check", "setup", "registers 0", "registers 1", "finish", "cancel"]),
    ])
  func deviceTrouble(_ trouble: FakeSourceDevice.Trouble, _ refusal: Refusal, _ calls: [String]) throws {
    let device = FakeSourceDevice()
    device.trouble = trouble
    device.hasEncryptedState = true
    let rehearsal = try Rehearsal(
      FakeSourceGuest(encryption: device), FakeTargetGuest(encryption: FakeTargetDevice()))
    rehearsal.kind = .sevES
    let outcome = try rehearsal.run()
    #expect(outcome.sourceFailure?.refusal == refusal)
    #expect(device.calls == calls)
    #expect(outcome.receipt == nil)
  }

  @Test(
    "what the target's device refuses comes to the source by name",
    arguments: [(FakeTargetDevice.Trouble.setup, Refusal.streamDamaged), (.finish, .successorDeclined)])
  func targetDeviceTrouble(_ trouble: FakeTargetDevice.Trouble, _ refusal: Refusal) throws {
    let device = FakeTargetDevice()
    device.trouble = trouble
    let rehearsal = try Rehearsal(
      FakeSourceGuest(encryption: FakeSourceDevice()), FakeTargetGuest(encryption: device))
    rehearsal.kind = .sev
    let outcome = try rehearsal.run()
    #expect(outcome.sourceFailure?.refusal == refusal)
    #expect(outcome.sourceFailure?.isPeers == true)
    #expect(outcome.receipt == nil)
  }
}
