import SEVABI
import SEVModel
import Testing

/// The table of the June 2021 patches: what each command on each VM answers, with the same names as in the facts.
@Suite("The local-migration table")
struct KernelLocalTests {
  static let table: [KernelCase] = [
    KernelCase("SEND on a plain VM: ENOTTY") {
      var bench = Bench(.rfc)
      #expect(bench.send(bench.makeMachine()).ending == .failed(.notSupported))
    },
    KernelCase("RECEIVE on a plain VM: ENOTTY") {
      var bench = Bench(.rfc)
      #expect(bench.receive(bench.makeMachine(), 1) == .failed(.notSupported))
    },
    KernelCase("SEND on an SEV-ES VM with the second patch alone: EPERM") {
      var bench = Bench(
        ModelConfiguration(encryptedStateASIDCount: 2, localMigrationWithoutEncryptedState: true))
      #expect(bench.send(bench.makeGuest(.sevES)).ending == .failed(.notPermitted))
    },
    KernelCase("SEND on an initialised VM that was not launched: 0") {
      var bench = Bench(.rfc)
      #expect(bench.send(bench.makeGuest()).ending.error == nil)
    },
    KernelCase("second SEND: EPERM") {
      var bench = Bench(.rfc)
      let machine = bench.makeLaunched()
      _ = bench.send(machine)
      #expect(bench.send(machine).ending == .failed(.notPermitted))
    },
    KernelCase("GUEST_STATUS after SEND: EPERM") {
      var bench = Bench(.rfc)
      let machine = bench.makeLaunched()
      _ = bench.send(machine)
      #expect(bench.status(machine).ending == .failed(.notPermitted))
    },
    KernelCase("DBG_DECRYPT after SEND: 0") {
      var bench = Bench(.rfc)
      let machine = bench.makeLaunched()
      _ = bench.send(machine)
      #expect(bench.debug(.debugDecrypt, machine) == .ok)
    },
    KernelCase("KVM_RUN after SEND, also after the RECEIVE: not refused") {
      var bench = Bench(.rfc)
      let machine = bench.makeLaunched()
      let vcpu = bench.makeVCPU(0, on: machine)
      let token = bench.send(machine).token
      #expect(bench.run(vcpu) == nil)
      #expect(bench.receive(bench.makeGuest(), token).error == nil)
      #expect(bench.run(vcpu) == nil)
    },
    KernelCase("REG_REGION after SEND: 0, and it is unpinned with the VM") {
      var bench = Bench(.rfc)
      let machine = bench.makeLaunched()
      _ = bench.send(machine)
      #expect(bench.register(machine) == nil)
      bench.host.destroy(machine)
      #expect(bench.host.guestCount == 0)
    },
    KernelCase("SEND with a bad data pointer: EFAULT, then GUEST_STATUS 0") {
      var bench = Bench(.rfc)
      let machine = bench.makeLaunched()
      #expect(
        bench.issue(.localSend, machine, [UInt8](repeating: 0, count: 8), data: 8) == .failed(.badAddress))
      #expect(bench.status(machine).ending == .ok)
    },
    KernelCase("RECEIVE with an unknown token: EFAULT") {
      var bench = Bench(.rfc)
      #expect(bench.receive(bench.makeGuest(), 0xDEAD) == .failed(.badAddress))
    },
    KernelCase("RECEIVE with a used token: EFAULT") {
      var bench = Bench(.rfc)
      let token = bench.send(bench.makeLaunched()).token
      _ = bench.receive(bench.makeGuest(), token)
      #expect(bench.receive(bench.makeGuest(), token) == .failed(.badAddress))
    },
    KernelCase("RECEIVE with the token of a destroyed source: EFAULT") {
      var bench = Bench(.rfc)
      let machine = bench.makeLaunched()
      let token = bench.send(machine).token
      bench.host.destroy(machine)
      #expect(bench.receive(bench.makeGuest(), token) == .failed(.badAddress))
    },
    KernelCase("RECEIVE into a launched VM: EPERM") {
      var bench = Bench(.rfc)
      let token = bench.send(bench.makeLaunched()).token
      #expect(bench.receive(bench.makeLaunched(), token) == .failed(.notPermitted))
    },
    KernelCase("RECEIVE into a VM with a region: EPERM") {
      var bench = Bench(.rfc)
      let token = bench.send(bench.makeLaunched()).token
      let target = bench.makeGuest()
      #expect(bench.register(target) == nil)
      #expect(bench.receive(target, token) == .failed(.notPermitted))
    },
    KernelCase("RECEIVE with a read-only data page: EFAULT, then the same token elsewhere: 0") {
      var bench = Bench(.rfc)
      let token = bench.send(bench.makeLaunched()).token
      bench.memory.readOnly = [Address.parameters]
      #expect(bench.receive(bench.makeGuest(), token) == .failed(.badAddress))
      bench.memory.readOnly = []
      #expect(bench.receive(bench.makeGuest(), token).error == nil)
    },
    KernelCase("LAUNCH_START on a receiver: EIO with ASID_OWNED, the new context decommissioned") {
      var bench = Bench(.rfc)
      let target = bench.makeGuest()
      #expect(bench.receive(target, bench.send(bench.makeLaunched()).token).error == nil)
      #expect(bench.start(target) == .refused(.asidOwned))
      #expect(bench.host.guestCount == 1)
    },
    KernelCase("GUEST_STATUS on a receiver: EBADF, or 0 with /dev/sev at number 0") {
      var bench = Bench(.rfc)
      let target = bench.makeGuest()
      #expect(bench.receive(target, bench.send(bench.makeLaunched()).token).error == nil)
      #expect(bench.status(target).ending == .failed(.badDescriptor))
      bench.openFirmwareAtZero()
      #expect(bench.status(target).ending == .ok)
    },
    KernelCase("UNREG_REGION of an old region: EINVAL on the source, 0 on the target") {
      var bench = Bench(.rfc)
      let source = bench.makeLaunched()
      #expect(bench.register(source) == nil)
      let target = bench.makeGuest()
      #expect(bench.receive(target, bench.send(source).token).error == nil)
      #expect(bench.unregister(source) == .invalidArgument)
      #expect(bench.unregister(target) == nil)
    },
    KernelCase("RECEIVE of its own token by a sent VM: EPERM; by a fresh VM of the same process: 0") {
      var bench = Bench(.rfc)
      let machine = bench.makeLaunched()
      let token = bench.send(machine).token
      #expect(bench.receive(machine, token) == .failed(.notPermitted))
      #expect(bench.receive(bench.makeGuest(), token).error == nil)
    },
    KernelCase("RECEIVE with no ASID free for the target: its INIT is EBUSY already") {
      var bench = Bench(.rfc, asids: 1)
      _ = bench.send(bench.makeLaunched())
      #expect(bench.issue(.initialize, bench.makeMachine()) == .failed(.busy))
    },
  ]

  @Test("row", arguments: table)
  func row(_ row: KernelCase) throws {
    try row.run()
  }
}

/// The third patch: SEV-ES guests by token.
@Suite("Local migration of SEV-ES guests")
struct KernelLocalEncryptedStateTests {
  /// A target with vCPUs of these numbers.
  private static func target(_ numbers: [UInt32], in bench: inout Bench) -> VirtualMachineID {
    let machine = bench.makeGuest(.sevES)
    for number in numbers { _ = bench.makeVCPU(number, on: machine) }
    return machine
  }

  static let table: [KernelCase] = [
    KernelCase("vCPUs are matched by number, and their registers stay encrypted") {
      var bench = Bench(.rfc)
      let source = bench.makeLaunched(.sevES, vcpus: 2)
      let target = bench.makeGuest(.sevES)
      let one = bench.makeVCPU(1, on: target)
      let zero = bench.makeVCPU(0, on: target)
      #expect(bench.receive(target, bench.send(source).token).error == nil)
      for vcpu in [zero, one] {
        #expect(bench.access(vcpu) == .meaningless)
      }
      bench.openFirmwareAtZero()
      #expect(bench.state(of: target) == .running)
    },
    KernelCase("vCPUs of the target that the source does not have are left alone") {
      var bench = Bench(.rfc)
      let source = bench.makeLaunched(.sevES, vcpus: 1)
      let target = bench.makeGuest(.sevES)
      _ = bench.makeVCPU(0, on: target)
      let other = bench.makeVCPU(5, on: target)
      #expect(bench.receive(target, bench.send(source).token).error == nil)
      #expect(bench.access(other) == .live)
    },
    KernelCase("a number that the target does not have: EFAULT, and the token stays good") {
      var bench = Bench(.rfc)
      let token = bench.send(bench.makeLaunched(.sevES, vcpus: 2)).token
      #expect(bench.receive(target([0, 2], in: &bench), token) == .failed(.badAddress))
      #expect(bench.receive(target([0, 1, 2], in: &bench), token).error == nil)
    },
    KernelCase(
      "into a guest without encrypted state, or the other way round: EPERM (a check of the model's own)"
    ) {
      var bench = Bench(.rfc)
      let token = bench.send(bench.makeLaunched(.sevES)).token
      #expect(bench.receive(bench.makeGuest(.sev, vcpus: 1), token) == .failed(.notPermitted))
      #expect(bench.receive(bench.makeGuest(.sevES, vcpus: 1), token).error == nil)
      let other = bench.send(bench.makeLaunched(.sev)).token
      #expect(bench.receive(bench.makeGuest(.sevES, vcpus: 1), other) == .failed(.notPermitted))
    },
    KernelCase("not launched, with registers that are not encrypted: 0, and they are not afterwards either") {
      var bench = Bench(.rfc)
      let source = bench.makeGuest(.sevES, vcpus: 1)
      let target = bench.makeGuest(.sevES)
      let vcpu = bench.makeVCPU(0, on: target)
      #expect(bench.receive(target, bench.send(source).token).error == nil)
      #expect(bench.access(vcpu) == .live)
      #expect(bench.start(target, policy: .encryptedState) == .ok)
      #expect(bench.issue(.launchUpdateVMSA, target) == .ok)
    },
    KernelCase("a RECEIVE whose answer cannot be copied out gives the registers back as well") {
      var bench = Bench(.rfc)
      let token = bench.send(bench.makeLaunched(.sevES)).token
      let unlucky = bench.makeGuest(.sevES)
      let vcpu = bench.makeVCPU(0, on: unlucky)
      bench.memory.readOnly = [Address.parameters]
      #expect(bench.receive(unlucky, token) == .failed(.badAddress))
      bench.memory.readOnly = []
      #expect(bench.access(vcpu) == .live)
      let target = bench.makeGuest(.sevES)
      let other = bench.makeVCPU(0, on: target)
      #expect(bench.receive(target, token).error == nil)
      #expect(bench.access(other) == .meaningless)
    },
    KernelCase("a SEND whose token cannot be copied out leaves the source as it was") {
      var bench = Bench(.rfc)
      let source = bench.makeLaunched(.sevES)
      bench.memory.readOnly = [Address.parameters]
      #expect(bench.send(source).ending == .failed(.badAddress))
      bench.memory.readOnly = []
      // Its registers are still there to be moved.
      #expect(bench.move(source, to: bench.makePlain(vcpus: 1)) == nil)
    },
    KernelCase("the source's vCPUs keep running and keep their registers from the VMM") {
      var bench = Bench(.rfc)
      let source = bench.makeGuest(.sevES)
      let vcpu = bench.makeVCPU(0, on: source)
      #expect(bench.start(source, policy: .encryptedState) == .ok)
      #expect(bench.issue(.launchUpdateVMSA, source) == .ok)
      _ = bench.send(source)
      #expect(bench.run(vcpu) == nil)
      #expect(bench.access(vcpu) == .meaningless)
    },
  ]

  @Test("row", arguments: table)
  func row(_ row: KernelCase) throws {
    try row.run()
  }
}
