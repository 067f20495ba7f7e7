import FoundationEssentials
import RegistryInterface
import Testing
import Varlink

@Suite("Exit statuses")
struct CommandStatusTests {
  @Test("have different numbers and texts, none of them a shell's own")
  func distinct() {
    #expect(Set(CommandStatus.allCases.map(\.text)).count == CommandStatus.allCases.count)
    for status in CommandStatus.allCases {
      #expect((0..<126).contains(status.rawValue))
      #expect(status.text.hasSuffix("."))
    }
  }

  @Test("keep the numbers that scripts know")
  func numbers() {
    let known: [CommandStatus: Int32] = [
      .success: 0, .failure: 1, .guestAtSource: 3, .guestLost: 4, .guestWaits: 5, .registryUnreachable: 6,
      .notAllowed: 7, .unknownGuest: 8, .preflightFailed: 9, .handoffInProgress: 10, .outcomeUnknown: 11,
      .guestEnded: 12, .nothingToAbort: 13, .usage: 64,
    ]
    #expect(known.count == CommandStatus.allCases.count)
    for (status, number) in known { #expect(status.rawValue == number) }
  }

  @Test("stand in the manual page and in the guide, each with its number and text")
  func documented() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let page = String(
      decoding: try Data(contentsOf: root.appending(path: "Docs/man/batonctl.1")), as: UTF8.self)
    let guide = String(
      decoding: try Data(contentsOf: root.appending(path: "Docs/batonctl.md")), as: UTF8.self)
    for status in CommandStatus.allCases {
      let plain = status.text.replacing("\n", with: " ")
      #expect(page.contains(".It \(status.rawValue)\n\(plain)\n"), "\(status) is not in batonctl.1")
      #expect(guide.contains("| \(status.rawValue) | \(plain) |"), "\(status) is not in batonctl.md")
    }
  }

  @Test("tell a guest that runs from one that waits and one that is lost")
  func handoffs() {
    var guest = Guest(name: "vm1", state: .running, way: .none, epoch: 1, memoryBytes: 0)
    var handoff = Samples.handoff
    #expect(CommandStatus(handoff, guest) == .success)
    handoff.outcome = .takenBack
    #expect(CommandStatus(handoff, guest) == .guestAtSource)
    handoff.outcome = .aborted
    #expect(CommandStatus(handoff, guest) == .guestAtSource)
    guest.state = .waiting
    #expect(CommandStatus(handoff, guest) == .guestWaits)
    guest.state = .running
    guest.alarm = Samples.guest.alarm
    #expect(CommandStatus(handoff, guest) == .guestWaits)
    guest.state = .lost
    #expect(CommandStatus(handoff, guest) == .guestLost)
    handoff.outcome = .lost
    #expect(CommandStatus(handoff, guest) == .guestLost)
    handoff.outcome = .ended
    #expect(CommandStatus(handoff, guest) == .guestEnded)
    handoff.outcome = .inProgress
    #expect(CommandStatus(handoff, guest) == .outcomeUnknown)
  }

  @Test("of several guests are the worst, a lost guest before all else")
  func worst() {
    #expect(CommandStatus.worst(of: []) == .success)
    #expect(CommandStatus.worst(of: [.success, .guestAtSource, .success]) == .guestAtSource)
    #expect(CommandStatus.worst(of: [.guestAtSource, .guestWaits]) == .guestWaits)
    for status in CommandStatus.allCases {
      #expect(CommandStatus.worst(of: [status, .guestLost]) == .guestLost)
      #expect(CommandStatus.worst(of: [status, .success]) == status)
    }
  }
}

@Suite("Error lines")
struct CommandFailureTests {
  @Test("say what failed, why, where the guest stands and what to do")
  func line() {
    let failure = CommandFailure(
      "handoff 7 taken back", cause: "stateUnreadable: format 7", guestState: "the guest runs",
      remedy: "see batonctl show vm1", status: .guestAtSource)
    #expect(
      failure.line(verb: "upgrade", guest: "vm1")
        == "batonctl: upgrade vm1: handoff 7 taken back: stateUnreadable: format 7; the guest runs; see batonctl show vm1"
    )
    #expect(
      CommandFailure("no answer", cause: "silence\u{1B}", status: .failure).line(verb: "list")
        == "batonctl: list: no answer: silence?")
  }

  @Test("exist for every error of the registry, with an exit status other than success")
  func registryErrors() throws {
    for error in Samples.errors {
      let failure = CommandFailure(error)
      #expect(failure.status != .success)
      #expect(!failure.whatFailed.isEmpty && !failure.cause.isEmpty)
      let line = failure.line(verb: "upgrade", guest: "vm1")
      #expect(!line.hasSuffix("."))
      let byName = CommandFailure(
        errorName: error.errorName, parameters: try .init(encoding: error.errorParameters))
      #expect(byName == failure)
    }
    #expect(CommandFailure(errorName: "a.b.C", parameters: .empty).status == .failure)
  }

  @Test("call a refusal safe once a handoff had begun, and a plain failure before")
  func refusals() {
    var refused = Samples.refused
    #expect(CommandFailure(RegistryError.refusedByRegistry(refused)).status == .guestAtSource)
    refused.handoff = nil
    #expect(CommandFailure(RegistryError.refusedByRegistry(refused)).status == .failure)
  }

  @Test("come from handoffs that did not commit only")
  func handoffs() throws {
    var handoff = Samples.handoff
    var guest = Guest(name: "vm1", state: .running, way: .none, epoch: 1, memoryBytes: 0)
    #expect(CommandFailure(handoff, guest) == nil)
    handoff.outcome = .takenBack
    let failure = try #require(CommandFailure(handoff, guest))
    #expect(failure.guestState == "the guest still runs at the source")
    #expect(failure.cause == "stateUnreadable: format 7 is newer than 6 (successor)")
    handoff.refusal?.sentence = "format 7 is newer than 6; the guest runs on, use another binary"
    #expect(CommandFailure(handoff, guest) == failure)
    guest.state = .waiting
    guest.alarm = Samples.guest.alarm
    let waiting = try #require(CommandFailure(handoff, guest))
    #expect(waiting.status == .guestWaits)
    #expect(waiting.remedy == "run: systemctl start baton-vmm-b@vm1")
    handoff.outcome = .lost
    #expect(CommandFailure(handoff, guest)?.guestState == "the guest is lost")
  }
}
