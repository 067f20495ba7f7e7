import RegistryInterface
import Synchronization
import Testing

@testable import RemoteService

extension SidecarTests {
  @Suite("settles")
  struct QuestionTests {
    private let id = "00112233445566778899aabbccddeeff"
    private var hex: String { id + id }

    private func receipt() throws -> ReceiptText { try #require(ReceiptText(hex: hex)) }

    @Test("at the target: the source's receipt goes to the own registry, and nobody sees it")
    func settleAtTarget() throws {
      let sourceRegistry = ScriptedRegistry(departure: .departed(try receipt()))
      let targetRegistry = ScriptedRegistry()
      let source = try RunningSidecar(.south, registry: sourceRegistry)
      let target = try RunningSidecar(.south, registry: targetRegistry)
      sourceRegistry.target.withLock { $0 = HostAddress(host: "localhost", port: target.port) }
      let operatorLine = try target.client("departure localhost:\(source.port) vm1 \(id)").line()
      #expect(operatorLine == "ok departed running")
      // The source has asked the target itself before it believed that.
      #expect(
        sourceRegistry.calls == [.departure(id), .departure(id), .confirm(guest: "vm1", migration: id)])
      let settled = ScriptedRegistry.Call.settle(guest: "vm1", migration: id, receipt: hex)
      #expect(targetRegistry.calls == [settled, settled])
      for event in source.told + target.told { #expect(!"\(event)".contains(hex)) }
    }

    @Test("at the target: nobody is told that the guest runs while its VMM has not said so")
    func arrivedOnly() throws {
      let sourceRegistry = ScriptedRegistry(departure: .departed(try receipt()))
      let targetRegistry = ScriptedRegistry(settled: .arrived)
      let source = try RunningSidecar(.south, registry: sourceRegistry)
      let target = try RunningSidecar(.north, registry: targetRegistry)
      #expect(
        try target.client("departure localhost:\(source.port) vm1 \(id)").line() == "ok departed arrived")
      #expect(sourceRegistry.calls == [.departure(id)])
    }

    @Test("at the target, and says so when the source could not be told")
    func unconfirmed() throws {
      let sourceRegistry = ScriptedRegistry(
        departure: .departed(try receipt()),
        refusingToConfirm: .registryRefused(refusal: "settling", sentence: "it was asked too early"))
      let source = try RunningSidecar(.south, registry: sourceRegistry)
      let target = try RunningSidecar(.south, registry: ScriptedRegistry())
      sourceRegistry.target.withLock { $0 = HostAddress(host: "localhost", port: target.port) }
      #expect(
        try target.client("departure localhost:\(source.port) vm1 \(id)").line()
          == "ok departed running unconfirmed")
      #expect(try target.fault().refusal == "settling")
    }

    @Test(
      "nothing at the source for a host that says the guest runs, when it is not with the host that it went to"
    )
    func liar() throws {
      let sourceRegistry = ScriptedRegistry(departure: .departed(try receipt()))
      let source = try RunningSidecar(.south, registry: sourceRegistry)
      let truth = try RunningSidecar(.south, registry: ScriptedRegistry(settled: .arrived))
      sourceRegistry.target.withLock { $0 = HostAddress(host: "localhost", port: truth.port) }
      let liar = try RawPeer(port: source.port, sending: "confirm vm1 \(id)\n")
      #expect(liar.answer() == "ok departed arrived\n")
      #expect(sourceRegistry.calls == [.departure(id)])
      sourceRegistry.target.withLock { $0 = nil }
      let again = try RawPeer(port: source.port, sending: "confirm vm1 \(id)\n")
      #expect(again.answer() == "ok departed unknown\n")
      #expect(sourceRegistry.calls == [.departure(id), .departure(id)])
    }

    @Test(
      "at the target: nothing, when the source kept the guest or has not decided",
      arguments: [DepartureAnswer.stays, .undecided, .unknown, .departed(nil)])
    func noReceipt(_ answer: DepartureAnswer) throws {
      let targetRegistry = ScriptedRegistry()
      let source = try RunningSidecar(.south, registry: ScriptedRegistry(departure: answer))
      let target = try RunningSidecar(.north, registry: targetRegistry)
      #expect(
        try target.client("departure localhost:\(source.port) vm1 \(id)").line()
          == "ok \(answer.word) unknown")
      #expect(targetRegistry.calls == [.arrival(id)])
    }

    @Test("at the source: the receipt goes to the target's registry, which is confirmed when it runs")
    func settleAtSource() throws {
      let sourceRegistry = ScriptedRegistry(departure: .departed(try receipt()))
      let targetRegistry = ScriptedRegistry()
      let source = try RunningSidecar(.north, registry: sourceRegistry)
      let target = try RunningSidecar(.south, registry: targetRegistry)
      #expect(
        try source.client("settle localhost:\(target.port) vm1 \(id)").line() == "ok departed running")
      #expect(targetRegistry.calls == [.settle(guest: "vm1", migration: id, receipt: hex)])
      #expect(sourceRegistry.calls == [.departure(id), .confirm(guest: "vm1", migration: id)])
    }

    @Test("at the source: asks only how far the target is, without a receipt")
    func askAtSource() throws {
      let targetRegistry = ScriptedRegistry(arrival: .arrived)
      let source = try RunningSidecar(.north, registry: ScriptedRegistry(departure: .undecided))
      let target = try RunningSidecar(.south, registry: targetRegistry)
      #expect(
        try source.client("settle localhost:\(target.port) vm1 \(id)").line() == "ok undecided arrived")
      #expect(targetRegistry.calls == [.arrival(id)])
    }

    @Test("not without the registry, and passes its refusal on")
    func refusals() throws {
      let refusing = ScriptedRegistry(
        departure: .departed(try receipt()),
        refusing: .registryRefused(refusal: "receiptWrong", sentence: "that is not its receipt"))
      let source = try RunningSidecar(.north, registry: ScriptedRegistry(departure: .departed(try receipt())))
      let target = try RunningSidecar(.south, registry: refusing)
      let line = try source.client("settle localhost:\(target.port) vm1 \(id)").line()
      #expect(line.hasPrefix("error receiptWrong localhost refused: the registry of this host refused"))
      let without = try RunningSidecar(.north, registry: RegistryClient(path: "/nowhere", limit: 1000))
      #expect(
        try without.client("settle localhost:\(target.port) vm1 \(id)").line()
          .hasPrefix("error settling the registry of this host did not answer"))
    }
  }
}
