import BatonWire
import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite {
  /// Each test leaves the registry alive and a guest running, which is looked at in the end.
  @Suite("Bad input at the handoff socket")
  struct BadRecordTests {
    /// A registry with a running guest, and a look at both afterwards.
    private func withGuest(_ options: [String] = [], _ body: (Workbench, VMM) throws -> Void) throws {
      try Workbench.use { bench in
        // The registry ends processes that it told to go; the test itself is such a process.
        try bench.startRegistry(["--quiet", "--release-ms", "600000"] + options)
        let registry = try #require(bench.registry)
        let console = try ConsoleReader()
        let vmm = try bench.startGuest(Scene.plan(), console: console)
        try body(bench, vmm)
        #expect(registry.isAlive)
        #expect(try bench.guest("vm1").state == .running)
        #expect(try vmm.isGuestRunning())
        try Scene.expectWhole(vmm, console)
      }
    }

    @Test("garbage is refused as a malformed record")
    func garbage() throws {
      try withGuest { bench, _ in
        var random = SystemRandomNumberGenerator()
        for count in [1, 23, 24, 25, 100, 65_560] {
          let peer = try RecordPeer(path: bench.handoffSocket)
          try peer.send(raw: (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) })
          #expect(try peer.refusal().refusal == .malformedRecord, "\(count) bytes")
        }
      }
    }

    @Test("every truncation of every record as the first one is refused as malformed")
    func truncations() throws {
      try withGuest { bench, _ in
        for message in EveryMessage.all.map({ $0.encoded() }) {
          let whole = message.records(version: 1, sequence: 1)[0].bytes
          for count in 1..<whole.count {
            let peer = try RecordPeer(path: bench.handoffSocket)
            try peer.send(raw: Array(whole[..<count]))
            #expect(try peer.refusal().refusal == .malformedRecord, "type \(message.type), \(count) bytes")
          }
          // The payload cut short under a header that says so.
          for count in 0..<message.payload.count {
            let short = Message(
              type: message.type, payload: Array(message.payload[..<count]), descriptorCount: 0)
            let peer = try RecordPeer(path: bench.handoffSocket)
            try peer.send(raw: short.records(version: 1, sequence: 1)[0].bytes)
            #expect(
              try peer.refusal().refusal == .malformedRecord, "type \(message.type), payload of \(count)")
          }
        }
      }
    }

    @Test("a record longer than the limit is refused")
    func oversize() throws {
      try withGuest { bench, _ in
        let peer = try RecordPeer(path: bench.handoffSocket)
        try peer.send(raw: [UInt8](repeating: 0x42, count: 100_000))
        #expect(try peer.refusal().refusal == .malformedRecord)
      }
    }

    @Test("versions that the registry does not speak are refused")
    func versions() throws {
      try withGuest { bench, _ in
        let peer = try RecordPeer(path: bench.handoffSocket)
        var hello = RecordPeer.hello("vm1")
        hello.versions = ProtocolVersion(oldest: 7, newest: 9)
        try peer.send(.hello(hello))
        #expect(try peer.refusal().refusal == .versionMismatch)
      }
    }

    @Test("a descriptor too many, or one that is announced and missing, is refused")
    func descriptorCounts() throws {
      try withGuest { bench, _ in
        let pipe = try Pipe()
        let bytes = VMMMessage.hello(RecordPeer.hello("vm1")).encoded().records(version: 1, sequence: 1)[0]
          .bytes
        let many = try RecordPeer(path: bench.handoffSocket)
        try many.send(raw: bytes, descriptors: [pipe.readEnd.number])
        #expect(try many.refusal().refusal == .descriptorMismatch)
        var announced = bytes
        announced[16] = 1
        let few = try RecordPeer(path: bench.handoffSocket)
        try few.send(raw: announced)
        #expect(try few.refusal().refusal == .descriptorMismatch)
        // Announced and there, but none belongs to this message.
        let none = try RecordPeer(path: bench.handoffSocket)
        try none.send(raw: announced, descriptors: [pipe.readEnd.number])
        #expect(try none.refusal().refusal == .descriptorMismatch)
      }
    }

    @Test(
      "a name that is no guest's name is refused",
      arguments: [
        "", String(repeating: "a", count: 300), "a/b", "a\u{1}b", "../x", ".hidden",
      ])
    func names(_ name: String) throws {
      try withGuest { bench, _ in
        let peer = try RecordPeer(path: bench.handoffSocket)
        try peer.send(.hello(RecordPeer.hello(name)))
        #expect(try peer.refusal().refusal == .badGuestName)
      }
    }

    @Test("a baton of a guest that is not known is refused")
    func unknownGuest() throws {
      try withGuest { bench, _ in
        let peer = try RecordPeer(path: bench.handoffSocket)
        try peer.send(.hello(RecordPeer.hello("nobody", .claiming(1))))
        #expect(try peer.refusal().refusal == .batonUnknown)
      }
    }

    @Test("a first record that is no hello is refused")
    func noHello() throws {
      try withGuest { bench, _ in
        let peer = try RecordPeer(path: bench.handoffSocket)
        try peer.send(.ready(handoff: 1))
        #expect(try peer.refusal().refusal == .protocolViolation)
      }
    }

    @Test("a peer that stays silent is cut off at its deadline")
    func silent() throws {
      try withGuest(["--hello-ms", "300"]) { bench, _ in
        let peer = try RecordPeer(path: bench.handoffSocket)
        #expect(try peer.refusal(seconds: 10).refusal == .deadlinePassed)
      }
    }

    @Test("a second successor is refused while the first prepares")
    func secondSuccessor() throws {
      try withGuest { bench, _ in
        let first = try bench.startVMM(Scene.plan(), stopAt: "successorOffered")
        try Wait.until("the first successor's standstill") { first.process.isStopped ? () : nil }
        let second = try bench.startVMM(Scene.plan())
        #expect(try second.wait(for: "refused").refusal == "secondSuccessor")
        first.process.kill()
        try bench.waitForGuest("vm1", "runs on") { $0.state == .running && $0.handoff == nil }
      }
    }

    @Test("a successor of another user is refused")
    func otherUser() throws {
      guard ThisProcess.effectiveUser == 0 else {
        print("SKIPPED: only root can start a process of another user")
        return
      }
      try Workbench.use { bench in
        try Files.changeMode(of: bench.directory, to: 0o711)
        try bench.startRegistry(["--quiet", "--group", "65534"])
        let source = try bench.startGuest(Scene.plan())
        let copy = "\(bench.directory)/baton-vmm-copy"
        try copyProgram(to: copy)
        let events = try EventFile(path: "\(bench.directory)/stranger.events")
        try Files.changeMode(of: events.path, to: 0o666)
        let stranger = try TestProcess(
          name: "stranger", log: "\(bench.directory)/stranger.log",
          arguments: [copy] + bench.vmmArguments(Scene.plan(), events: events.path), user: 65_534)
        #expect(
          try stranger.waitForEnd() == .exited(status: BatonWire.Refusal.wrongPeer.exitCode),
          "\(stranger.logTail())")
        #expect(try events.all().last { $0.event == "refused" }?.refusal == "wrongPeer")
        #expect(try source.isGuestRunning())
      }
    }

    private func copyProgram(to path: String) throws {
      let file = try Files.open(path, .createReadWrite)
      try file.write(try TextFile.bytes(try Programs.vmm.path()), at: 0)
      try Files.changeMode(of: path, to: 0o755)
    }
  }
}
