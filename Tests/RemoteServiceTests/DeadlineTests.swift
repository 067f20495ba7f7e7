import LinuxOS
import NIOCore
import NIOPosix
import Testing

@testable import RemoteService

extension SidecarTests {
  /// Who sends a little again and again moves no deadline.
  @Suite("waits no longer than it should")
  struct DeadlineTests {
    private static let endless = [UInt8](repeating: UInt8(ascii: "x"), count: 1000)

    private func pause(milliseconds: UInt64) throws {
      var nothing: [Poller.Interest] = []
      _ = try Poller.wait(&nothing, timeoutNanoseconds: milliseconds * 1_000_000)
    }

    @Test("for the first line of a peer that sends a byte now and then")
    func drippingPeer() throws {
      let target = try RunningSidecar { $0.limits.line = 300 }
      let peer = try RawPeer(port: target.port)
      let isTold = { target.told.contains { if case .refused(.lineLate, _) = $0 { true } else { false } } }
      for _ in 0..<Self.endless.count where !isTold() {
        peer.send([UInt8(ascii: "x")])
        try pause(milliseconds: 20)
      }
      #expect(isTold())
      #expect(peer.answer()?.hasPrefix("error deadlinePassed ") == true)
    }

    @Test("for the handshake of a peer that sends a byte now and then")
    func drippingHandshake() throws {
      let target = try RunningSidecar { $0.limits.handshake = 300 }
      // The beginning of a ClientHello that announces more.
      let peer = try RawPeer(plainPort: target.port, sending: [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3])
      let isTold = {
        target.told.contains { if case .refused(.handshakeLate, _) = $0 { true } else { false } }
      }
      for _ in 0..<450 where !isTold() {
        peer.send([0])
        try pause(milliseconds: 20)
      }
      #expect(isTold())
      #expect(peer.answer() == nil)
    }

    @Test("for the first line of a local program that sends a byte now and then")
    func drippingClient() throws {
      let sidecar = try RunningSidecar { $0.limits.line = 300 }
      let probe = try LocalProbe(path: "\(sidecar.folder)/socket")
      let isTold = { sidecar.told.contains { if case .refused(.lineLate, _) = $0 { true } else { false } } }
      for _ in 0..<Self.endless.count where !isTold() {
        // It may be refused in between.
        try? probe.send([UInt8(ascii: "x")])
        try pause(milliseconds: 20)
      }
      #expect(isTold())
      #expect(try probe.line().hasPrefix("error deadlinePassed "))
    }

    @Test("for the answer of a host that it has connected to, silent or a byte now and then")
    func slowAnswer() throws {
      let source = try RunningSidecar(.north) { $0.limits.line = 300 }
      for conduct in [
        RawTarget.Conduct.dripping([], milliseconds: 20), .dripping(Self.endless, milliseconds: 20),
      ] {
        let target = try RawTarget(conduct)
        let sender = try source.client("connect vm1 localhost:\(target.port)")
        #expect(try sender.line().hasPrefix("error deadlinePassed "))
      }
    }

    @Test("for the handshake of a host that accepts and says nothing")
    func silentTarget() throws {
      let source = try RunningSidecar(.north) { $0.limits.handshake = 200 }
      let silent = try SilentPort()
      let sender = try source.client("connect vm1 localhost:\(silent.port)")
      #expect(
        try sender.line().hasPrefix(
          "error remoteUnreachable localhost did not finish the TLS handshake within 200 ms"))
    }

    @Test("for a host that accepts no connection: the time for the handshake has not begun then")
    func droppedPackets() throws {
      let full = try FullPort()
      let source = try RunningSidecar(.north) {
        $0.limits.connect = 600
        $0.limits.handshake = 100
      }
      let sender = try source.client("connect vm1 127.0.0.1:\(full.port)")
      #expect(
        try sender.line().hasPrefix(
          "error remoteUnreachable 127.0.0.1:\(full.port) did not accept a connection within 600 ms"))
      #expect(try source.fault() == .connectLate(host: "127.0.0.1:\(full.port)", milliseconds: 600))
    }

    @Test("for a line's end behind 1024 bytes, from a peer as from a host that it has connected to")
    func longLines() throws {
      let endless = [UInt8](repeating: UInt8(ascii: "x"), count: 100_000)
      let target = try RunningSidecar()
      let peer = try RawPeer(port: target.port)
      peer.send(endless)
      #expect(try target.fault() == .lineTooLong(limit: 1024))
      peer.close()
      let source = try RunningSidecar(.north)
      let other = try RawTarget(.sending(endless, properly: true))
      let sender = try source.client("connect vm1 localhost:\(other.port)")
      #expect(try sender.line().hasPrefix("error malformedRecord the first line has more than 1024 bytes"))
    }
  }
}
