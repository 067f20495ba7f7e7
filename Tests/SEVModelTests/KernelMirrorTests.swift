import SEVABI
import SEVModel
import Testing

/// Mirrors, as the kernel's selftest has them (`sev_migrate_tests`, mirror and move_copy), and the rules of
/// KVM_CAP_VM_COPY_ENC_CONTEXT_FROM.
@Suite("A mirror VM")
struct KernelMirrorTests {
  private static let commandCount: UInt32 = 103

  @Test(
    "is made of a started guest and gets vCPUs of its own; GUEST_STATUS works", arguments: GuestKind.allCases)
  func selftest(kind: GuestKind) {
    var bench = Bench(.mainline611)
    let source = bench.makeStarted(kind)
    let mirror = bench.makePlain()
    #expect(bench.mirror(source, as: mirror) == nil)
    bench.makeVCPUs(4, on: mirror)
    if kind.encryptedState { #expect(bench.issue(.launchUpdateVMSA, mirror) == .ok) }
    let allowed: Set<UInt32> = [4, 16, 17, 18]
    for id in 0..<Self.commandCount where !allowed.contains(id) {
      #expect(bench.issue(rawID: id, mirror) == .failed(.invalidArgument), "command \(id)")
    }
    #expect(bench.status(mirror).ending == .ok)
    #expect(bench.state(of: mirror) == .launching)
  }

  static let parameters: [KernelCase] = [
    KernelCase("a VM as its own mirror: EINVAL") {
      var bench = Bench(.mainline611)
      let machine = bench.makeStarted(.sev)
      #expect(bench.mirror(machine, as: machine) == .invalidArgument)
    },
    KernelCase("of a plain VM: EINVAL") {
      var bench = Bench(.mainline611)
      #expect(bench.mirror(bench.makePlain(), as: bench.makePlain()) == .invalidArgument)
    },
    KernelCase("in a VM that has vCPUs: EINVAL") {
      var bench = Bench(.mainline611)
      #expect(bench.mirror(bench.makeStarted(.sev), as: bench.makePlain(vcpus: 1)) == .invalidArgument)
    },
    KernelCase("of an SEV-ES guest in an SEV guest: EINVAL") {
      var bench = Bench(.mainline611)
      #expect(bench.mirror(bench.makeStarted(.sevES), as: bench.makeGuest(.sev)) == .invalidArgument)
    },
    KernelCase("of an SEV guest in an SEV-ES guest: EINVAL") {
      var bench = Bench(.mainline611)
      #expect(bench.mirror(bench.makeStarted(.sev), as: bench.makeGuest(.sevES)) == .invalidArgument)
    },
    KernelCase("of a mirror: EINVAL") {
      var bench = Bench(.mainline611)
      let mirror = bench.makePlain()
      #expect(bench.mirror(bench.makeStarted(.sev), as: mirror) == nil)
      #expect(bench.mirror(mirror, as: bench.makePlain()) == .invalidArgument)
    },
    KernelCase("of a number that is no VM: EBADF, before the target is looked at") {
      var bench = Bench(.mainline611)
      #expect(bench.enable(197, 99, on: bench.makeGuest(.sev, vcpus: 1)) == .badDescriptor)
    },
    KernelCase("of a guest that is only initialised: 0, and it shares what is launched later on no account") {
      var bench = Bench(.mainline611)
      let source = bench.makeGuest(.sev)
      let mirror = bench.makePlain()
      #expect(bench.mirror(source, as: mirror) == nil)
      #expect(bench.start(source) == .ok)
      bench.openFirmwareAtZero()
      #expect(bench.status(mirror).status == GuestStatusParameters(handle: 0, policy: 0, state: 0))
    },
    KernelCase("with REG_REGION and UNREG_REGION: EINVAL, before the range is looked at") {
      var bench = Bench(.mainline611)
      let mirror = bench.makePlain()
      #expect(bench.mirror(bench.makeStarted(.sev), as: mirror) == nil)
      #expect(bench.register(mirror, size: 0) == .invalidArgument)
      bench.caller.lockablePages = 0
      #expect(bench.register(mirror) == .invalidArgument)
      #expect(bench.unregister(mirror) == .invalidArgument)
    },
    KernelCase("of a typed VM: needs no INIT2 and runs") {
      var bench = Bench(.mainline611)
      let creator = bench.caller.addressSpace
      let source = try bench.host.makeMachine(type: 2, creator: creator)
      #expect(bench.issue(rawID: 22, source).error == nil)
      let mirror = try bench.host.makeMachine(type: 2, creator: creator)
      #expect(bench.mirror(source, as: mirror) == nil)
      #expect(bench.run(bench.makeVCPU(0, on: mirror)) == nil)
    },
    KernelCase("with the number of the firmware device that its owner gave") {
      var bench = Bench(.mainline611)
      let mirror = bench.makePlain()
      #expect(bench.mirror(bench.makeLaunched(), as: mirror) == nil)
      #expect(bench.debug(.debugDecrypt, mirror) == .ok)
      bench.memory.firmware = []
      #expect(bench.debug(.debugDecrypt, mirror) == .failed(.badDescriptor))
    },
    KernelCase("in 2021, with any command: EINVAL") {
      var bench = Bench(.rfc)
      let mirror = bench.makePlain()
      #expect(bench.mirror(bench.makeLaunched(), as: mirror) == nil)
      for id in 0..<UInt32(26) { #expect(bench.issue(rawID: id, mirror) == .failed(.invalidArgument)) }
    },
    KernelCase("moved before 5.18 together with its owner: the owner is EBUSY until the mirror is destroyed")
    {
      var bench = Bench(.mainline516)
      let source = bench.makeStarted(.sev)
      let mirror = bench.makePlain()
      #expect(bench.mirror(source, as: mirror) == nil)
      let target = bench.makePlain()
      #expect(bench.move(source, to: target) == .busy)
      bench.host.destroy(mirror)
      #expect(bench.move(source, to: target) == nil)
    },
  ]

  @Test("has its rules", arguments: parameters)
  func wrongParameters(row: KernelCase) throws {
    try row.run()
  }

  // MARK: Mirrors that move

  /// A guest and its mirror, each with three VMs to move to.
  private struct Family {
    var bench = Bench(.mainline611)
    var owners: [VirtualMachineID]
    var mirrors: [VirtualMachineID]

    init(_ kind: GuestKind) {
      owners = [bench.makeStarted(kind)]
      mirrors = [bench.makePlain()]
      precondition(bench.mirror(owners[0], as: mirrors[0]) == nil)
      bench.makeVCPUs(4, on: mirrors[0])
      if kind.encryptedState { precondition(bench.issue(.launchUpdateVMSA, mirrors[0]).error == nil) }
      for _ in 0..<3 {
        owners.append(bench.makePlain(vcpus: 4))
        mirrors.append(bench.makePlain(vcpus: 4))
      }
    }

    mutating func moveOwner(_ index: Int) { #expect(bench.move(owners[index], to: owners[index + 1]) == nil) }
    mutating func moveMirror(_ index: Int) {
      #expect(bench.move(mirrors[index], to: mirrors[index + 1]) == nil)
    }

    /// Destroys all in an order, and expects the key to go with the last of the two that have it.
    mutating func free(_ machines: [VirtualMachineID]) {
      for (index, machine) in machines.enumerated() {
        let holds = machines[index...].contains { $0 == owners.last || $0 == mirrors.last }
        if holds { #expect(bench.host.guestCount == 1) }
        bench.host.destroy(machine)
      }
      #expect(bench.host.guestCount == 0)
      #expect(bench.host.machineCount == 0)
      #expect(bench.host.freeASIDCount == 100)
      #expect(bench.host.freeEncryptedStateASIDCount == 100)
    }
  }

  @Test("moves: mirror first, then owner", arguments: GuestKind.allCases)
  func mirrorThenOwner(kind: GuestKind) {
    var family = Family(kind)
    family.moveMirror(0)
    family.moveOwner(0)
  }

  @Test("moves: owner first, then mirror", arguments: GuestKind.allCases)
  func ownerThenMirror(kind: GuestKind) {
    var family = Family(kind)
    family.moveOwner(0)
    family.moveMirror(0)
  }

  @Test(
    "moves in chains of three, owner first, mirror first or in turn, and ends in either order",
    arguments: GuestKind.allCases, 0..<6)
  func chains(kind: GuestKind, order: Int) {
    var family = Family(kind)
    switch order % 3 {
    case 0:
      for index in 0..<3 { family.moveOwner(index) }
      for index in 0..<3 { family.moveMirror(index) }
    case 1:
      for index in 0..<3 { family.moveMirror(index) }
      for index in 0..<3 { family.moveOwner(index) }
    default:
      for index in 0..<3 {
        family.moveMirror(index)
        family.moveOwner(index)
      }
    }
    if order < 3 {
      family.free(family.owners + family.mirrors)
    } else {
      family.free(family.mirrors + family.owners)
    }
  }

  @Test("keeps its owner's context when the owner is closed, and the key goes with the mirror")
  func outlives() {
    var bench = Bench(.mainline611)
    let source = bench.makeLaunched()
    let mirror = bench.makePlain()
    #expect(bench.mirror(source, as: mirror) == nil)
    bench.host.destroy(source)
    #expect(bench.host.guestCount == 1)
    #expect(bench.status(mirror).status.state == GuestState.running.rawValue)
    bench.host.destroy(mirror)
    #expect(bench.host.guestCount == 0)
    #expect(bench.host.machineCount == 0)
  }

  @Test("lets the key be when it is closed before its owner")
  func endsFirst() {
    var bench = Bench(.mainline611)
    let source = bench.makeLaunched()
    let mirror = bench.makePlain()
    #expect(bench.mirror(source, as: mirror) == nil)
    bench.host.destroy(mirror)
    #expect(bench.status(source).status.state == GuestState.running.rawValue)
    bench.host.destroy(source)
    #expect(bench.host.guestCount == 0)
  }
}
