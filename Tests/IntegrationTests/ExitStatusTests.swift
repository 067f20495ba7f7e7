import BatonWire
import FoundationEssentials
import Harness
import LinuxOS
import RegistryInterface
import Testing

/// `batonctl` and `baton-vmm` end with numbers of one table.
@Suite("The exit status of a refusal")
struct ExitStatusTests {
  @Test("is one of batonctl's, with the same meaning", arguments: BatonWire.Refusal.allCases)
  func meaning(_ refusal: BatonWire.Refusal) throws {
    let status = try #require(CommandStatus(rawValue: refusal.exitCode))
    let expected: Set<CommandStatus> =
      switch refusal {
      case .sourceDestroyed, .guestLost: [.guestLost]
      case .guestEnded: [.guestEnded]
      case .unknownGuest: [.unknownGuest]
      case .wrongPeer: [.notAllowed]
      case .secondOwner, .secondSuccessor, .migrationUnderWay: [.handoffInProgress]
      case .batonUsed, .deadlinePassed, .peerDied, .receiptWrong, .departed: [.outcomeUnknown]
      case .badGuestName, .quotaExceeded, .settling: [.failure]
      case .batonExpired, .batonRevoked, .batonForeign, .batonUnknown, .notOwner, .fencedInThisEpoch,
        .malformedRecord, .versionMismatch, .descriptorMismatch, .protocolViolation, .badManifest, .notAMemfd,
        .sealsMissing, .memoryTooShort, .foreignMemory, .stateUnreadable, .abortedByOperator,
        .sourceDeclined, .successorDeclined, .peerDisconnected, .takenBack, .guestExists, .migrationCancelled,
        .linkLost, .wrongPeerName, .certificateInvalid, .policyForbids, .agreementMissing, .noRoom,
        .streamDamaged, .streamVersion, .willNotConverge, .encryptedStateNotSendable, .remoteUnreachable,
        .targetNotWaiting:
        [.guestAtSource]
      }
    #expect(expected == [status])
    // A lost guest is told from a safe one by the error of the same refusal, too.
    #expect((refusal.varlinkError == "io.baton.Registry.GuestLost") == (status == .guestLost))
    #expect((refusal.varlinkError == "io.baton.Registry.GuestEnded") == (status == .guestEnded))
    #expect((refusal.varlinkError == "io.baton.Registry.NotAllowed") == (status == .notAllowed))
    let inProgress = ["io.baton.Registry.HandoffInProgress", "io.baton.Registry.MigrationInProgress"]
    #expect(inProgress.contains(refusal.varlinkError) == (status == .handoffInProgress))
  }

  @Test("stands in the manual page and in the guide")
  func documented() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let page = String(
      decoding: try Data(contentsOf: root.appending(path: "Docs/man/batonctl.1")), as: UTF8.self)
    let guide = String(
      decoding: try Data(contentsOf: root.appending(path: "Docs/batonctl.md")), as: UTF8.self)
    let byStatus = Dictionary(grouping: BatonWire.Refusal.allCases, by: \.exitCode)
    for (status, refusals) in byStatus {
      let names = refusals.map(\.name)
      let row = "| \(status) | \(names.map { "`\($0)`" }.joined(separator: ", ")) |"
      #expect(guide.contains(row), "batonctl.md lacks: \(row)")
      let lines = ".It \(status)\n\(names.joined(separator: ",\n"))\n"
      #expect(page.contains(lines), "batonctl.1 lacks: \(lines)")
    }
  }
}

extension IntegrationSuite {
  @Suite("A VMM that is refused")
  struct RefusedVMMTests {
    @Test("ends with the refusal's status, and the guest runs on")
    func statuses() throws {
      try Workbench.use { bench in
        try bench.startRegistry(["--quiet"])
        let console = try ConsoleReader()
        let owner = try bench.startGuest(Scene.plan(), console: console)
        let attempts: [(arguments: [String], refusal: BatonWire.Refusal)] = [
          (["--fresh"], .secondOwner), (["--misbehave", "decline"], .successorDeclined),
          (["--misbehave", "return-baton"], .successorDeclined),
        ]
        for (arguments, refusal) in attempts {
          let vmm = try bench.startVMM(Scene.plan(), extra: arguments)
          #expect(
            try vmm.process.waitForEnd() == .exited(status: refusal.exitCode), "\(arguments)")
          try bench.waitForGuest("vm1", "runs on") {
            $0.state == .running && $0.handoff == nil && $0.owner?.processId == owner.pid
          }
        }
        try Scene.expectWhole(owner, console)
      }
    }
  }
}
