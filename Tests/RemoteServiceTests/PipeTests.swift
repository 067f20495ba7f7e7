import LinuxOS
import Testing

@testable import RemoteService

extension SidecarTests {
  @Suite("carries")
  struct PipeTests {
    /// Bytes that do not repeat soon.
    private static func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
      var state = seed
      return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: state >> 33)
      }
    }

    @Test("every byte both ways, and the end of each stream by itself")
    func bothWays() throws {
      let vms = try LinkedVMMs()
      let there = Self.pattern(3_000_001)
      let back = Self.pattern(700_003, seed: 2)
      let sender = vms.sender
      let thread = try OSThread(name: "sender") {
        try? sender.send(there)
        try? sender.endSending()
      }
      #expect(try vms.receiver.receiveAll() == there)
      thread.join()
      // The other way is still open.
      try vms.receiver.send(back)
      #expect(try vms.sender.receive(exactly: back.count) == back)
      try vms.receiver.endSending()
      #expect(try vms.sender.receiveAll() == [])
      for sidecar in [vms.source, vms.target] {
        let ended = try sidecar.event {
          if case .ended(_, _, let sent, let received, let fault) = $0 {
            (sent, received, fault)
          } else {
            nil
          }
        }
        #expect(ended.2 == nil)
        #expect(ended.0 + ended.1 == UInt64(there.count + back.count))
      }
    }

    @Test("what the target's VMM ends first as well")
    func targetEndsFirst() throws {
      let vms = try LinkedVMMs()
      try vms.receiver.send([1, 2, 3])
      try vms.receiver.endSending()
      #expect(try vms.sender.receiveAll() == [1, 2, 3])
      try vms.sender.send([4])
      try vms.sender.endSending()
      #expect(try vms.receiver.receiveAll() == [4])
      for sidecar in [vms.source, vms.target] {
        try sidecar.event { if case .ended(_, _, _, _, nil) = $0 { true } else { nil } }
      }
    }

    @Test("what was sent together with the first line")
    func earlyBytes() throws {
      let source = try RunningSidecar(.north)
      let target = try RunningSidecar()
      let receiver = try target.client("await vm1")
      #expect(try receiver.line() == "waiting")
      let sender = try source.client("connect vm1 localhost:\(target.port)\nhello")
      #expect(try receiver.line() == "ok north.test")
      #expect(try receiver.receive(exactly: 6) == Array("hello\n".utf8))
      #expect(try sender.line() == "ok localhost")
    }

    @Test("a guest to an address that its certificate has")
    func byAddress() throws {
      let source = try RunningSidecar(.north)
      let target = try RunningSidecar()
      let receiver = try target.client("await vm1")
      #expect(try receiver.line() == "waiting")
      let sender = try source.client("connect vm1 127.0.0.1:\(target.port)")
      #expect(try sender.line() == "ok 127.0.0.1")
    }

    @Test("several guests at one time")
    func severalGuests() throws {
      let source = try RunningSidecar(.north)
      let target = try RunningSidecar()
      let pairs = try (1...8).map { try LinkedVMMs.link(source, target, "vm\($0)") }
      for (index, pair) in pairs.enumerated() { try pair.sender.send([UInt8(index)]) }
      for (index, pair) in pairs.enumerated() {
        #expect(try pair.receiver.receive(exactly: 1) == [UInt8(index)])
      }
    }

    @Test("no more than fits while the reader stands still; then everything")
    func backPressure() throws {
      let vms = try LinkedVMMs()
      let block = Self.pattern(1 << 16)
      let before = ThisProcess.residentByteCount
      // Far more than all socket buffers on the way hold.
      let limit = 1 << 30
      let sent = try vms.sender.sendUntilStuck(block, limit: limit)
      #expect(sent < limit)
      // What waits is in the kernel's buffers, not here.
      #expect(ThisProcess.residentByteCount < before + (64 << 20))
      let sender = vms.sender
      let thread = try OSThread(name: "end") { try? sender.endSending() }
      var received = 0
      var isRight = true
      while true {
        let bytes = try vms.receiver.receive(maximum: 1 << 16)
        if bytes.isEmpty { break }
        for (index, byte) in bytes.enumerated() where byte != block[(received + index) % block.count] {
          isRight = false
        }
        received += bytes.count
      }
      thread.join()
      #expect(received == sent && isRight)
      #expect(ThisProcess.residentByteCount < before + (64 << 20))
    }

    @Test("the death of one VMM to the other one, behind what it had sent")
    func deathPasses() throws {
      let source = try RunningSidecar(.north)
      let target = try RunningSidecar()
      var (sender, receiver): (LocalProbe?, LocalProbe) = try LinkedVMMs.link(source, target, "vm1")
      try sender?.send([1, 2, 3])
      sender = nil
      #expect(try receiver.receiveAll() == [1, 2, 3])
      // Nobody takes anything any more.
      #expect(throws: (any Error).self) {
        for _ in 0..<1000 { try receiver.send([UInt8](repeating: 0, count: 1 << 16)) }
      }
    }

    @Test("nothing of a peer whose link is lost: what came is delivered, then the socket is closed")
    func linkLost() throws {
      let vms = try LinkedVMMs()
      try vms.sender.send([1, 2, 3])
      #expect(try vms.receiver.receive(exactly: 3) == [1, 2, 3])
      // The whole program ends, without an end of the stream.
      vms.source.server.stop()
      #expect(try vms.receiver.receiveAll() == [])
      #expect(throws: (any Error).self) {
        for _ in 0..<100 { try vms.receiver.send([UInt8](repeating: 0, count: 1 << 16)) }
      }
    }

    @Test("nothing any more when the peer is silent for too long")
    func idle() throws {
      let vms = try LinkedVMMs({ _ in }, { $0.limits.idle = 300 })
      #expect(try vms.receiver.receiveAll() == [])
      let fault = try vms.target.event { if case .ended(_, _, _, _, let fault?) = $0 { fault } else { nil } }
      #expect(fault == .idle(peer: "north.test", milliseconds: 300))
      // The source's side is told by the connection, without an end of the stream.
      #expect(try vms.sender.receiveAll() == [])
      let other = try vms.source.event { if case .ended(_, _, _, _, let fault?) = $0 { fault } else { nil } }
      #expect(other.refusal == "linkLost")
    }

    @Test("on while bytes come, however slow the reader is")
    func notIdle() throws {
      let vms = try LinkedVMMs({ _ in }, { $0.limits.idle = 400 })
      for index in 0..<8 {
        try vms.sender.send([UInt8(index)])
        #expect(try vms.receiver.receive(exactly: 1) == [UInt8(index)])
        var nothing: [Poller.Interest] = []
        _ = try Poller.wait(&nothing, timeoutNanoseconds: 100_000_000)
      }
    }

    @Test("not to somebody who went away while the connection was made")
    func givenUp() throws {
      let source = try RunningSidecar(.north) { $0.limits.handshake = 60_000 }
      // Accepts and never answers.
      let silent = try SilentPort()
      var sender: LocalProbe? = try source.client("connect vm1 localhost:\(silent.port)")
      silent.waitForConnection()
      withExtendedLifetime(sender) {}
      sender = nil
      // Long before the handshake's time is over.
      silent.waitForEnd()
    }
  }
}
