import SEVABI
import SEVModel
import Testing

extension Bench {
  mutating func writeGHCB(_ value: UInt64, on vcpu: VirtualCPUID) -> UInt64? {
    try? host.writeCommunicationMSR(value, on: vcpu, caller: caller)
  }

  mutating func request(_ request: ModelHost.BlockRequest, on vcpu: VirtualCPUID) -> UInt64? {
    try? host.request(request, on: vcpu, caller: caller)
  }

  mutating func startVCPU(_ vcpu: VirtualCPUID) -> ModelHost.StartOutcome? {
    try? host.start(vcpu, caller: caller)
  }
}

/// What KVM remembers of a SEV-ES guest's vCPUs, and what of it a local move carries.
@Suite("The state of SEV-ES vCPUs")
struct KernelEncryptedStateTests {
  private static let block: UInt64 = 0x7000

  /// A launched guest with one vCPU, and a VM that can take it over by a move.
  private struct Pair {
    var bench: Bench
    let source: VirtualMachineID
    let vcpu: VirtualCPUID
    let target: VirtualMachineID
    let successor: VirtualCPUID

    init(_ profile: KernelProfile = .mainline611, byToken: Bool = false) {
      var bench = Bench(profile)
      source = bench.makeGuest(.sevES)
      vcpu = bench.makeVCPU(0, on: source)
      #expect(bench.start(source, policy: .encryptedState) == .ok)
      #expect(bench.issue(.launchUpdateVMSA, source) == .ok)
      target = byToken ? bench.makeGuest(.sevES) : bench.makePlain()
      successor = bench.makeVCPU(0, on: target)
      self.bench = bench
    }

    mutating func handOver(byToken: Bool = false) {
      if byToken {
        let token = bench.send(source).token
        #expect(bench.receive(target, token).error == nil)
      } else {
        #expect(bench.move(source, to: target) == nil)
      }
    }
  }

  static let rows: [KernelCase] = [
    KernelCase("the first start uses the VMM's state, later ones end the hold that the guest is in") {
      var pair = Pair()
      #expect(pair.bench.startVCPU(pair.vcpu) == .initialState)
      #expect(pair.bench.startVCPU(pair.vcpu) == .ignored)
      #expect(pair.bench.writeGHCB(6, on: pair.vcpu) == 6)
      #expect(pair.bench.startVCPU(pair.vcpu) == .returnsFromMSR)
      #expect(pair.bench.writeGHCB(block, on: pair.vcpu) == block)
      #expect(pair.bench.request(.resetHold, on: pair.vcpu) == 0)
      #expect(pair.bench.startVCPU(pair.vcpu) == .returnsFromExit)
    },
    KernelCase("first start and reset hold move, by both ways") {
      for byToken in [false, true] {
        var pair = Pair(.rfc, byToken: byToken)
        #expect(pair.bench.startVCPU(pair.vcpu) == .initialState)
        #expect(pair.bench.writeGHCB(6, on: pair.vcpu) == 6)
        pair.handOver(byToken: byToken)
        #expect(pair.bench.startVCPU(pair.successor) == .returnsFromMSR)
      }
    },
    KernelCase("the communication block moves, and the source forgets it") {
      var pair = Pair(.rfc, byToken: true)
      #expect(pair.bench.writeGHCB(block, on: pair.vcpu) == block)
      pair.handOver(byToken: true)
      let (old, new) = (
        try pair.bench.host.communicationBlock(of: pair.vcpu, caller: pair.bench.caller),
        try pair.bench.host.communicationBlock(of: pair.successor, caller: pair.bench.caller)
      )
      #expect(old == nil)
      #expect(new == block)
    },
    KernelCase("the jump table is left behind by a move") {
      var pair = Pair()
      #expect(pair.bench.writeGHCB(block, on: pair.vcpu) == block)
      #expect(pair.bench.request(.setJumpTable(0x9000), on: pair.vcpu) == 0)
      #expect(pair.bench.request(.jumpTable, on: pair.vcpu) == 0x9000)
      pair.handOver()
      #expect(pair.bench.request(.jumpTable, on: pair.successor) == 0)
    },
    KernelCase("the jump table is carried by a token") {
      var pair = Pair(.rfc, byToken: true)
      #expect(pair.bench.writeGHCB(block, on: pair.vcpu) == block)
      #expect(pair.bench.request(.setJumpTable(0x9000), on: pair.vcpu) == 0)
      pair.handOver(byToken: true)
      #expect(pair.bench.request(.jumpTable, on: pair.successor) == 0x9000)
    },
    KernelCase("the version of the protocol is 1 by ES_INIT, 2 by INIT2, and 0 after a move") {
      var pair = Pair()
      let answer: UInt64 = 1 << 32 | 51 << 24 | 1
      #expect(pair.bench.writeGHCB(2, on: pair.vcpu) == 1 << 48 | answer)
      pair.handOver()
      #expect(pair.bench.writeGHCB(2, on: pair.successor) == answer)
      var bench = Bench(.mainline611)
      let typed = try bench.host.makeMachine(type: 3, creator: bench.caller.addressSpace)
      #expect(bench.issue(rawID: 22, typed).error == nil)
      let vcpu = bench.makeVCPU(0, on: typed)
      #expect(bench.writeGHCB(2, on: vcpu) == 2 << 48 | answer)
    },
    KernelCase("a guest without SEV-ES has none of it: EINVAL; a dead one neither: EIO") {
      var bench = Bench(.mainline611)
      let vcpu = bench.makeVCPU(0, on: bench.makeGuest(.sev))
      #expect(
        kernelError { () throws(KernelError) in
          _ = try bench.host.writeCommunicationMSR(2, on: vcpu, caller: bench.caller)
        } == .invalidArgument)
      var pair = Pair()
      pair.handOver()
      #expect(
        kernelError { () throws(KernelError) in
          _ = try pair.bench.host.start(pair.vcpu, caller: pair.bench.caller)
        } == .inputOutput)
    },
    KernelCase("a request through a block that the guest did not name: EINVAL") {
      var pair = Pair()
      #expect(pair.bench.request(.jumpTable, on: pair.vcpu) == nil)
      #expect(pair.bench.writeGHCB(0x123, on: pair.vcpu) == nil)
    },
  ]

  @Test("row", arguments: rows)
  func row(_ row: KernelCase) throws {
    try row.run()
  }
}
