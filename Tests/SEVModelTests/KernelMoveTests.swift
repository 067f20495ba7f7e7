import SEVABI
import SEVModel
import Testing

/// The kernel's own test of moves (`sev_migrate_tests`), row by row, with every kernel that has moves.
@Suite("Moving a context between VMs, as the kernel's selftest does")
struct KernelMoveTests {
  static let kernels: [KernelProfile] = [.rfc, .mainline516, .mainline611]

  @Test(
    "a chain of three moves succeeds, and the dead first source takes nothing back: EIO",
    arguments: kernels, GuestKind.allCases)
  func chain(kernel: KernelProfile, kind: GuestKind) {
    var bench = Bench(kernel)
    let source = bench.makeStarted(kind)
    let targets = (0..<3).map { _ in bench.makePlain(vcpus: 4) }
    #expect(bench.move(source, to: targets[0]) == nil)
    #expect(bench.move(targets[0], to: targets[1]) == nil)
    #expect(bench.move(targets[1], to: targets[2]) == nil)
    #expect(bench.move(targets[2], to: source) == .inputOutput)
    bench.openFirmwareAtZero()
    #expect(bench.state(of: targets[2]) == .launching)
  }

  static let parameters: [KernelCase] = [
    KernelCase("plain VM without vCPUs from a plain VM that is no guest: EINVAL") {
      var bench = Bench(.mainline611)
      #expect(bench.move(bench.makePlain(), to: bench.makePlain()) == .invalidArgument)
    },
    KernelCase("SEV VM from SEV-ES VM: EINVAL") {
      var bench = Bench(.mainline611)
      let (source, target) = (bench.makeStarted(.sevES), bench.makeStarted(.sev))
      #expect(bench.move(source, to: target) == .invalidArgument)
    },
    KernelCase("SEV-ES VM from SEV VM: EINVAL") {
      var bench = Bench(.mainline611)
      let (source, target) = (bench.makeStarted(.sev), bench.makeStarted(.sevES))
      #expect(bench.move(source, to: target) == .invalidArgument)
    },
    KernelCase("plain VM without vCPUs from SEV-ES VM with vCPUs: EINVAL") {
      var bench = Bench(.mainline611)
      #expect(bench.move(bench.makeStarted(.sevES), to: bench.makePlain()) == .invalidArgument)
    },
    KernelCase("plain VM without vCPUs from SEV-ES VM with one vCPU and no LAUNCH_UPDATE_VMSA: EINVAL") {
      var bench = Bench(.mainline611)
      let source = bench.makeGuest(.sevES, vcpus: 1)
      #expect(bench.start(source, policy: .encryptedState) == .ok)
      #expect(bench.move(source, to: bench.makePlain()) == .invalidArgument)
    },
  ]

  @Test("wrong parameters", arguments: parameters)
  func wrongParameters(row: KernelCase) throws {
    try row.run()
  }
}

/// The order of checks of KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM. Each row fails its own check and, where that can be,
/// all those behind it.
@Suite("A move checks")
struct KernelMoveOrderTests {
  private static let move = KernelCapability.moveEncryptionContext.rawValue

  static let rows: [KernelCase] = [
    KernelCase("1: target of another address space, before anything is read: EIO") {
      var bench = Bench(.mainline611)
      let target = bench.makePlain()
      bench.caller.addressSpace = AddressSpaceID(rawValue: 2)
      let asked = bench.memory.log.count
      #expect(bench.enable(move, 99, on: target, flags: 1) == .inputOutput)
      #expect(bench.memory.log.count == asked)
    },
    KernelCase("1: dead target: EIO") {
      var bench = Bench(.mainline611)
      let source = bench.makeStarted(.sev)
      #expect(bench.move(source, to: bench.makePlain()) == nil)
      #expect(bench.enable(move, 99, on: source, flags: 1) == .inputOutput)
    },
    KernelCase("2: argument that cannot be read: EFAULT") {
      var bench = Bench(.mainline611)
      bench.memory.faults = [Address.block]
      #expect(bench.enable(move, 99, on: bench.makePlain(), flags: 1) == .badAddress)
    },
    KernelCase("3: flags: EINVAL, before the descriptor") {
      var bench = Bench(.mainline611)
      #expect(bench.enable(move, 99, on: bench.makePlain(), flags: 1) == .invalidArgument)
    },
    KernelCase("4: a processor without SEV: EINVAL, before the descriptor") {
      var bench = Bench(ModelConfiguration(isEnabled: false, profile: .mainline611))
      #expect(bench.enable(move, 99, on: bench.makePlain()) == .invalidArgument)
    },
    KernelCase("5: a number that is no open VM: EBADF") {
      var bench = Bench(.mainline611)
      #expect(bench.enable(move, 99, on: bench.makePlain()) == .badDescriptor)
    },
    KernelCase("6: source and target the same: EINVAL") {
      var bench = Bench(.mainline611)
      let machine = bench.makeStarted(.sev)
      #expect(bench.move(machine, to: machine) == .invalidArgument)
    },
    KernelCase("9: machine types differ: EINVAL") {
      var bench = Bench(.mainline611)
      let target = try bench.host.makeMachine(type: 2, creator: bench.caller.addressSpace)
      #expect(bench.move(bench.makeStarted(.sev), to: target) == .invalidArgument)
    },
    KernelCase("9: target is a guest already: EINVAL") {
      var bench = Bench(.mainline611)
      let source = bench.makeStarted(.sev)
      #expect(bench.move(source, to: bench.makeGuest()) == .invalidArgument)
      #expect(bench.move(source, to: bench.makePlain()) == nil)
    },
    KernelCase("9: source was moved away: EINVAL") {
      var bench = Bench(.mainline611)
      let source = bench.makeStarted(.sev)
      #expect(bench.move(source, to: bench.makePlain()) == nil)
      #expect(bench.move(source, to: bench.makePlain()) == .invalidArgument)
    },
    KernelCase("10: the caller's cgroup has no ASID left: EBUSY, before the vCPUs") {
      var bench = Bench(.mainline611)
      let source = bench.makeStarted(.sevES)
      let poor = ControlGroupID(rawValue: 7)
      bench.host.limit(poor, encryptedState: true, to: 0)
      bench.caller.controlGroup = poor
      let target = bench.makePlain()
      #expect(bench.move(source, to: target) == .busy)
      bench.host.limit(poor, encryptedState: true, to: 1)
      #expect(bench.move(source, to: target) == .invalidArgument)
      // The failed one left no charge behind.
      #expect(bench.move(source, to: bench.makePlain(vcpus: 4)) == nil)
    },
    KernelCase("12: a vCPU of the target is being created: EBUSY, before the counts") {
      var bench = Bench(.mainline611)
      let (source, target) = (bench.makeStarted(.sevES), bench.makePlain())
      let vcpu = try bench.host.beginVCPU(number: 0, on: target, caller: bench.caller)
      #expect(bench.move(source, to: target) == .busy)
      bench.host.abandonVCPU(vcpu)
      #expect(bench.move(source, to: target) == .invalidArgument)
    },
    KernelCase("12: a vCPU of the source is being created, also without SEV-ES: EBUSY") {
      var bench = Bench(.mainline611)
      let (source, target) = (bench.makeStarted(.sev), bench.makePlain())
      let vcpu = try bench.host.beginVCPU(number: 9, on: source, caller: bench.caller)
      #expect(bench.move(source, to: target) == .busy)
      try bench.host.completeVCPU(vcpu)
      #expect(bench.move(source, to: target) == nil)
    },
    KernelCase("13: SEV-ES with another number of vCPUs: EINVAL") {
      var bench = Bench(.mainline611)
      let source = bench.makeStarted(.sevES, vcpus: 2)
      #expect(bench.move(source, to: bench.makePlain(vcpus: 1)) == .invalidArgument)
      #expect(bench.move(source, to: bench.makePlain(vcpus: 3)) == .invalidArgument)
      #expect(bench.move(source, to: bench.makePlain(vcpus: 2)) == nil)
    },
    KernelCase("14: SEV-ES with a vCPU without encrypted registers: EINVAL") {
      var bench = Bench(.mainline611)
      let source = bench.makeStarted(.sevES, vcpus: 1)
      _ = bench.makeVCPU(1, on: source)
      #expect(bench.move(source, to: bench.makePlain(vcpus: 2)) == .invalidArgument)
      #expect(bench.issue(.launchUpdateVMSA, source) == .ok)
      #expect(bench.move(source, to: bench.makePlain(vcpus: 2)) == nil)
    },
    KernelCase("nothing else: not the launch, not regions, and not the vCPUs of a guest without SEV-ES") {
      var bench = Bench(.mainline611)
      let source = bench.makeGuest(.sev, vcpus: 3)
      #expect(bench.move(source, to: bench.makePlain(vcpus: 1)) == nil)
    },
    KernelCase("a source of another process, got over a socket: 0") {
      var bench = Bench(.mainline611)
      let source = bench.makeStarted(.sev)
      bench.caller.addressSpace = AddressSpaceID(rawValue: 2)
      let target = bench.makePlain()
      #expect(bench.move(source, to: target) == nil)
      bench.openFirmwareAtZero()
      #expect(bench.state(of: target) == .launching)
    },
    KernelCase("a kernel of June 2021 without moves: EINVAL, and the capability is 0") {
      var bench = Bench(.rfc, offersMove: false)
      #expect(bench.host.checkExtension(206) == 0)
      #expect(bench.move(bench.makeStarted(.sev), to: bench.makePlain()) == .invalidArgument)
    },
    KernelCase("a source with a token out: EPERM, the gate of the patches") {
      var bench = Bench(.rfc)
      let source = bench.makeStarted(.sev)
      #expect(bench.send(source).ending.error == nil)
      #expect(bench.move(source, to: bench.makePlain()) == .notPermitted)
      #expect(bench.mirror(source, as: bench.makePlain()) == .notPermitted)
    },
    KernelCase("a guest that was received by a token is moved on, and one that was moved is sent on") {
      var bench = Bench(.rfc)
      let source = bench.makeLaunched()
      let second = bench.makeGuest()
      #expect(bench.receive(second, bench.send(source).token).error == nil)
      let third = bench.makePlain()
      #expect(bench.move(second, to: third) == nil)
      let fourth = bench.makeGuest()
      #expect(bench.receive(fourth, bench.send(third).token).error == nil)
      bench.openFirmwareAtZero()
      #expect(bench.state(of: fourth) == .running)
    },
  ]

  @Test("in the kernel's order", arguments: rows)
  func order(row: KernelCase) throws {
    try row.run()
  }

  @Test("first whether another move of either VM is under way: EBUSY, and it takes nothing from that one")
  func twoMovesAtOnce() {
    var bench = Bench(.mainline611)
    let source = bench.makeStarted(.sev)
    let (first, second) = (bench.makePlain(), bench.makePlain())
    bench.memory.machines[Address.source] = source
    let request = EnableCapability(
      capability: KernelCapability.moveEncryptionContext.rawValue, argument: UInt64(Address.source))
    bench.memory.store(request.bytes, at: Address.block)
    var step = bench.host.enableCapability(on: first, argument: Address.block, caller: bench.caller)
    while true {
      switch step {
      case .read(let address, let count, let then):
        step = then(&bench.host, bench.memory.read(address: address, count: count))
        continue
      case .findMachine(let descriptor, let then):
        step = then(&bench.host, bench.memory.findMachine(descriptor: descriptor))
        continue
      case .lock(let machines, let then):
        #expect(Set(machines) == [source, first])
        // While it waits for the locks:
        #expect(bench.move(source, to: second) == .busy)
        #expect(bench.move(bench.makeStarted(.sev), to: first) == .busy)
        #expect(bench.mirror(source, as: second) == .busy)
        #expect(bench.host.run(then(&bench.host), in: &bench.memory) == nil)
      case .finished, .resume, .write, .pin, .findFirmware, .identifyPages:
        Issue.record("a move reads, finds the source and locks")
      }
      break
    }
    #expect(bench.move(first, to: second) == nil)
  }
}
