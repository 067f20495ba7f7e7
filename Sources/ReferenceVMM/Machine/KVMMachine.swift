import GuestImage
public import KVM
public import LinuxOS
public import RemoteMigration
import Synchronization

/// A machine with real vCPUs of `/dev/kvm`.
public final class KVMMachine: Machine {
  public let configuration: MachineConfiguration
  public var kind: MachineKind { .kvm }
  public var phase: MachinePhase { current.withLock { $0 } }

  private let memory: SharedMapping
  private let devices: MachineDevices
  private let vm: KVMVirtualMachine
  private let board: KVMBoard
  private let vcpus: [KVMVCPUThread]
  private let threads: [OSThread]
  private let current: Mutex<MachinePhase>
  private let honoursTSCOffset: Bool
  /// What was written by the guest and nobody has taken yet.
  private let written: Mutex<KVMDirtyPages>
  /// What ``restore(_:)`` left for ``run()``: it makes KVM write guest RAM.
  private let unattached = Mutex<[KVMVCPUState]>([])
  private let timeRemarks = Mutex<[String]>([])
  /// The boot vCPU's stamp in RAM when the latest run began, to see its first iteration.
  private let stampBefore = Atomic<UInt64>(0)
  /// The stamp that ``waitForFirstInstruction(timeoutNanoseconds:)`` saw; 0 before that.
  private let stampAfter = Atomic<UInt64>(0)

  /// Loads a guest into fresh RAM; ``start()`` runs it.
  ///
  /// - Parameters:
  ///   - memory: All zero, at least `configuration.ramBytes` long; kept as long as the machine.
  ///   - trace: Where the calls on the VM are recorded, for tests.
  public static func loadingGuest(
    into memory: SharedMapping, _ configuration: MachineConfiguration, devices: MachineDevices,
    trace: KVMTrace? = nil
  ) throws(MachineError) -> KVMMachine {
    let machine = try KVMMachine(memory, configuration, devices, trace, phase: .loaded)
    do throws(KVMError) { try machine.prepareFirstStart() } catch { throw .kvm(error) }
    return machine
  }

  /// Prepares for a guest that runs elsewhere in the same RAM; writes nothing to it.
  public static func awaitingGuest(
    in memory: SharedMapping, _ configuration: MachineConfiguration, devices: MachineDevices,
    trace: KVMTrace? = nil
  ) throws(MachineError) -> KVMMachine {
    try KVMMachine(memory, configuration, devices, trace, phase: .prepared)
  }

  private init(
    _ memory: SharedMapping, _ configuration: MachineConfiguration, _ devices: MachineDevices,
    _ trace: KVMTrace?, phase: MachinePhase
  ) throws(MachineError) {
    try configuration.validate(mappedBytes: memory.byteCount)
    self.memory = memory
    self.configuration = configuration
    self.devices = devices
    let board = KVMBoard(devices: devices)
    self.board = board
    let vm: KVMVirtualMachine
    let slots = Self.memorySlots(memory, configuration)
    written = Mutex(KVMDirtyPages(slots))
    do throws(KVMError) {
      try KVMVCPU.prepareKicks()
      vm = try KVMVirtualMachine(
        try KVMSystem(), vcpuCount: configuration.vcpuCount, memory: slots, trace: trace)
      honoursTSCOffset = vm.honoursTSCOffset()
    } catch { throw .kvm(error) }
    self.vm = vm
    let vcpus = vm.vcpus.map { KVMVCPUThread($0, board: board) }
    self.vcpus = vcpus
    var threads: [OSThread] = []
    do throws(SystemError) {
      for vcpu in vcpus {
        threads.append(try OSThread(name: "vcpu\(vcpu.vcpu.index)") { vcpu.serve() })
      }
    } catch {
      for vcpu in vcpus.prefix(threads.count) { vcpu.gate.end() }
      for thread in threads { thread.join() }
      throw .system(error)
    }
    self.threads = threads
    current = Mutex(phase)
    do throws(KVMError) { try warmUp() } catch { throw .kvm(error) }
    trace?.clear()
  }

  /// Walks the paths of saving and restoring once, with the VM's own fresh state, while nobody waits
  /// for them.
  private func warmUp() throws(KVMError) {
    let saved = try vm.save()
    guard
      let bytes = try? encodedState(saved.vcpus, saved.board, MachineStateFormat.current),
      let decoded = try? decodedState(bytes)
    else { return }
    _ = try vm.restore(vcpus: decoded.vcpus, board: decoded.board)
  }

  deinit { end() }

  /// RAM below the hole for devices and, when there is more, above it.
  private static func memorySlots(
    _ memory: SharedMapping, _ configuration: MachineConfiguration
  ) -> [KVMVirtualMachine.MemorySlot] {
    let low = min(configuration.ramBytes, GuestABI.lowBytes)
    var slots = [
      KVMVirtualMachine.MemorySlot(
        guestAddress: 0, byteCount: UInt64(low), hostAddress: memory.address)
    ]
    if configuration.ramBytes > low {
      slots.append(
        KVMVirtualMachine.MemorySlot(
          guestAddress: GuestABI.guestPhysicalAddress(ofRAMOffset: UInt64(low)),
          byteCount: UInt64(configuration.ramBytes - low),
          hostAddress: memory.address + UInt(low)))
    }
    return slots
  }

  private func prepareFirstStart() throws(KVMError) {
    GuestLoader.load(
      into: memory, configuration, kind: .kvm,
      tickKilohertz: UInt64(try vm.vcpus[0].tscKilohertz()), hasDisk: devices.disk != nil,
      hasKVMClock: vm.hasKVMClock)
    for vcpu in vm.vcpus {
      try vcpu.prepareLongMode(
        entry: UInt64(GuestABI.imageOffset),
        stack: UInt64(GuestABI.stacksOffset + (vcpu.index + 1) * GuestABI.pageBytes),
        firstArgument: UInt64(vcpu.index), pageTables: UInt64(GuestABI.pageTablesOffset),
        descriptorTable: (UInt64(GuestABI.descriptorTableOffset), 3 * 8 - 1),
        interruptTable: (UInt64(GuestABI.interruptTableOffset), 256 * 16 - 1))
    }
  }

  public func start() throws(MachineError) { try go("start", from: .loaded) }
  public func resume() throws(MachineError) { try go("resume", from: .stopped) }

  /// Attaches KVM to the places in guest RAM that it writes, then runs the guest.
  public func run() throws(MachineError) {
    try go("run", from: .restored) { () throws(KVMError) in
      try unattached.withLock { (states) throws(KVMError) in
        try vm.attachMemory(states)
        states.removeAll()
      }
    }
  }

  private func go(
    _ verb: String, from expected: MachinePhase, after last: () throws(KVMError) -> Void = {}
  ) throws(MachineError) {
    try current.withLock { (phase) throws(MachineError) in
      guard phase == expected else { throw .wrongPhase(attempted: verb, phase: phase) }
      do throws(KVMError) { try last() } catch { throw .kvm(error) }
      stampBefore.store(guestStamp, ordering: .relaxed)
      stampAfter.store(0, ordering: .relaxed)
      for vcpu in vcpus { vcpu.letRun() }
      phase = .running
    }
  }

  @discardableResult
  public func stop() -> UInt64 {
    current.withLock { phase in
      if phase == .running {
        for vcpu in vcpus { vcpu.tellToPark() }
        for vcpu in vcpus { vcpu.waitUntilParked() }
        // Only now: once state was saved, output that waits is the successor's.
        board.finishOutput()
        phase = .stopped
      }
    }
    return vcpus.reduce(0) { max($0, $1.lastStamp.load(ordering: .acquiring)) }
  }

  public func saveState(format: UInt16) throws(MachineError) -> [UInt8] {
    try current.withLock { (phase) throws(MachineError) in
      guard phase == .stopped else { throw .wrongPhase(attempted: "save its state", phase: phase) }
    }
    guard format >= MachineStateFormat.oldest, format <= MachineStateFormat.current else {
      throw .state(.unreadableFormat(format))
    }
    let saved: (vcpus: [KVMVCPUState], board: KVMBoardState)
    do throws(KVMError) { saved = try vm.save() } catch { throw .kvm(error) }
    do throws(MachineStateError) {
      return try encodedState(saved.vcpus, saved.board, format)
    } catch { throw .state(error) }
  }

  private func encodedState(
    _ vcpuStates: [KVMVCPUState], _ boardState: KVMBoardState, _ format: UInt16
  ) throws(MachineStateError) -> [UInt8] {
    let deviceState = board.save(format: format)
    var state = MachineState(
      format: format, kind: .kvm,
      features: MachineStateFormat.Feature.kvmVCPUs | devices.features(deviceState),
      ramBytes: UInt64(configuration.ramBytes), vcpuCount: configuration.vcpuCount)
    state.add(.devices, try deviceState.encoded(format: format))
    for (index, vcpu) in vcpuStates.enumerated() {
      state.add(.kvmVCPU, index: index, vcpu.encoded())
    }
    state.add(.kvmBoard, boardState.encoded())
    return state.encoded()
  }

  public func restore(_ bytes: [UInt8]) throws(MachineError) {
    try current.withLock { (phase) throws(MachineError) in
      guard phase == .prepared || phase == .restored else {
        throw .wrongPhase(attempted: "take a guest's state", phase: phase)
      }
      try GuestLoader.check(memory, configuration)
      let decoded: DecodedState
      do throws(MachineStateError) { decoded = try decodedState(bytes) } catch { throw .state(error) }
      do throws(KVMError) {
        let offsetsAreRight = try vm.restore(vcpus: decoded.vcpus, board: decoded.board)
        noteTime(offsetsAreRight: offsetsAreRight, board: decoded.board)
      } catch { throw .kvm(error) }
      unattached.withLock { $0 = decoded.vcpus }
      board.restore(decoded.devices)
      phase = .restored
    }
  }

  private struct DecodedState {
    var devices: DeviceState
    var vcpus: [KVMVCPUState]
    var board: KVMBoardState
  }

  private func decodedState(_ bytes: [UInt8]) throws(MachineStateError) -> DecodedState {
    let state = try MachineState(decoding: bytes, for: .kvm, configuration)
    try devices.check(state)
    let deviceState = try DeviceState(decoding: state.bytes(of: .devices), format: state.format)
    var vcpus: [KVMVCPUState] = []
    for index in 0..<state.vcpuCount {
      let bytes = try state.bytes(of: .kvmVCPU, index: index)
      do throws(KVMStateError) { vcpus.append(try KVMVCPUState(decoding: bytes)) } catch {
        throw .implausible("vCPU \(index): \(error)")
      }
    }
    let bytes = try state.bytes(of: .kvmBoard)
    do throws(KVMStateError) {
      return DecodedState(
        devices: deviceState, vcpus: vcpus, board: try KVMBoardState(decoding: bytes))
    } catch {
      throw .implausible("board: \(error)")
    }
  }

  private func noteTime(offsetsAreRight: Bool, board: KVMBoardState) {
    timeRemarks.withLock {
      $0.removeAll()
      if !offsetsAreRight { $0.append("The TSC offset does not read back as it was set") }
      if !board.clockFollowsRealTime {
        $0.append("The source's KVM told no real time, so the guest's clock lags by the blackout")
      }
    }
  }

  /// What the operator should know about the guest's time on this host; empty when all is well.
  public var remarks: [String] {
    var remarks = timeRemarks.withLock { $0 }
    if !honoursTSCOffset {
      remarks.append(
        "This host's KVM ignores the TSC offset: the guest reads the host's TSC, which goes on as before")
    }
    return remarks
  }

  private var guestStamp: UInt64 {
    memory.load64(at: GuestABI.vcpuPagesOffset + GuestABI.VCPU.lastStamp)
  }

  /// When the first vCPU entered the guest. ``waitForFirstInstruction(timeoutNanoseconds:)`` waits
  /// until the guest itself shows that it executes.
  public var firstInstruction: UInt64? {
    var earliest: UInt64?
    for vcpu in vcpus {
      let stamp = vcpu.firstStamp.load(ordering: .acquiring)
      if stamp != 0 { earliest = min(earliest ?? stamp, stamp) }
    }
    return earliest
  }

  /// Waits until the boot vCPU writes a new stamp into RAM and returns when that was seen, which is at
  /// most ``pollNanoseconds`` and one iteration after the first instruction.
  public func waitForFirstInstruction(timeoutNanoseconds: UInt64) -> UInt64? {
    let deadline = MonotonicClock.now() &+ timeoutNanoseconds
    let pause = FutexWord(0)
    while true {
      let now = MonotonicClock.now()
      let stamp = guestStamp
      if phase == .running && stamp != stampBefore.load(ordering: .relaxed) {
        stampAfter.store(stamp, ordering: .relaxed)
        return now
      }
      if now >= deadline { return nil }
      pause.wait(while: 0, timeoutNanoseconds: Self.pollNanoseconds)
    }
  }

  /// Of the boot vCPU, and up to one poll and one iteration too long.
  public var feltPauseNanoseconds: UInt64? {
    let before = stampBefore.load(ordering: .relaxed)
    let after = stampAfter.load(ordering: .relaxed)
    guard before != 0, after > before else { return nil }
    let kilohertz = memory.load64(at: GuestABI.headerOffset + GuestABI.Header.tickKilohertz)
    let (high, low) = (after - before).multipliedFullWidth(by: 1_000_000)
    return high < kilohertz ? kilohertz.dividingFullWidth((high, low)).quotient : nil
  }

  static let pollNanoseconds: UInt64 = 20_000

  public var failure: MachineError? {
    for vcpu in vcpus {
      if let failure = vcpu.failure { return .kvm(failure) }
    }
    return nil
  }

  /// A second descriptor of the VM, for custody and for `KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM`.
  public func duplicateVMDescriptor() throws(SystemError) -> OwnedDescriptor {
    try vm.duplicateDescriptor()
  }

  public func report() throws(MachineError) -> GuestReport { try GuestReport(reading: memory) }

  // MARK: Dirty pages

  public func startDirtyLog() throws(MachineError) {
    do throws(KVMError) { try vm.startDirtyLog() } catch { throw .kvm(error) }
    written.withLock { $0.removeAll() }
  }

  public func takeDirtyPages(into pages: inout PageBitmap) throws(MachineError) {
    try written.withLock { (written) throws(MachineError) in
      do throws(KVMError) { try vm.collectDirtyPages(into: &written) } catch { throw .kvm(error) }
      written.forEachRun { run in
        for frame in run {
          pages.insert(Self.page(ofFrame: Int(frame)))
        }
      }
      written.removeAll()
    }
  }

  /// Where in RAM a frame lies that KVM has memory for.
  private static func page(ofFrame frame: Int) -> Int {
    let low = GuestABI.lowBytes / GuestABI.pageBytes
    return frame < low ? frame : frame - GuestABI.holeBytes / GuestABI.pageBytes
  }

  public func stopDirtyLog() {
    // What it costs to leave it on is the guest's speed alone.
    try? vm.stopDirtyLog()
  }

  public func end() {
    stop()
    let alreadyEnded = current.withLock { phase in
      defer { phase = .ended }
      return phase == .ended
    }
    if alreadyEnded { return }
    for vcpu in vcpus { vcpu.gate.end() }
    for thread in threads { thread.join() }
  }
}
