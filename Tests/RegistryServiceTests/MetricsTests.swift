import BatonCore
import BatonWire
import LinuxOS
import RegistryInterface
import Testing

@testable import RegistryService

@Suite("Metrics")
struct MetricsTests {
  private func handoff(
    _ outcome: Outcome, blackout: UInt64? = nil, refusal: BatonWire.Refusal? = nil
  ) -> Handoff {
    var handoff = Handoff(
      number: 1, guest: "vm1", way: .none, epochBefore: 1, source: VMMProcess(processId: 1, userId: 1),
      startedRealtimeMicroseconds: 1)
    handoff.outcome = outcome
    handoff.blackoutMicroseconds = blackout
    handoff.refusal = refusal.map { .init(name: $0.name, sentence: $0.sentence, by: .registry) }
    return handoff
  }

  @Test("count handoffs by outcome and reason")
  func attempts() {
    var metrics = RegistryMetrics()
    for _ in 0..<3 { metrics.record(handoff(.committed, blackout: 300)) }
    metrics.record(handoff(.aborted, refusal: .peerDied))
    metrics.record(handoff(.aborted, refusal: .deadlinePassed))
    metrics.record(handoff(.aborted, refusal: .peerDied))
    metrics.record(handoff(.ended))
    #expect(
      metrics.attemptViews == [
        AttemptCount(outcome: .committed, count: 3),
        AttemptCount(outcome: .aborted, refusal: "deadlinePassed", count: 1),
        AttemptCount(outcome: .aborted, refusal: "peerDied", count: 2),
        AttemptCount(outcome: .ended, count: 1),
      ])
    #expect(metrics.counters.handoffsEnded == 1)
  }

  @Test("put each value into the buckets that are large enough, and what is too large into none")
  func buckets() throws {
    var metrics = RegistryMetrics()
    for blackout: UInt64 in [0, 50, 51, 60_000_000, 60_000_001] {
      metrics.record(handoff(.committed, blackout: blackout))
    }
    metrics.record(handoff(.takenBack, blackout: 1))
    let histogram = try #require(metrics.views.first { $0.name == "blackout" })
    let buckets = try #require(histogram.buckets)
    #expect(buckets.map(\.upToMicroseconds) == RegistryMetrics.bounds)
    #expect(buckets[0].count == 2 && buckets[1].count == 3)
    #expect(buckets.last?.count == 4)
    #expect(histogram.count == 5, "only committed handoffs have a place")
    #expect(histogram.sumMicroseconds == 120_000_102)
    #expect(zip(buckets, buckets.dropFirst()).allSatisfy { $0.count <= $1.count })
  }

  @Test("have bounds that grow")
  func bounds() {
    #expect(zip(RegistryMetrics.bounds, RegistryMetrics.bounds.dropFirst()).allSatisfy { $0 < $1 })
  }

  @Test("tell operators what there is, what there was, and which program says so")
  func reply() throws {
    let registry = try RunningRegistry()
    let first = try ScriptedVMM(registry)
    try first.own("vm1")
    let second = try ScriptedVMM(registry)
    try second.own("vm2")
    try second.send(.ended(epoch: 1))
    #expect(try second.receive() == .release(.guestEnded))
    let client = try RawOperator(registry)
    try client.call(#"{"method":"io.baton.Registry.Metrics"}"#)
    let reply = try #require(try client.receive())
    for part in [
      #""running":1"#, #""ended":1"#, #""waiting":0"#, #""guestsRegistered":2"#, #""guestsEnded":1"#,
      #""vmmConnectionsTotal":"#, #""operatorConnectionsTotal":"#, #""operatorWatches":0"#,
      #""slotsBarred":0"#, #""startedRealtimeMicroseconds":"#, #""journalCapacityBytes":262144"#,
      #""version":"\#(ProgramVersion.text)""#,
    ] {
      #expect(reply.contains(part), "\(part) is not in \(reply)")
    }
    #expect(!reply.contains("storeCapacity"), "there is no descriptor store without a service manager")
  }

  @Test("are not the only place that tells how a guest ended")
  func ended() throws {
    let registry = try RunningRegistry()
    let vmm = try ScriptedVMM(registry)
    try vmm.own("vm1")
    try vmm.send(.ended(epoch: 1))
    #expect(try vmm.receive() == .release(.guestEnded))
    let client = try RawOperator(registry)
    try client.call(#"{"method":"io.baton.Registry.List"}"#)
    let reply = try #require(try client.receive())
    #expect(reply.contains(#""endSentence":"its VMM, process \#(ThisProcess.pid)"#), "\(reply)")
    #expect(reply.contains(#"ended it""#), "\(reply)")
    #expect(reply.contains(#""endedRealtimeMicroseconds":"#))
  }
}

@Suite("An idle registry")
struct IdleTests {
  /// How often a process went to sleep.
  private func sleeps(of pid: Int32) throws -> UInt64 {
    let file = try Files.open("/proc/\(pid)/status", .readOnly)
    let text = String(decoding: try file.read(maximum: 16_384), as: UTF8.self)
    let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("voluntary_ctxt_switches:") })
    return try #require(UInt64(line.split(whereSeparator: { " \t".contains($0) }).last ?? ""))
  }

  private func pause(nanoseconds: UInt64) throws {
    var nobody = [Poller.Interest(-1)]
    _ = try Poller.wait(&nobody, timeoutNanoseconds: nanoseconds)
  }

  @Test("is not woken by anything, guests and operators connected")
  func noWakeUps() throws {
    let registry = try RunningRegistry(["--hello-ms", "50"])
    let vmm = try ScriptedVMM(registry)
    try vmm.own("vm1", manifest: TestRAM().manifest)
    let client = try RawOperator(registry)
    try client.call(#"{"method":"io.baton.Registry.Watch","more":true}"#)
    #expect(try client.receive()?.contains(#""kind":"snapshot""#) == true)
    // What was begun comes to its end: deadlines of connections, the last notes.
    try registry.waitUntilSettled()
    try pause(nanoseconds: 1_000_000_000)
    let before = try sleeps(of: registry.processId)
    try pause(nanoseconds: 3_000_000_000)
    // Once may be the kernel's doing, such as memory that it wanted back.
    #expect(try sleeps(of: registry.processId) <= before + 1)
    withExtendedLifetime((vmm, client)) {}
  }
}
