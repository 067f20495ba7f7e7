import BatonWire
import GuestImage
import LinuxOS
import SEVABI
import SEVDevice

/// The SEV side of a guest in this process: its VM, a spare VM to take back into, and the session
/// through which commands go. Used by the control thread.
final class SEVContext {
  private var session: SEVSession
  private var machine: SEVMachine
  private var spare: SEVMachine?
  /// How this process hands the guest on, and why.
  let handoff: HandoffChoice.Resolution
  let facts: SEVGuestFacts
  private let encryptedVCPUs: Int
  private let modelSocket: String
  /// Of a guest that is launched here.
  private let policy: GuestPolicy

  var way: Way { handoff.way }

  /// How the context is taken, and how that can end.
  enum Taking: Hashable, Sendable {
    case taken
    /// The kernel says that somebody has taken it before.
    case used
    /// Nothing was done.
    case untouched(SEVError)
    /// Nobody can say whether it was done.
    case unknown(SEVError)
  }

  private init(
    session: consuming SEVSession, machine: consuming SEVMachine, handoff: HandoffChoice.Resolution,
    facts: SEVGuestFacts, encryptedVCPUs: Int, modelSocket: String, policy: GuestPolicy
  ) {
    self.policy = policy
    self.modelSocket = modelSocket
    self.session = session
    self.machine = machine
    self.handoff = handoff
    self.facts = facts
    self.encryptedVCPUs = encryptedVCPUs
  }

  /// A VM in which a guest is to be launched whose memory this is.
  static func fresh(_ memory: SharedMapping, _ options: VMMOptions) throws -> SEVContext {
    let region = EncryptedRegion(address: UInt64(memory.address), size: UInt64(memory.byteCount))
    return try make(
      SEVGuestFacts(hasEncryptedState: options.encryptsState, region: region), isInitialized: true, options)
  }

  /// Launches the guest whose image is in its memory: key, measurement, policy.
  func launch() throws(SEVError) {
    try session.register(facts.region, on: machine.vm)
    try launchStart(facts.hasEncryptedState ? policy.union(.encryptedState) : policy)
    let image = (GuestImage.bytes.count + 15) & ~15
    try session.launchUpdateData(
      machine.vm, address: facts.region.address + UInt64(GuestABI.imageOffset), byteCount: UInt32(image))
    if facts.hasEncryptedState { try session.launchUpdateVMSA(machine.vm) }
    _ = try session.launchMeasure(machine.vm)
    try session.launchFinish(machine.vm)
  }

  /// A VM that is ready to receive a guest in the way in which it is offered.
  static func target(
    _ way: Way, _ facts: SEVGuestFacts, _ options: VMMOptions
  ) throws -> SEVContext {
    let context = try make(facts, isInitialized: way == .token, options)
    if way == .move { try context.rehearseMove() }
    return context
  }

  static func make(
    _ facts: SEVGuestFacts, isInitialized: Bool, _ options: VMMOptions
  ) throws -> SEVContext {
    var session = try SEVDevice.model(socketPath: options.modelSocket).openSession()
    let handoff = try resolve(options, &session)
    let encryptedVCPUs = facts.hasEncryptedState ? options.configuration.vcpuCount : 0
    let machine: SEVMachine
    do throws(SEVError) {
      machine = try SEVMachine(&session, isInitialized: isInitialized, encryptedVCPUs: encryptedVCPUs)
    } catch {
      guard error.attempt == .command(.esInitialize), error.reason == .notSupported else { throw error }
      throw MachineError.unusableConfiguration(
        "this host has no SEV-ES: its firmware has to keep address-space identifiers for it (sevmodeld: --es-asids); "
          + "or the guest goes without (BATON_SEV_ES=no, without --sev-es)")
    }
    // Neither way tells the VM where the firmware device is: it looks at number 0.
    try session.openFirmware(at: firmwareNumber)
    return SEVContext(
      session: session, machine: machine, handoff: handoff, facts: facts, encryptedVCPUs: encryptedVCPUs,
      modelSocket: options.modelSocket, policy: options.policy.policy)
  }

  /// Goes once through the code of a move while nobody waits for it: out of a VM that is no guest nothing is moved.
  private func rehearseMove() throws(SEVError) {
    let plain = try session.makeMachine()
    _ = move(plain.number, into: machine)
  }

  /// Whether the model really encrypts private memory, so that only software vCPUs can run a guest.
  static func isCiphertext(_ options: VMMOptions) throws(SEVError) -> Bool {
    var session = try SEVDevice.model(socketPath: options.modelSocket).openSession()
    return try session.isCiphertext()
  }

  /// How the software vCPUs of this process's VM, or of the spare one, see the guest's memory: one access for
  /// each, none where they see what is in RAM.
  func privateMemory(
    of memory: GuestMemory, vcpus: Int, inSpare: Bool = false
  ) throws -> [PrivateMemory] {
    guard try session.isCiphertext(), let number = inSpare ? spareNumber : vmNumber else { return [] }
    return try (0..<vcpus).map { _ in
      var duplicates = try DescriptorList(duplicating: [number])
      guard let vm = duplicates.popFirst() else { preconditionFailure("one was duplicated") }
      return try PrivateMemory(device.openSession(), vm: vm, memory)
    }
  }

  /// Where the firmware device is in every process that has a guest's VM: whatever way the guest came, and
  /// wherever it goes, its VM keeps this number.
  static let firmwareNumber: Int32 = 0

  private func launchStart(_ policy: GuestPolicy) throws(SEVError) {
    let firmware = OwnedDescriptor(adopting: Self.firmwareNumber)
    do throws(SEVError) {
      _ = try session.launchStart(machine.vm, policy: policy, firmware: firmware)
    } catch {
      _ = firmware.release()
      throw error
    }
    // It stays open as long as the process lives.
    _ = firmware.release()
  }

  private static func resolve(
    _ options: VMMOptions, _ session: inout SEVSession
  ) throws -> HandoffChoice.Resolution {
    let plain = try session.makeMachine()
    return try options.handoff.resolve(try session.ways(plain))
  }

  /// The VM's descriptor, to be given into custody.
  var vmNumber: Int32 { machine.vm.number }
  var spareNumber: Int32? {
    switch spare {
    case .some(let spare): spare.vm.number
    case .none: nil
    }
  }

  /// Makes the VM into which this process can take the guest back, outside of the blackout.
  func makeSpare() throws(SEVError) {
    spare = try SEVMachine(
      &session, isInitialized: way == .token, encryptedVCPUs: encryptedVCPUs)
  }

  func dropSpare() { spare = nil }

  /// Whether one more VM could be made now: a free address-space identifier for the successor.
  func probeFreeIdentifier() throws(SEVError) {
    _ = try SEVMachine(&session, isInitialized: true, encryptedVCPUs: encryptedVCPUs)
  }

  /// The guest's state as the firmware has it.
  func guestStatus() throws(SEVError) -> GuestStatusParameters { try session.guestStatus(machine.vm) }

  /// Unregisters the guest's memory, by the launching process's address, before the VM is closed.
  func retire() throws(SEVError) { try session.unregister(facts.region, on: machine.vm) }

  /// Where this process's SEV commands go.
  var device: SEVDevice { .model(socketPath: modelSocket) }

  /// Registers the guest's memory in a VM into which it has yet to come.
  func registerMemory() throws(SEVError) { try session.register(facts.region, on: machine.vm) }

  /// Whether the registers of an SEV-ES guest can be sent to another machine, which no kernel does.
  func sendsRegisters() throws(SEVError) -> Bool { try session.describeModel()?.hasFirmwareVMSA ?? false }

  // MARK: Way token

  /// LOCAL_SEND.
  func send() throws(SEVError) -> InfoToken { try session.localSend(machine.vm) }

  /// LOCAL_RECEIVE into this process's VM.
  func receive(_ token: borrowing InfoToken) -> Taking { receive(token, into: machine) }

  /// LOCAL_RECEIVE into the spare VM, which then is this process's VM.
  func takeBack(_ token: borrowing InfoToken) -> Taking {
    // Without a spare VM the context was taken back before.
    guard let target = spare.take() else { return .taken }
    let taking = receive(token, into: target)
    adopt(target, taking)
    return taking
  }

  private func receive(_ token: borrowing InfoToken, into target: borrowing SEVMachine) -> Taking {
    do throws(SEVError) {
      _ = try session.localReceive(target.vm, token: token)
      return .taken
    } catch {
      if error.isOutcomeUnknown { return .unknown(error) }
      return error.reason == .badAddress ? .used : .untouched(error)
    }
  }

  // MARK: Way move

  /// MOVE into this process's VM, out of the first of these VMs that has the context.
  ///
  /// - Parameter numbers: Borrowed descriptors.
  func move(outOf numbers: [Int32]) -> Taking {
    guard !numbers.isEmpty else {
      let capability = UInt64(KernelCapability.moveEncryptionContext.rawValue)
      return .untouched(
        SEVError(.enableCapability(capability), code: KernelError.badDescriptor.rawValue))
    }
    return move(outOf: numbers, into: machine)
  }

  /// MOVE into the spare VM, out of this process's old one or one of these; the spare then is this process's VM.
  ///
  /// The old VM is not trusted even where it still has the context: whoever was given its descriptor could move
  /// the context from under it at any later time.
  func moveBack(alsoOutOf numbers: [Int32]) -> Taking {
    guard let target = spare.take() else { return .taken }
    let taking = move(outOf: [machine.vm.number] + numbers, into: target)
    adopt(target, taking)
    return taking
  }

  private func move(outOf numbers: [Int32], into target: borrowing SEVMachine) -> Taking {
    let patience = MonotonicClock.now() + Self.patienceNanoseconds
    var rest = numbers[...]
    while let number = rest.first {
      guard let error = move(number, into: target) else { return .taken }
      if error.isOutcomeUnknown { return .unknown(error) }
      switch error.reason {
      // Somebody else's move of this VM is under way, and will have succeeded or failed soon.
      case .busy where MonotonicClock.now() < patience:
        _ = try? Poller.waitReadable(-1, timeoutNanoseconds: Self.retryNanoseconds)
      // This VM has no context, or not any more.
      case .invalidArgument: rest.removeFirst()
      case .notPermitted, .interrupted, .inputOutput, .tooBig, .badDescriptor, .outOfMemory, .badAddress,
        .busy, .alreadyExists, .noDevice, .notSupported, .timedOut, nil:
        return .untouched(error)
      }
    }
    return .used
  }

  private func move(_ number: Int32, into target: borrowing SEVMachine) -> SEVError? {
    let source = OwnedDescriptor(adopting: number)
    do throws(SEVError) {
      try session.move(from: source, to: target.vm)
      _ = source.release()
      return nil
    } catch {
      _ = source.release()
      return error
    }
  }

  /// How long a move that is refused as busy is tried again, and how often.
  private static let patienceNanoseconds: UInt64 = 200_000_000
  private static let retryNanoseconds: UInt64 = 100_000

  /// Makes `target` this process's VM if the context was taken into it, else the spare again.
  private func adopt(_ target: consuming SEVMachine, _ taking: Taking) {
    switch taking {
    case .taken: machine = consume target
    case .used, .untouched, .unknown: spare = consume target
    }
  }
}
