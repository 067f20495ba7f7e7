import SEVABI
import SEVModel
import Testing

/// What a move takes along, what it leaves behind, and what follows from that.
@Suite("A move")
struct KernelMoveOutcomeTests {
  static let rows: [KernelCase] = [
    KernelCase("carries the handle and the ASID: the target is the guest") {
      var bench = Bench(.mainline611, asids: 1)
      let source = bench.makeLaunched()
      let target = bench.makePlain()
      #expect(bench.host.freeASIDCount == 0)
      #expect(bench.move(source, to: target) == nil)
      #expect(bench.host.freeASIDCount == 0)
      bench.openFirmwareAtZero()
      let (ending, status) = bench.status(target)
      #expect(ending == .ok)
      #expect(status == GuestStatusParameters(handle: 1, policy: 0, state: GuestState.running.rawValue))
      #expect(bench.start(target) == .refused(.asidOwned))
    },
    KernelCase("leaves the firmware device's number behind: commands look at 0 and are EBADF without it") {
      var bench = Bench(.mainline611)
      let target = bench.makePlain()
      #expect(bench.move(bench.makeLaunched(), to: target) == nil)
      #expect(bench.status(target).ending == .failed(.badDescriptor))
      #expect(bench.debug(.debugDecrypt, target) == .failed(.badDescriptor))
      bench.openFirmwareAtZero()
      #expect(bench.status(target).ending == .ok)
      #expect(bench.debug(.debugDecrypt, target) == .ok)
    },
    KernelCase("leaves the mark behind that a typed VM needs INIT2: it cannot run and cannot be initialised")
    {
      var bench = Bench(.mainline611)
      let creator = bench.caller.addressSpace
      let source = try bench.host.makeMachine(type: 2, creator: creator)
      #expect(bench.issue(rawID: 22, source) == Ending(error: nil, firmware: .neverCalled))
      let target = try bench.host.makeMachine(type: 2, creator: creator)
      let vcpu = bench.makeVCPU(0, on: target)
      #expect(bench.run(vcpu) == .invalidArgument)
      #expect(bench.move(source, to: target) == nil)
      #expect(bench.run(vcpu) == .invalidArgument)
      #expect(bench.issue(rawID: 22, target) == .failed(.invalidArgument))
    },
    KernelCase("between VMs of the default type leaves one that runs") {
      var bench = Bench(.mainline611)
      let target = bench.makePlain()
      let vcpu = bench.makeVCPU(0, on: target)
      #expect(bench.move(bench.makeLaunched(), to: target) == nil)
      #expect(bench.run(vcpu) == nil)
    },
    KernelCase("carries regions and their count: they are unregistered with the source's address and size") {
      var bench = Bench(.mainline611)
      let source = bench.makeLaunched()
      #expect(bench.register(source, size: 0x3000) == nil)
      let target = bench.makePlain()
      #expect(bench.move(source, to: target) == nil)
      bench.caller.lockablePages = 3
      #expect(bench.register(target, address: 0x8000) == .outOfMemory)
      #expect(bench.unregister(target, address: Address.guestMemory, size: 0x1000) == .invalidArgument)
      #expect(bench.unregister(target, size: 0x3000) == nil)
      #expect(bench.register(target, address: 0x8000) == nil)
    },
    KernelCase("leaves the source's destruction without an effect, and the target's with all of it") {
      var bench = Bench(.mainline611)
      let free = bench.host.freeASIDCount
      let source = bench.makeLaunched()
      let target = bench.makePlain()
      #expect(bench.move(source, to: target) == nil)
      bench.host.destroy(source)
      #expect(bench.host.guestCount == 1)
      bench.openFirmwareAtZero()
      #expect(bench.state(of: target) == .running)
      bench.host.destroy(target)
      #expect(bench.host.guestCount == 0)
      #expect(bench.host.freeASIDCount == free)
      #expect(bench.host.machineCount == 0)
    },
    KernelCase("carries SEV-ES registers in the order of creation, whatever the vCPUs' numbers are") {
      var bench = Bench(.mainline611)
      let source = bench.makeGuest(.sevES)
      _ = bench.makeVCPU(7, on: source)
      let old = bench.makeVCPU(3, on: source)
      #expect(bench.start(source, policy: .encryptedState) == .ok)
      #expect(bench.issue(.launchUpdateVMSA, source) == .ok)
      let target = bench.makePlain(vcpus: 2)
      #expect(bench.move(source, to: target) == nil)
      let new = bench.makeVCPU(2, on: target)
      // Two are protected, the third, made later, is not.
      #expect(bench.access(new) == .live)
      #expect(
        kernelError { () throws(KernelError) in try bench.host.checkUse(of: old, caller: bench.caller) }
          == .inputOutput)
    },
    KernelCase("charges the cgroup of who asks, and the source's gets its ASID back") {
      var bench = Bench(.mainline611)
      let (old, new) = (ControlGroupID(rawValue: 1), ControlGroupID(rawValue: 2))
      bench.host.limit(old, encryptedState: false, to: 1)
      bench.host.limit(new, encryptedState: false, to: 1)
      bench.caller.controlGroup = old
      let source = bench.makeLaunched()
      #expect(bench.issue(.initialize, bench.makeMachine()) == .failed(.busy))
      bench.caller.controlGroup = new
      let target = bench.makePlain()
      #expect(bench.move(source, to: target) == nil)
      #expect(bench.issue(.initialize, bench.makeMachine()) == .failed(.busy))
      bench.caller.controlGroup = old
      _ = bench.makeGuest()
      bench.host.destroy(target)
      bench.caller.controlGroup = new
      _ = bench.makeGuest()
    },
    KernelCase("of a guest in the middle of a launch lets the target finish it") {
      var bench = Bench(.mainline611)
      let source = bench.makeStarted(.sev)
      let target = bench.makePlain()
      #expect(bench.move(source, to: target) == nil)
      bench.openFirmwareAtZero()
      #expect(bench.update(target, length: 4096) == .ok)
      #expect(bench.measure(target) == .ok)
      #expect(bench.issue(.launchFinish, target) == .ok)
      #expect(bench.state(of: target) == .running)
    },
    KernelCase("back, from the successor's VM into a fresh one, gives the source its guest again") {
      var bench = Bench(.mainline611)
      let successor = bench.makePlain()
      #expect(bench.move(bench.makeLaunched(), to: successor) == nil)
      let fresh = bench.makePlain()
      #expect(bench.move(successor, to: fresh) == nil)
      bench.openFirmwareAtZero()
      #expect(bench.state(of: fresh) == .running)
    },
  ]

  @Test("has its outcome", arguments: rows)
  func outcome(row: KernelCase) throws {
    try row.run()
  }
}

/// What is left of a VM whose context was moved away.
@Suite("A dead VM")
struct KernelDeadMachineTests {
  private struct Dead {
    var bench = Bench(.mainline611)
    let machine: VirtualMachineID
    let vcpu: VirtualCPUID

    init() {
      machine = bench.makeGuest(.sev)
      vcpu = bench.makeVCPU(0, on: machine)
      precondition(bench.start(machine) == .ok)
      precondition(bench.register(machine) == nil)
      precondition(bench.move(machine, to: bench.makePlain()) == nil)
    }
  }

  static let rows: [KernelCase] = [
    KernelCase("every command: EIO, with nothing read and nothing written back") {
      var dead = Dead()
      let asked = dead.bench.memory.log.count
      for id in 0..<UInt32(110) {
        #expect(dead.bench.issue(rawID: id, dead.machine) == .failed(.inputOutput))
      }
      #expect(dead.bench.memory.log.count == asked)
    },
    KernelCase("REG_REGION and UNREG_REGION: EIO") {
      var dead = Dead()
      #expect(dead.bench.register(dead.machine) == .inputOutput)
      #expect(dead.bench.unregister(dead.machine) == .inputOutput)
    },
    KernelCase("a NULL argument: EIO") {
      var dead = Dead()
      let step = dead.bench.host.memoryEncryptOperation(
        on: dead.machine, argument: 0, caller: dead.bench.caller)
      #expect(dead.bench.host.run(step, in: &dead.bench.memory) == .inputOutput)
    },
    KernelCase("KVM_ENABLE_CAP, also of other capabilities: EIO") {
      var dead = Dead()
      for capability in KernelCapability.allCases {
        #expect(dead.bench.enable(capability.rawValue, 0, on: dead.machine) == .inputOutput)
      }
    },
    KernelCase("KVM_CHECK_EXTENSION on the VM: EIO; on /dev/kvm it answers") {
      let dead = Dead()
      #expect(
        kernelError { () throws(KernelError) in
          _ = try dead.bench.host.checkExtension(206, on: dead.machine, caller: dead.bench.caller)
        } == .inputOutput)
      #expect(dead.bench.host.checkExtension(206) == 1)
    },
    KernelCase("KVM_CREATE_VCPU: EIO") {
      var dead = Dead()
      #expect(
        kernelError { () throws(KernelError) in
          _ = try dead.bench.host.makeVCPU(number: 5, on: dead.machine, caller: dead.bench.caller)
        } == .inputOutput)
    },
    KernelCase("KVM_RUN and every other call on a vCPU: EIO") {
      var dead = Dead()
      #expect(dead.bench.run(dead.vcpu) == .inputOutput)
      for state in VCPUState.allCases {
        #expect(
          kernelError { () throws(KernelError) in
            _ = try dead.bench.host.vcpuState(state, of: dead.vcpu, caller: dead.bench.caller)
          } == .inputOutput)
        let bytes = [UInt8](repeating: 0, count: state.byteCount)
        #expect(
          kernelError { () throws(KernelError) in
            try dead.bench.host.setVCPUState(state, of: dead.vcpu, to: bytes, caller: dead.bench.caller)
          } == .inputOutput)
      }
    },
    KernelCase("as the source of a move: EINVAL; as its target: EIO") {
      var dead = Dead()
      #expect(dead.bench.move(dead.machine, to: dead.bench.makePlain()) == .invalidArgument)
      #expect(dead.bench.move(dead.bench.makeStarted(.sev), to: dead.machine) == .inputOutput)
    },
    KernelCase("as the source of a mirror: EINVAL") {
      var dead = Dead()
      #expect(dead.bench.mirror(dead.machine, as: dead.bench.makePlain()) == .invalidArgument)
    },
    KernelCase("closing it: nothing happens to the guest") {
      var dead = Dead()
      dead.bench.host.close(dead.machine)
      dead.bench.host.close(dead.vcpu)
      #expect(dead.bench.host.guestCount == 1)
      #expect(dead.bench.host.machineCount == 1)
    },
  ]

  @Test("answers", arguments: rows)
  func answers(row: KernelCase) throws {
    try row.run()
  }
}
