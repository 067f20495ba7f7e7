import LinuxOS
import Testing

@testable import RemoteService

extension SidecarTests {
  @Suite("while it makes a pipe of a connection")
  struct HandingOverTests {
    @Test(
      "loses nothing of a peer that has said everything and closed already",
      arguments: [1, 100, 70_000, 1_500_000], [true, false])
    func everythingAtOnce(_ count: Int, _ properly: Bool) throws {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
      let target = try RawTarget(.sending(Array("ok\n".utf8) + bytes, properly: properly))
      let source = try RunningSidecar(.north)
      for _ in 0..<4 {
        let sender = try source.client("connect vm1 localhost:\(target.port)")
        #expect(try sender.line() == "ok localhost")
        #expect(try sender.receiveAll() == bytes)
      }
    }

    @Test("tells the VMM of a peer that is gone already, and keeps nothing of it")
    func goneAtOnce() throws {
      let target = try RawTarget(.sending(Array("ok\n".utf8), properly: false))
      let source = try RunningSidecar(.north)
      for _ in 0..<20 {
        let sender = try source.client("connect vm1 localhost:\(target.port)")
        #expect(try sender.line() == "ok localhost")
        #expect(try sender.receiveAll() == [])
      }
      try source.event { _ in source.server.status.hasPrefix("0 migrations carried") ? true : nil }
    }

    @Test("takes what a VMM sent with its first line before anything that it sends later")
    func order() throws {
      let source = try RunningSidecar(.north)
      let target = try RunningSidecar()
      for _ in 0..<10 {
        let receiver = try target.client("await vm1")
        #expect(try receiver.line() == "waiting")
        let sender = try source.client("connect vm1 localhost:\(target.port)\nfirst")
        try sender.send(Array("second".utf8))
        #expect(try receiver.line() == "ok north.test")
        #expect(try sender.line() == "ok localhost")
        try sender.endSending()
        #expect(try receiver.receiveAll() == Array("first\nsecond".utf8))
      }
    }
  }
}
