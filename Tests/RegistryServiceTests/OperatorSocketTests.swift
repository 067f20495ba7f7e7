import BatonWire
import LinuxOS
import Testing

/// An operator that speaks Varlink byte by byte.
final class RawOperator {
  private let socket: StreamSocket
  /// What came behind the message that was returned last.
  private var unread: [UInt8] = []

  init(_ registry: RunningRegistry) throws {
    let path = registry.varlinkSocket
    // One that listens already is not bothered with a second connection.
    if let connected = try? StreamSocket.connect(path: path) {
      socket = connected
      return
    }
    try registry.waitUntilItListens(path)
    socket = try StreamSocket.connect(path: path)
  }

  /// Sends bytes; stops without complaint when the registry has closed the connection.
  func send(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      do throws(SystemError) {
        let count = try socket.send(rest)
        rest = rest.dropFirst(count)
        if count == 0 {
          var interests = [Poller.Interest(socket.descriptor.number, readable: true, writable: true)]
          _ = try Poller.wait(&interests, timeoutNanoseconds: 20_000_000_000)
        }
      } catch {
        guard error.isDisconnection else { throw error }
        return
      }
    }
  }

  func call(_ text: String) throws { try send(Array(text.utf8) + [0]) }

  /// The next message, or nil when the registry ended the connection.
  func receive() throws -> String? {
    while true {
      if let end = unread.firstIndex(of: 0) {
        defer { unread.removeSubrange(...end) }
        return String(decoding: unread[..<end], as: UTF8.self)
      }
      guard try Poller.waitReadable(socket.descriptor.number, timeoutNanoseconds: 20_000_000_000) else {
        throw TestFailure("the registry said nothing for 20 s")
      }
      let more: [UInt8]?
      do throws(SystemError) { more = try socket.receive() } catch {
        guard error.isDisconnection else { throw error }
        return nil
      }
      guard let more else { continue }
      if more.isEmpty { return nil }
      unread += more
    }
  }
}

@Suite("The operators' socket")
struct OperatorSocketTests {
  @Test("lists guests")
  func list() throws {
    let registry = try RunningRegistry()
    let vmm = try ScriptedVMM(registry)
    try vmm.own("vm1", manifest: TestRAM(byteCount: 1 << 20).manifest)
    let client = try RawOperator(registry)
    try client.call(#"{"method":"io.baton.Registry.List"}"#)
    let reply = try #require(try client.receive())
    #expect(reply.contains(#""name":"vm1""#))
    #expect(reply.contains(#""state":"running""#))
    #expect(reply.contains(#""memoryBytes":1048576"#))
    #expect(reply.contains(#""processId":\#(ThisProcess.pid)"#))
  }

  @Test("describes itself")
  func service() throws {
    let registry = try RunningRegistry()
    let client = try RawOperator(registry)
    try client.call(#"{"method":"org.varlink.service.GetInfo"}"#)
    #expect(try client.receive()?.contains("io.baton.Registry") == true)
    try client.call(
      #"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"io.baton.Registry"}}"#
    )
    #expect(try client.receive()?.contains("method Upgrade(") == true)
  }

  @Test("closes on garbage, deep nesting and 20 MiB, and goes on serving others")
  func abuse() throws {
    let registry = try RunningRegistry()
    let deep = #"{"method":"io.baton.Registry.List","parameters":"#
    let attacks: [[UInt8]] = [
      [0xFF, 0xFE, 0x00], Array((deep + String(repeating: "[", count: 5_000)).utf8) + [0],
      [UInt8](repeating: 0x20, count: 20 << 20),
    ]
    for attack in attacks {
      let client = try RawOperator(registry)
      try client.send(attack)
      #expect(try client.receive() == nil)
    }
    let client = try RawOperator(registry)
    try client.call(#"{"method":"io.baton.Registry.List"}"#)
    #expect(try client.receive() == #"{"parameters":{"guests":[]}}"#)
  }

  @Test("answers by name for what there is not")
  func errors() throws {
    let registry = try RunningRegistry()
    let client = try RawOperator(registry)
    let questions = [
      (
        #"{"method":"io.baton.Registry.Describe","parameters":{"guest":"no"}}"#,
        "io.baton.Registry.UnknownGuest"
      ),
      (
        #"{"method":"io.baton.Registry.Preflight","parameters":{"guest":"no"}}"#,
        "io.baton.Registry.UnknownGuest"
      ),
      (#"{"method":"io.baton.Registry.Watch"}"#, "org.varlink.service.ExpectedMore"),
      (#"{"method":"io.baton.Registry.Nothing"}"#, "org.varlink.service.MethodNotFound"),
      (#"{"method":"io.baton.Registry.List","parameters":{"x":1}}"#, "org.varlink.service.InvalidParameter"),
    ]
    for (question, answer) in questions {
      try client.call(question)
      #expect(try client.receive()?.contains(answer) == true, "\(question)")
    }
  }

  @Test("lets uid 0 ask for an upgrade, and tells others that they may not")
  func permission() throws {
    let registry = try RunningRegistry()
    let client = try RawOperator(registry)
    try client.call(#"{"method":"io.baton.Registry.Upgrade","parameters":{"guest":"no"}}"#)
    let expected = ThisProcess.effectiveUser == 0 ? "UnknownGuest" : "NotAllowed"
    #expect(try client.receive()?.contains("io.baton.Registry.\(expected)") == true)
  }

  @Test("asks the source before a handoff and adds what the registry knows")
  func preflight() throws {
    let registry = try RunningRegistry()
    let vmm = try ScriptedVMM(registry)
    try vmm.own("vm1", manifest: TestRAM().manifest)
    let client = try RawOperator(registry)
    try client.call(#"{"method":"io.baton.Registry.Preflight","parameters":{"guest":"vm1"}}"#)
    #expect(try vmm.receive() == .preflight)
    try vmm.send(.preflightReport([PreflightCheck(name: "vhost", verdict: .fail, detail: "one is open")]))
    let reply = try #require(try client.receive())
    #expect(reply.contains(#""name":"vhost""#))
    #expect(reply.contains(#""name":"owner""#))
    #expect(reply.contains(#""name":"fence""#))
    #expect(reply.contains(#""verdict":"fail""#))
  }

  @Test("refuses an upgrade when a check fails, and nothing was tried")
  func failedPreflight() throws {
    guard ThisProcess.effectiveUser == 0 else {
      print("SKIPPED: an upgrade needs uid 0")
      return
    }
    let registry = try RunningRegistry()
    let vmm = try ScriptedVMM(registry)
    try vmm.own("vm1", manifest: TestRAM().manifest)
    let client = try RawOperator(registry)
    try client.call(#"{"method":"io.baton.Registry.Upgrade","more":true,"parameters":{"guest":"vm1"}}"#)
    #expect(try vmm.receive() == .preflight)
    try vmm.send(.preflightReport([PreflightCheck(name: "vhost", verdict: .fail, detail: "one is open")]))
    #expect(try client.receive()?.contains("io.baton.Registry.PreflightFailed") == true)
    try client.call(
      #"{"method":"io.baton.Registry.Upgrade","more":true,"parameters":{"guest":"vm1","ignorePreflight":true,"deadlineMicroseconds":1000}}"#
    )
    #expect(try vmm.receive() == .preflight)
    try vmm.send(.preflightReport([PreflightCheck(name: "vhost", verdict: .fail, detail: "one is open")]))
    #expect(try client.receive()?.contains(#""step":"recorded""#) == true)
    #expect(try client.receive()?.contains("io.baton.Registry.DeadlinePassed") == true)
  }

  @Test("shows who follows what happens")
  func watch() throws {
    let registry = try RunningRegistry()
    let client = try RawOperator(registry)
    try client.call(#"{"method":"io.baton.Registry.Watch","more":true}"#)
    #expect(try client.receive()?.contains(#""kind":"snapshot""#) == true)
    let vmm = try ScriptedVMM(registry)
    try vmm.own("vm1")
    #expect(try client.receive()?.contains(#""kind":"guestAppeared""#) == true)
  }
}
