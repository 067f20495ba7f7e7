import SEVABI
import SEVModel
import Testing

/// One named row of a table of the kernel's behaviour.
struct KernelCase: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let run: @Sendable () throws -> Void

  init(_ name: String, _ run: @escaping @Sendable () throws -> Void) {
    testDescription = name
    self.run = run
  }
}

/// Both kinds of guests, for tables that hold for either.
enum GuestKind: CaseIterable, Sendable, CustomTestStringConvertible {
  case sev, sevES

  var testDescription: String { self == .sev ? "SEV" : "SEV-ES" }
  var encryptedState: Bool { self == .sevES }
  var initialize: SEVCommandID { self == .sevES ? .esInitialize : .initialize }
  var policy: GuestPolicy { self == .sevES ? .encryptedState : [] }
}

extension Bench {
  /// A machine with both kinds of guests.
  init(
    _ profile: KernelProfile, asids: UInt32 = 100, offersMove: Bool? = nil, firmwareVMSA: Bool = false,
    ciphertext: Bool = false
  ) {
    self.init(
      ModelConfiguration(
        profile: profile, asidCount: asids, encryptedStateASIDCount: asids, offersMove: offersMove,
        firmwareVMSA: firmwareVMSA, ciphertext: ciphertext))
  }

  mutating func makeVCPU(_ number: UInt32, on machine: VirtualMachineID) -> VirtualCPUID {
    do {
      return try host.makeVCPU(number: number, on: machine, caller: caller)
    } catch {
      preconditionFailure("vCPU \(number): \(error.symbol)")
    }
  }

  /// Makes vCPUs 0 to `count - 1`.
  @discardableResult
  mutating func makeVCPUs(_ count: UInt32, on machine: VirtualMachineID) -> [VirtualCPUID] {
    (0..<count).map { makeVCPU($0, on: machine) }
  }

  /// A VM after INIT or ES_INIT, with vCPUs.
  mutating func makeGuest(_ kind: GuestKind, vcpus: UInt32 = 0) -> VirtualMachineID {
    let machine = makeMachine()
    precondition(issue(kind.initialize, machine).error == nil, "INIT failed")
    makeVCPUs(vcpus, on: machine)
    return machine
  }

  /// A VM as the kernel's own tests make their source: LAUNCH_START and, with SEV-ES, LAUNCH_UPDATE_VMSA.
  mutating func makeStarted(_ kind: GuestKind, vcpus: UInt32 = 4) -> VirtualMachineID {
    let machine = makeGuest(kind, vcpus: vcpus)
    precondition(start(machine, policy: kind.policy) == .ok, "LAUNCH_START failed")
    if kind.encryptedState {
      precondition(issue(.launchUpdateVMSA, machine).error == nil, "LAUNCH_UPDATE_VMSA failed")
    }
    return machine
  }

  /// A VM that was launched to its end.
  mutating func makeLaunched(_ kind: GuestKind, vcpus: UInt32 = 1) -> VirtualMachineID {
    let machine = makeStarted(kind, vcpus: vcpus)
    precondition(measure(machine) == .ok, "LAUNCH_MEASURE failed")
    precondition(issue(.launchFinish, machine) == .ok, "LAUNCH_FINISH failed")
    return machine
  }

  /// A plain VM with vCPUs.
  mutating func makePlain(vcpus: UInt32 = 0) -> VirtualMachineID {
    let machine = makeMachine()
    makeVCPUs(vcpus, on: machine)
    return machine
  }

  /// KVM_ENABLE_CAP.
  mutating func enable(
    _ capability: UInt32, _ argument: UInt64, on machine: VirtualMachineID, flags: UInt32 = 0
  ) -> KernelError? {
    memory.store(
      EnableCapability(capability: capability, flags: flags, argument: argument).bytes, at: Address.block)
    return host.run(
      host.enableCapability(on: machine, argument: Address.block, caller: caller), in: &memory)
  }

  /// KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM.
  mutating func move(_ source: VirtualMachineID, to target: VirtualMachineID) -> KernelError? {
    memory.machines[Address.source] = source
    return enable(
      KernelCapability.moveEncryptionContext.rawValue, UInt64(Address.source), on: target)
  }

  /// KVM_CAP_VM_COPY_ENC_CONTEXT_FROM.
  mutating func mirror(_ source: VirtualMachineID, as target: VirtualMachineID) -> KernelError? {
    memory.machines[Address.source] = source
    return enable(
      KernelCapability.copyEncryptionContext.rawValue, UInt64(Address.source), on: target)
  }

  /// Opens the firmware device at number 0 too, where VMs look that took a context over.
  mutating func openFirmwareAtZero() {
    memory.firmware.insert(0)
  }

  mutating func state(of machine: VirtualMachineID) -> GuestState? {
    let (ending, status) = status(machine)
    return ending.error == nil ? GuestState(rawValue: status.state) : nil
  }

  /// How the VMM gets on with a vCPU's registers; nil for EIO.
  mutating func access(_ vcpu: VirtualCPUID) -> ModelHost.RegisterAccess? {
    try? host.registerAccess(of: vcpu, caller: caller)
  }

  /// What KVM_RUN answers before the guest runs.
  mutating func run(_ vcpu: VirtualCPUID) -> KernelError? {
    do {
      try host.checkRun(vcpu, caller: caller)
      return nil
    } catch {
      return error
    }
  }
}

/// The errno of a call that throws it.
func kernelError(_ call: () throws(KernelError) -> Void) -> KernelError? {
  do {
    try call()
    return nil
  } catch {
    return error
  }
}
