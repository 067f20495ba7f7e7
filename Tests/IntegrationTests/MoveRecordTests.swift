import BatonWire
import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite.MoveTests {
  @Suite("The source's VM, which is the baton")
  struct MoveRecordTests {
    private static func next(_ peer: RecordPeer) throws -> RegistryMessage {
      guard case .message(let message) = try peer.next() else { throw HarnessFailure("no message came") }
      return message
    }

    @Test(
      "is seen by a claimant only, and taken back when it is returned",
      arguments: MoveCustody.allCases)
    func onlyWithTheClaim(_ custody: MoveCustody) throws {
      try Workbench.use { bench in
        let plan = custody.plan
        try Scene.daemons(bench, plan, options: ["--release-ms", "600000"])
        let source = try bench.startGuest(plan)
        let peer = try RecordPeer(path: bench.handoffSocket)
        try peer.send(.hello(RecordPeer.hello("vm1")))
        guard case .welcome = try Self.next(peer),
          case .offered(let handoff, let manifest, _) = try Self.next(peer)
        else { throw HarnessFailure("no offer came") }
        #expect(manifest.way == .move)
        #expect(manifest.hasVM)
        // RAM, the state memfd's place, the VM's place: nothing but files.
        #expect(peer.descriptors.count == manifest.descriptorCount)
        for index in 0..<peer.descriptors.count {
          #expect(try peer.descriptors.identity(at: index).isRegularFile)
        }
        try peer.send(.ready(handoff: handoff))
        guard case .claim(handoff, _) = try Self.next(peer) else { throw HarnessFailure("no claim came") }
        // The sealed state, and one VM: never the one that the source would take back into.
        #expect(peer.descriptors.count == manifest.descriptorCount + 2)
        #expect(try peer.descriptors.identity(at: manifest.descriptorCount).isRegularFile)
        #expect(try !peer.descriptors.identity(at: manifest.descriptorCount + 1).isRegularFile)
        try peer.send(.refused(handoff: handoff, used: false))
        try bench.waitForGuest("vm1", "is back at its source") {
          $0.state == .running && $0.handoff == nil && $0.owner?.processId == source.pid
        }
        try source.wait(for: "tookBack")
        #expect(try source.isGuestRunning())
      }
    }
  }
}
