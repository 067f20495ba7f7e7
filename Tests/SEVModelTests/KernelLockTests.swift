import SEVABI
import SEVModel
import Testing

/// The selftest's locking case inside the model: three callers move three guests in a ring, a step of one at a time
/// in any order, as a server that waits for callers interleaves them.
@Suite("Moves of many callers at once")
struct KernelLockTests {
  /// One caller's request, stopped at a question.
  private struct Mover {
    var step: Step?
    var rounds = 0
    var errors: [KernelError?] = []
  }

  /// A seeded choice.
  private struct Dice {
    var seed: UInt64

    mutating func roll(_ sides: Int) -> Int {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((seed >> 33) % UInt64(sides))
    }
  }

  @Test("end after 10,000 rounds of three callers in a ring, whatever their order", arguments: 1...4)
  func ring(seed: Int) {
    let rounds = 10_000
    var bench = Bench(.mainline611)
    let machines = (0..<3).map { _ in bench.makeStarted(.sev, vcpus: 1) }
    var dice = Dice(seed: UInt64(seed))
    var movers = [Mover](repeating: Mover(), count: 3)
    var turns = 0
    while movers.contains(where: { $0.rounds < rounds }) {
      turns += 1
      guard turns < 20 * rounds else {
        Issue.record("callers wait for each other forever")
        return
      }
      let index = dice.roll(3)
      guard movers[index].rounds < rounds else { continue }
      guard let step = movers[index].step else {
        movers[index].step = bench.host.enableCapability(
          on: machines[index], argument: Address.block, caller: bench.caller)
        continue
      }
      movers[index].step = advance(step, source: machines[(index + 1) % 3], &bench)
      if case .finished(let outcome, undo: _) = movers[index].step {
        movers[index].errors.append(outcome)
        movers[index].step = nil
        movers[index].rounds += 1
      }
    }
    // All three are guests, so that no move can have done anything.
    for mover in movers { #expect(mover.errors.allSatisfy { $0 == .invalidArgument || $0 == .busy }) }
    #expect(movers.flatMap(\.errors).contains(.busy))
    #expect(bench.host.guestCount == 3)
    bench.openFirmwareAtZero()
    for machine in machines { #expect(bench.state(of: machine) == .launching) }
  }

  private func advance(_ step: Step, source: VirtualMachineID, _ bench: inout Bench) -> Step {
    switch step {
    case .finished: return step
    case .read(_, _, let then):
      let request = EnableCapability(
        capability: KernelCapability.moveEncryptionContext.rawValue, argument: UInt64(Address.source))
      return then(&bench.host, request.bytes)
    case .findMachine(_, let then): return then(&bench.host, source)
    case .lock(_, let then), .resume(let then): return then(&bench.host)
    case .write, .pin, .findFirmware, .identifyPages:
      Issue.record("a move asks for nothing of the kind")
      return .finished(nil)
    }
  }

  @Test("hand one guest round between three VMs: exactly one has it after every move", arguments: 1...4)
  func handRound(seed: Int) {
    var bench = Bench(.mainline611)
    var dice = Dice(seed: UInt64(seed))
    var owner = bench.makeLaunched()
    bench.openFirmwareAtZero()
    for _ in 0..<300 {
      var movers: [(target: VirtualMachineID, step: Step)] = (0..<3).map { _ in
        let target = bench.makePlain()
        return (
          target, bench.host.enableCapability(on: target, argument: Address.block, caller: bench.caller)
        )
      }
      var winners: [VirtualMachineID] = []
      let targets = movers.map(\.target)
      while !movers.isEmpty {
        let index = dice.roll(movers.count)
        movers[index].step = advance(movers[index].step, source: owner, &bench)
        if case .finished(let outcome, undo: _) = movers[index].step {
          if outcome == nil { winners.append(movers[index].target) }
          movers.remove(at: index)
        }
      }
      #expect(winners.count == 1)
      guard let winner = winners.first else { return }
      #expect(bench.state(of: winner) == .running)
      #expect(bench.host.isDead(owner))
      for machine in targets + [owner] where machine != winner { bench.host.destroy(machine) }
      owner = winner
    }
    #expect(bench.host.guestCount == 1)
    #expect(bench.host.machineCount == 1)
  }
}

/// How long a VM lives that has descriptors of its own and of its vCPUs.
@Suite("The last close of a VM")
struct KernelCloseTests {
  @Test("is that of its own descriptor and those of all its vCPUs, in any order", arguments: 0..<3)
  func lastClose(first: Int) {
    var bench = Bench(.mainline611)
    let machine = bench.makeLaunched()
    let vcpus = bench.makeVCPUs(2, on: machine)
    var closes: [(inout ModelHost) -> Void] = [
      { $0.close(machine) }, { $0.close(vcpus[0]) }, { $0.close(vcpus[1]) },
    ]
    closes.swapAt(0, first)
    for close in closes {
      #expect(bench.host.guestCount == 1)
      close(&bench.host)
    }
    #expect(bench.host.guestCount == 0)
    #expect(bench.host.machineCount == 0)
  }

  @Test("refuses a number that another vCPU has, and too high ones")
  func numbers() {
    var bench = Bench(.mainline611)
    let machine = bench.makePlain(vcpus: 1)
    func make(_ number: UInt32) -> KernelError? {
      kernelError { () throws(KernelError) in
        _ = try bench.host.makeVCPU(number: number, on: machine, caller: bench.caller)
      }
    }
    #expect(make(0) == .alreadyExists)
    #expect(make(4096) == .invalidArgument)
    #expect(make(4095) == nil)
    // The refused one left no creation in flight.
    let source = bench.makeStarted(.sev)
    #expect(bench.move(source, to: machine) == nil)
  }

  @Test("of a vCPU that never came online does not count")
  func abandoned() throws {
    var bench = Bench(.mainline611)
    let machine = bench.makeMachine()
    let vcpu = try bench.host.beginVCPU(number: 1, on: machine, caller: bench.caller)
    bench.host.abandonVCPU(vcpu)
    bench.host.close(machine)
    #expect(bench.host.machineCount == 0)
  }
}

/// SEND_UPDATE_VMSA and RECEIVE_UPDATE_VMSA, the extension.
@Suite("Sending the registers of SEV-ES guests")
struct KernelRegisterTransportTests {
  private static func registers(_ number: UInt64) -> Buffer { Buffer(address: number, count: 4096) }

  @Test("is EINVAL in every kernel without the extension", arguments: KernelProfile.allCases)
  func withoutExtension(profile: KernelProfile) {
    var bench = Bench(profile)
    let machine = bench.makeLaunched(.sevES)
    #expect(bench.packet(.sendUpdateVMSA, machine, guest: Self.registers(0)) == .failed(.invalidArgument))
    #expect(bench.packet(.receiveUpdateVMSA, machine, guest: Self.registers(0)) == .failed(.invalidArgument))
  }

  @Test("gives every vCPU of the target its registers, and the target runs")
  func transfers() {
    var bench = Bench(.mainline611, firmwareVMSA: true)
    let (source, target) = bench.makeTransfer(.sevES, vcpus: 2)
    for number in [UInt64(0), 1] {
      #expect(bench.packet(.sendUpdateVMSA, source, guest: Self.registers(number)) == .ok)
      #expect(bench.packet(.receiveUpdateVMSA, target, guest: Self.registers(number)) == .ok)
    }
    #expect(bench.issue(.receiveFinish, target) == .ok)
    // Its registers are encrypted, so that it can be moved on.
    #expect(bench.move(target, to: bench.makePlain(vcpus: 2)) == nil)
  }

  @Test("refuses a number that no vCPU has, another length, and a guest without SEV-ES")
  func refusals() {
    var bench = Bench(.mainline611, firmwareVMSA: true)
    let (source, target) = bench.makeTransfer(.sevES, vcpus: 1)
    for id in [SEVCommandID.sendUpdateVMSA, .receiveUpdateVMSA] {
      let machine = id == .sendUpdateVMSA ? source : target
      #expect(bench.packet(id, machine, guest: Self.registers(7)) == .failed(.invalidArgument))
      #expect(bench.packet(id, machine, guest: Buffer(address: 0, count: 16)) == .failed(.invalidArgument))
      #expect(bench.packet(id, bench.makeGuest(.sev)) == .failed(.notSupported))
    }
  }

  @Test("answers a query for the lengths")
  func query() {
    var bench = Bench(.mainline611, firmwareVMSA: true)
    let (source, _) = bench.makeTransfer(.sevES, vcpus: 1)
    #expect(
      bench.packet(.sendUpdateVMSA, source, header: Buffer(address: 0, count: 0)) == .refused(.invalidLength))
    #expect(bench.parameters(as: PacketParameters.self).headerByteCount == 52)
  }
}
