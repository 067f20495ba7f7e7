import BatonWire
import LinuxOS
import Testing

@Suite("An operator who asks too much, or too late")
struct OperatorLimitTests {
  private let list = #"{"method":"io.baton.Registry.List"}"#
  private let watch = #"{"method":"io.baton.Registry.Watch","more":true}"#

  @Test("is told that there are too many calls of Watch, and may go on with others")
  func watches() throws {
    let registry = try RunningRegistry()
    let clients = try (0..<129).map { _ in try RawOperator(registry) }
    for client in clients.dropLast() {
      try client.call(watch)
      #expect(try client.receive()?.contains(#""kind":"snapshot""#) == true)
    }
    let last = try #require(clients.last)
    try last.call(watch)
    let reply = try #require(try last.receive())
    #expect(
      reply
        == #"{"error":"io.baton.Registry.QuotaExceeded","parameters":{"limit":128,"quota":"watches"}}"#)
    try last.call(list)
    #expect(try last.receive() == #"{"parameters":{"guests":[]}}"#)
  }

  @Test("is told that there are too many connections, and disconnected")
  func connections() throws {
    let registry = try RunningRegistry()
    try registry.waitUntilSettled()
    let clients = try (0..<256).map { _ in try RawOperator(registry) }
    // Each of them was taken before the next one is.
    for client in clients {
      try client.call(list)
      #expect(try client.receive() == #"{"parameters":{"guests":[]}}"#)
    }
    let last = try RawOperator(registry)
    try last.call(list)
    let reply = try #require(try last.receive())
    #expect(
      reply
        == #"{"error":"io.baton.Registry.QuotaExceeded","parameters":{"limit":256,"quota":"connections"}}"#)
    #expect(try last.receive() == nil)
    try clients[0].call(list)
    #expect(try clients[0].receive() == #"{"parameters":{"guests":[]}}"#)
  }

  @Test("hears at once that the guest has ended whose successor is waited for")
  func ended() throws {
    guard ThisProcess.effectiveUser == 0 else {
      print("SKIPPED: an upgrade needs uid 0")
      return
    }
    let registry = try RunningRegistry()
    let vmm = try ScriptedVMM(registry)
    try vmm.own("vm1")
    let client = try RawOperator(registry)
    try client.call(#"{"method":"io.baton.Registry.Upgrade","more":true,"parameters":{"guest":"vm1"}}"#)
    #expect(try vmm.receive() == .preflight)
    try vmm.send(.preflightReport([]))
    #expect(try client.receive()?.contains(#""step":"recorded""#) == true)
    try vmm.send(.ended(epoch: 1))
    let reply = try #require(try client.receive())
    #expect(reply == #"{"error":"io.baton.Registry.GuestEnded","parameters":{"guest":"vm1"}}"#)
  }
}

@Suite("An owner that does not answer its verdict")
struct SilentOwnerTests {
  @Test("is an alarm until it does")
  func alarm() throws {
    let registry = try RunningRegistry(["--release-ms", "100"])
    try registry.waitUntilSettled()
    let client = try RawOperator(registry)
    try client.call(#"{"method":"io.baton.Registry.Watch","more":true}"#)
    #expect(try client.receive()?.contains(#""kind":"snapshot""#) == true)
    let vmm = try ScriptedVMM(registry)
    try vmm.send(ScriptedVMM.hello("vm1"))
    guard case .welcome = try vmm.receive() else { throw TestFailure("no welcome") }
    #expect(try vmm.receive() == .run(epoch: 1))
    try expectEvent("alarmRaised", from: client, with: "kill -CONT \(ThisProcess.pid)")
    try vmm.send(.running(epoch: 1, firstInstruction: MonotonicClock.now()))
    try expectEvent("alarmCleared", from: client)
  }

  /// Reads events until the one that is waited for.
  private func expectEvent(_ kind: String, from client: RawOperator, with text: String = "") throws {
    for _ in 0..<20 {
      let event = try #require(try client.receive(), "no event \(kind) came")
      guard event.contains(#""kind":"\#(kind)""#) else { continue }
      #expect(event.contains(text), "\(event)")
      return
    }
    Issue.record("no event \(kind) came among 20")
  }
}
