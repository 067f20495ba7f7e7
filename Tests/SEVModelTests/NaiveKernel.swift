import SEVABI
import Testing

/// KVM's side of SEV a second time, as simple as it can be: one function a command, its checks one after the
/// other as the facts list them. It keeps names where the model keeps bytes.
struct NaiveKernel {
  enum Profile: String, CaseIterable, CustomTestStringConvertible {
    case rfc = "rfc"
    case mainline516 = "mainline-5.16"
    case mainline611 = "mainline-6.11"
    case v10 = "v10-shared-pages"

    var testDescription: String { rawValue }
  }

  struct VCPU {
    let number: UInt32
    var isDebugged = false
    var isProtected = false
  }

  struct Region: Hashable {
    let address: UInt64
    let size: UInt64
    let pages: UInt64
  }

  struct Machine {
    let creator: UInt64
    let type: UInt64
    /// A process still has its descriptor.
    var isOpen = true
    /// The context was moved away.
    var isDead = false
    var isActive = false
    var isES = false
    var needsInit: Bool
    var asid: NaiveFirmware.ASID?
    var handle: UInt32 = 0
    var descriptor: Int32 = 0
    var lockedPages: UInt64 = 0
    var regions: [Region] = []
    var vcpus: [VCPU] = []
    /// The token of LOCAL_SEND.
    var token: UInt64?
    /// The VM whose context this mirror uses.
    var owner: Int?
    var mirrors: [Int] = []
    // What the VMM and the guest said about pages and MSRs.
    var exitsOnPages = false
    var msrReasons: UInt64 = 0
    var isMSRDenied = false
    var isReadyToMigrate = false
    var sharedPages: Set<UInt64> = []
  }

  /// What LOCAL_SEND staged.
  struct Node {
    var isValid = true
    let asid: NaiveFirmware.ASID?
    let handle: UInt32
    let lockedPages: UInt64
    let regions: [Region]
    let isES: Bool
    let vcpus: [VCPU]
  }

  struct Session {
    let policy: UInt32
    let keys: NaiveFirmware.Keys
    let receiver: NaiveContent
    let ends: Set<NaiveFirmware.End>
  }

  struct Packet {
    let keys: NaiveFirmware.Keys
    let length: UInt32
  }

  /// What a command made that the driver has the bytes of.
  enum Product: Hashable {
    case session(Int)
    case packet(Int)
    case measurement(Int)
  }

  let profile: Profile
  let freeASIDs: (plain: Int, encryptedState: Int)
  var machines: [Machine] = []
  var nodes: [UInt64: Node] = [:]
  var firmware: NaiveFirmware
  var sessions: [Int: Session] = [:]
  var packets: [Int: Packet] = [:]
  var measurements = 0
  var products = 0
  private(set) var product: Product?
  var usedASIDs: Set<NaiveFirmware.ASID> = []
  private var asidsMade = 0
  /// How many of each kind nobody had since the last flush, and how many were given up since.
  private var cleanASIDs: [Bool: Int]
  private var dirtyASIDs = [false: 0, true: 0]

  init(profile: Profile, asids: Int, encryptedStateASIDs: Int, major: UInt32, minor: UInt32) {
    self.profile = profile
    freeASIDs = (asids, encryptedStateASIDs)
    cleanASIDs = [false: asids, true: encryptedStateASIDs]
    firmware = NaiveFirmware(supportsEncryptedState: encryptedStateASIDs > 0, major: major, minor: minor)
  }

  /// How many guests without encrypted state could still be made.
  var freePlainASIDCount: Int { freeASIDs.plain - usedASIDs.count { !$0.isForEncryptedState } }

  /// Answers a call.
  ///
  /// - Parameter token: What the model gave at LOCAL_SEND, if the call is one; only the kernel can choose it.
  mutating func answer(_ request: NaiveRequest, token: UInt64) -> NaiveAnswer {
    product = nil
    switch request.call {
    case .makeMachine(let type):
      return NaiveAnswer(error: makeMachine(type: type, space: request.space))
    case .makeVCPU(let machine, let number):
      return NaiveAnswer(error: makeVCPU(machine, number, request))
    case .guestDebug(let machine, let vcpu, let isOn):
      if isForeignOrDead(machine, request) { return NaiveAnswer(error: .inputOutput) }
      machines[machine].vcpus[vcpu].isDebugged = isOn
      return NaiveAnswer()
    case .destroy(let machine):
      close(machine)
      return NaiveAnswer()
    case .registerRegion(let machine, let address, let size):
      return NaiveAnswer(error: registerRegion(machine, address, size, request))
    case .unregisterRegion(let machine, let address, let size):
      return NaiveAnswer(error: unregisterRegion(machine, address, size, request))
    case .enableCapability(let machine, let number, let flags, let source):
      return NaiveAnswer(error: enableCapability(machine, number, flags, source, request))
    case .run(let machine, _):
      if isForeignOrDead(machine, request) { return NaiveAnswer(error: .inputOutput) }
      return NaiveAnswer(error: machines[machine].needsInit ? .invalidArgument : nil)
    case .command(let command):
      return operation(command, request, token: token)
    case .device(let command): return device(command)
    case .enableExits(let machine, let number, let argument):
      return NaiveAnswer(error: enableExits(machine, number, argument, request))
    case .denyMSR(let machine):
      machines[machine].isMSRDenied.toggle()
      return NaiveAnswer()
    case .hypercall(let machine, _, let number, let arguments, let privilege):
      return hypercall(machine, number, arguments, privilege: privilege, request)
    case .readMSR(let machine, _, let index): return readMSR(machine, index, request)
    case .writeMSR(let machine, _, let index, let value): return writeMSR(machine, index, value, request)
    case .getSharedPages(let machine, let list): return getSharedPages(machine, list, request)
    case .setSharedPages(let machine, let list): return setSharedPages(machine, list, request)
    }
  }

  mutating func note(_ product: Product) {
    self.product = product
  }

  func isForeignOrDead(_ machine: Int, _ request: NaiveRequest) -> Bool {
    machines[machine].creator != request.space || machines[machine].isDead
  }

  // MARK: VMs and vCPUs

  private mutating func makeMachine(type: UInt64, space: UInt64) -> KernelError? {
    let types: [UInt64] =
      profile == .mainline611 ? (freeASIDs.encryptedState > 0 ? [0, 1, 2, 3] : [0, 1, 2]) : [0]
    guard types.contains(type) else { return .invalidArgument }
    machines.append(Machine(creator: space, type: type, needsInit: type >= 2))
    return nil
  }

  private mutating func makeVCPU(_ machine: Int, _ number: UInt32, _ request: NaiveRequest) -> KernelError? {
    if isForeignOrDead(machine, request) { return .inputOutput }
    if number >= 4096 { return .invalidArgument }
    if machines[machine].vcpus.contains(where: { $0.number == number }) { return .alreadyExists }
    machines[machine].vcpus.append(VCPU(number: number))
    return nil
  }

  /// The last descriptor goes. A mirror keeps its owner.
  private mutating func close(_ machine: Int) {
    machines[machine].isOpen = false
    releaseIfUnused(machine)
  }

  private mutating func releaseIfUnused(_ number: Int) {
    let machine = machines[number]
    guard !machine.isOpen, machine.mirrors.isEmpty, machine.isActive else { return }
    machines[number].isActive = false
    if let owner = machine.owner {
      machines[owner].mirrors.removeAll { $0 == number }
      releaseIfUnused(owner)
      return
    }
    if let token = machine.token {
      let node = nodes.removeValue(forKey: token)
      if node?.isValid == false { return }
    }
    if machine.handle != 0 { firmware.discard(machine.handle) }
    release(machine.asid)
  }

  mutating func release(_ asid: NaiveFirmware.ASID?) {
    guard let asid, usedASIDs.remove(asid) != nil else { return }
    dirtyASIDs[asid.isForEncryptedState, default: 0] += 1
  }

  // MARK: INIT, ES_INIT, INIT2

  mutating func initialize(_ number: Int, encryptedState: Bool) -> KernelError? {
    let machine = machines[number]
    if encryptedState, freeASIDs.encryptedState == 0 { return .notSupported }
    if machine.type != 0 { return .invalidArgument }
    if !machine.vcpus.isEmpty { return .invalidArgument }
    if machine.isActive { return profile == .rfc || profile == .v10 ? .busy : .invalidArgument }
    return takeASID(number, encryptedState: encryptedState)
  }

  mutating func initialize2(_ command: NaiveCommand) -> KernelError? {
    let machine = machines[command.machine]
    if !machine.needsInit { return .invalidArgument }
    if command.structure == .unmapped { return .badAddress }
    let arguments = command.arguments
    if !machine.vcpus.isEmpty { return .invalidArgument }
    if arguments.flags != 0 { return .invalidArgument }
    if arguments.features != 0 { return .invalidArgument }
    let isES = machine.type == 3
    if arguments.ghcbVersion > 2 || !isES && arguments.ghcbVersion != 0 { return .invalidArgument }
    // A context was moved in, which does not take the mark away.
    if machine.isActive { return .invalidArgument }
    return takeASID(command.machine, encryptedState: isES)
  }

  private mutating func takeASID(_ number: Int, encryptedState: Bool) -> KernelError? {
    if cleanASIDs[encryptedState] == 0 {
      // A flush makes all of both kinds clean, but only a firmware that is initialised does it.
      if dirtyASIDs[encryptedState] == 0 || firmware.state == 0 { return .busy }
      cleanASIDs.merge(dirtyASIDs, uniquingKeysWith: +)
      dirtyASIDs = [false: 0, true: 0]
    }
    cleanASIDs[encryptedState, default: 0] -= 1
    firmware.initialize()
    asidsMade += 1
    let asid = NaiveFirmware.ASID(serial: asidsMade, isForEncryptedState: encryptedState)
    usedASIDs.insert(asid)
    machines[number].asid = asid
    machines[number].isActive = true
    machines[number].isES = encryptedState
    machines[number].needsInit = false
    return nil
  }

  // MARK: Pinning and regions

  /// The helper that pins pages.
  ///
  /// - Returns: Nothing, or the errno.
  func pin(_ number: Int, _ address: UInt64, _ size: UInt64, _ request: NaiveRequest) -> KernelError? {
    let (end, wraps) = address.addingReportingOverflow(size)
    if size == 0 || wraps { return .invalidArgument }
    let pages = Self.pages(address, end)
    if let limit = request.lockablePages, machines[number].lockedPages + pages > limit {
      return .outOfMemory
    }
    if pages > 0x7FFF_FFFF { return .invalidArgument }
    return NaivePlace.isMapped(address, size) ? nil : .outOfMemory
  }

  private static func pages(_ address: UInt64, _ end: UInt64) -> UInt64 {
    (end - 1) / 4096 - address / 4096 + 1
  }

  private mutating func registerRegion(
    _ number: Int, _ address: UInt64, _ size: UInt64, _ request: NaiveRequest
  ) -> KernelError? {
    if isForeignOrDead(number, request) { return .inputOutput }
    if !machines[number].isActive { return .notSupported }
    if machines[number].owner != nil { return .invalidArgument }
    if let error = pin(number, address, size, request) { return error }
    let region = Region(address: address, size: size, pages: Self.pages(address, address + size))
    machines[number].regions.append(region)
    machines[number].lockedPages += region.pages
    return nil
  }

  private mutating func unregisterRegion(
    _ number: Int, _ address: UInt64, _ size: UInt64, _ request: NaiveRequest
  ) -> KernelError? {
    if isForeignOrDead(number, request) { return .inputOutput }
    if machines[number].owner != nil { return .invalidArgument }
    if !machines[number].isActive { return .notSupported }
    guard
      let index = machines[number].regions.firstIndex(where: { $0.address == address && $0.size == size })
    else { return .invalidArgument }
    machines[number].lockedPages -= machines[number].regions.remove(at: index).pages
    return nil
  }
}
