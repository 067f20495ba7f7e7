import LinuxOS
import NIOCore
import NIOPosix
import NIOSSL
import Testing

@testable import RemoteService

extension SidecarTests {
  @Suite("refuses a peer")
  struct PeerRefusalTests {
    @Test("whose certificate is of a CA that is not trusted: both sides say so")
    func foreignAuthority() throws {
      let target = try RunningSidecar()
      let source = try RunningSidecar(
        .init(
          certificate: TestCertificates.foreign, key: TestCertificates.foreignKey,
          authorities: TestCertificates.trustedAuthority))
      let sender = try source.client("connect vm1 localhost:\(target.port)")
      #expect(
        try sender.line().hasPrefix("error certificateInvalid localhost refused the certificate of this host")
      )
      #expect(try sender.line() == "")
      #expect(try target.fault().name == "certificateRejected")
      #expect(try source.fault().name == "ownCertificateRejected")
    }

    @Test("whose certificate's time has passed, or is not for connecting")
    func unfitCertificates() throws {
      let target = try RunningSidecar()
      let bad = [
        (TestCertificates.expired, TestCertificates.expiredKey),
        (TestCertificates.serverOnly, TestCertificates.serverOnlyKey),
      ]
      for (certificate, key) in bad {
        let source = try RunningSidecar(.init(certificate: certificate, key: key))
        let sender = try source.client("connect vm1 localhost:\(target.port)")
        #expect(try sender.line().hasPrefix("error certificateInvalid "))
        #expect(try source.fault().name == "ownCertificateRejected")
      }
      #expect(try target.fault().name == "certificateRejected")
    }

    @Test("one bit of whose certificate's signature is flipped")
    func damagedCertificate() throws {
      var lines = TestCertificates.north.split(separator: "\n").map { Array($0) }
      // Some letters before the end of the last line of text: the signature's second number.
      let (line, column) = (lines.count - 2, lines[lines.count - 2].count - 10)
      lines[line][column] = lines[line][column] == "A" ? "B" : "A"
      let damaged = lines.map { String($0) + "\n" }.joined()
      let target = try RunningSidecar()
      let source = try RunningSidecar(.init(certificate: damaged, key: TestCertificates.northKey))
      let sender = try source.client("connect vm1 localhost:\(target.port)")
      #expect(try sender.line().hasPrefix("error certificateInvalid "))
      #expect(try target.fault().refusal == "certificateInvalid")
    }

    @Test("that accepts with a certificate of another CA")
    func foreignTarget() throws {
      let target = try RunningSidecar(
        .init(certificate: TestCertificates.foreign, key: TestCertificates.foreignKey))
      let source = try RunningSidecar(.north)
      let sender = try source.client("connect vm1 localhost:\(target.port)")
      #expect(
        try sender.line().hasPrefix("error certificateInvalid the certificate of localhost was refused"))
      #expect(try source.fault().name == "certificateRejected")
    }

    @Test("that accepts with a name other than the one that was asked for")
    func wrongTarget() throws {
      let target = try RunningSidecar(.north)
      let source = try RunningSidecar(.north)
      let sender = try source.client("connect vm1 localhost:\(target.port)")
      let line = try sender.line()
      #expect(line.hasPrefix("error wrongPeerName the certificate of the peer is not for localhost"))
      #expect(line.contains("but for north.test"))
      #expect(try source.fault() == .wrongPeerName(expected: "localhost", found: ["north.test"]))
    }

    @Test("that accepts with a certificate that names no host")
    func namelessTarget() throws {
      let target = try RunningSidecar(
        .init(certificate: TestCertificates.nameless, key: TestCertificates.namelessKey))
      let source = try RunningSidecar(.north)
      let sender = try source.client("connect vm1 localhost:\(target.port)")
      #expect(try sender.line().hasPrefix("error wrongPeerName "))
    }

    @Test("whose name may not connect, and says so to it")
    func strangerConnects() throws {
      let target = try RunningSidecar(allowing: ["north.test"])
      let source = try RunningSidecar(
        .init(certificate: TestCertificates.stranger, key: TestCertificates.strangerKey))
      let sender = try source.client("connect vm1 localhost:\(target.port)")
      let line = try sender.line()
      #expect(line.hasPrefix("error wrongPeerName localhost refused: 127.0.0.1 may not connect here"))
      #expect(line.contains("stranger.test"))
      #expect(try target.fault().name == "peerNotAllowed")
      #expect(try source.fault().name == "refusedByPeer")
    }

    @Test("that shows no certificate")
    func noCertificate() throws {
      let target = try RunningSidecar()
      let peer = try RawPeer(port: target.port) {
        $0.certificateChain = []
        $0.privateKey = nil
      }
      #expect(try target.fault().name == "certificateMissing")
      #expect(peer.answer() == nil)
    }

    @Test("that speaks TLS 1.2 at most")
    func oldVersion() throws {
      let target = try RunningSidecar()
      let peer = try RawPeer(port: target.port) { $0.maximumTLSVersion = .tlsv12 }
      #expect(try target.fault().name == "oldTLSVersion")
      #expect(try target.fault().refusal == "streamVersion")
      #expect(peer.answer() == nil)
    }

    @Test("that speaks another protocol inside TLS, or names none", arguments: [["h2"], []])
    func otherProtocol(_ names: [String]) throws {
      let target = try RunningSidecar()
      let peer = try RawPeer(port: target.port) { $0.applicationProtocols = names }
      #expect(peer.answer()?.hasPrefix("error streamVersion ") == true)
      #expect(try target.fault().name == "unknownProtocol")
    }

    @Test("that does not speak TLS, or nothing")
    func noTLS() throws {
      let target = try RunningSidecar { $0.limits.handshake = 100 }
      let silent = try RawPeer(plainPort: target.port, sending: [])
      #expect(try target.fault().name == "handshakeLate")
      let other = try RunningSidecar()
      let loud = try RawPeer(plainPort: other.port, sending: Array("GET / HTTP/1.1\r\n\r\n".utf8))
      #expect(try other.fault().name == "tlsFailed")
      silent.close()
      loud.close()
    }

    @Test("whose first line is none, is too long, or does not come")
    func badLines() throws {
      let target = try RunningSidecar { $0.limits.line = 200 }
      #expect(
        try RawPeer(port: target.port, sending: "hello\n").answer()?.hasPrefix("error malformedRecord ")
          == true)
      #expect(
        try RawPeer(port: target.port, sending: String(repeating: "x", count: 2000)).answer()
          == nil || target.told.contains { "\($0)".contains("lineTooLong") })
      #expect(
        try RawPeer(port: target.port, sending: "migrate vm").answer()?.hasPrefix("error deadlinePassed ")
          == true)
      for name in ["malformedLine", "lineTooLong", "lineLate"] {
        try target.event { if case .refused(let fault, _) = $0, fault.name == name { true } else { nil } }
      }
    }

    @Test("for a guest that no VMM waits for")
    func notWaiting() throws {
      let target = try RunningSidecar()
      let source = try RunningSidecar(.north)
      let sender = try source.client("connect vm1 localhost:\(target.port)")
      #expect(
        try sender.line().hasPrefix(
          "error targetNotWaiting localhost refused: no VMM waits for guest vm1 there"))
      let waiting = try target.client("await vm2")
      #expect(try waiting.line() == "waiting")
      let again = try source.client("connect vm1 localhost:\(target.port)")
      #expect(try again.line().hasPrefix("error targetNotWaiting "))
    }

    @Test("that is not there, by name and by port")
    func unreachable() throws {
      let source = try RunningSidecar(.north)
      let sender = try source.client("connect vm1 127.0.0.1:1")
      #expect(try sender.line().hasPrefix("error remoteUnreachable 127.0.0.1:1 cannot be reached"))
      let unknown = try source.client("connect vm1 nobody.invalid")
      #expect(try unknown.line().hasPrefix("error remoteUnreachable nobody.invalid:4646 cannot be reached"))
    }
  }

  @Suite("refuses a local program")
  struct LocalRefusalTests {
    @Test("that waits for a guest for which another one waits, until that one is gone")
    func secondWaiter() throws {
      let target = try RunningSidecar()
      var first: LocalProbe? = try target.client("await vm1")
      #expect(try first?.line() == "waiting")
      #expect(try target.client("await vm1").line().hasPrefix("error secondSuccessor "))
      #expect(try target.fault() == .secondWaiter(guest: "vm1"))
      first = nil
      // That it is gone is noticed by another thread.
      let end = MonotonicClock.now() &+ 10_000_000_000
      var answer = ""
      while answer != "waiting", MonotonicClock.now() < end { answer = try target.client("await vm1").line() }
      #expect(answer == "waiting")
    }

    @Test("whose first line is none, is too long, or does not come")
    func badLines() throws {
      let sidecar = try RunningSidecar { $0.limits.line = 200 }
      #expect(try sidecar.client("hello").line().hasPrefix("error malformedRecord "))
      let long = try LocalProbe(path: "\(sidecar.folder)/socket")
      try long.send([UInt8](repeating: 0x61, count: 1024))
      #expect(try long.line().hasPrefix("error malformedRecord the first line has more than 1024 bytes"))
      let slow = try LocalProbe(path: "\(sidecar.folder)/socket")
      try slow.send(Array("await vm".utf8))
      #expect(try slow.line().hasPrefix("error deadlinePassed "))
    }

    @Test("that waits and sends something before it was answered")
    func earlyBytes() throws {
      let sidecar = try RunningSidecar()
      let waiting = try sidecar.client("await vm1")
      #expect(try waiting.line() == "waiting")
      try waiting.send([1])
      #expect(try waiting.line().hasPrefix("error malformedRecord "))
    }

    @Test("of a user who has as many connections as one user may, until one of them ends")
    func tooManyOfUser() throws {
      let sidecar = try RunningSidecar { $0.limits.connectionsPerUser = 3 }
      var waiting = try (1...3).map { try sidecar.client("await vm\($0)") }
      for client in waiting { #expect(try client.line() == "waiting") }
      let line = try sidecar.client("await vm4").line()
      #expect(
        line.hasPrefix("error quotaExceeded user \(ThisProcess.effectiveUser) has 3 connections open already")
      )
      #expect(
        try sidecar.fault() == .tooManyConnectionsOfUser(uid: ThisProcess.effectiveUser, limit: 3))
      waiting.removeFirst()
      #expect(try answer(sidecar, "await vm4", other: "error quotaExceeded") == "waiting")
    }

    @Test("counts a guest on its way for as long as it is")
    func carriedOnesCount() throws {
      let source = try RunningSidecar(.north) { $0.limits.connectionsPerUser = 1 }
      let target = try RunningSidecar { $0.limits.connections = 1 }
      var pair: (sender: LocalProbe, receiver: LocalProbe)? = try LinkedVMMs.link(source, target, "vm1")
      #expect(try source.client("await vm2").line().hasPrefix("error quotaExceeded user "))
      #expect(try target.client("await vm2").line().hasPrefix("error quotaExceeded 1 connections"))
      withExtendedLifetime(pair) {}
      pair = nil
      #expect(try answer(source, "await vm2", other: "error quotaExceeded") == "waiting")
      #expect(try answer(target, "await vm2", other: "error quotaExceeded") == "waiting")
    }

    /// Asks until the answer is another one, ten seconds at most: that a client is gone is noticed by another thread.
    private func answer(_ sidecar: RunningSidecar, _ line: String, other: String) throws -> String {
      let end = MonotonicClock.now() &+ 10_000_000_000
      while true {
        let answer = try sidecar.client(line).line()
        if !answer.hasPrefix(other) || MonotonicClock.now() > end { return answer }
      }
    }

    @Test("of a user without the right")
    func rights() throws {
      let rights = LocalRights(users: [4711], adminGroup: nil)
      let sidecar = try RunningSidecar()
      let descriptor = try LocalProbe(path: "\(sidecar.folder)/socket").socket.descriptor.duplicate()
      let client = LocalClient(descriptor, uid: 4711)
      #expect(rights.allow(client, toAskAsOperator: false))
      #expect(!rights.allow(client, toAskAsOperator: true))
      let other = LocalClient(try client.socket.descriptor.duplicate(), uid: 4712)
      #expect(!rights.allow(other, toAskAsOperator: false))
      // The peer of the descriptor is this process: of its own group.
      let group = LocalRights(users: [], adminGroup: ThisProcess.effectiveGroup)
      #expect(group.allow(other, toAskAsOperator: true))
    }
  }
}
