import EncryptionStatus
public import LinuxOS
import MigrationCore
public import RemoteMigration
import Synchronization

/// A machine whose vCPUs are threads that really write and check guest RAM all the time.
public final class SoftwareMachine: Machine {
  public let configuration: MachineConfiguration
  public var kind: MachineKind { .software }
  public var phase: MachinePhase { current.withLock { $0 } }

  private let memory: SharedMapping
  private let devices: MachineDevices
  private let board: SoftwareBoard
  private let dirtyLog: DirtyLog
  /// nil for a guest whose memory is not encrypted.
  let memoryStatus: MemoryStatus?
  private let vcpus: [SoftwareVCPU]
  private let threads: [OSThread]
  private let current: Mutex<MachinePhase>

  /// Loads a guest into fresh RAM; ``start()`` runs it.
  ///
  /// - Parameter memory: All zero, at least `configuration.ramBytes` long.
  public static func loadingGuest(
    into memory: SharedMapping, _ configuration: MachineConfiguration, devices: MachineDevices
  ) throws(MachineError) -> SoftwareMachine {
    try loadingGuest(into: memory, configuration, devices: devices, seenThrough: [])
  }

  /// - Parameter privateMemory: How each vCPU sees its memory; none where it sees what is in RAM.
  static func loadingGuest(
    into memory: SharedMapping, _ configuration: MachineConfiguration, devices: MachineDevices,
    seenThrough privateMemory: [PrivateMemory], memoryStatus: MemoryStatus? = nil
  ) throws(MachineError) -> SoftwareMachine {
    let machine = try SoftwareMachine(
      memory, privateMemory, memoryStatus, configuration, devices, phase: .loaded)
    GuestLoader.load(
      into: memory, configuration, kind: .software, tickKilohertz: 1_000_000,
      hasDisk: devices.disk != nil, hasKVMClock: true)
    return machine
  }

  /// Prepares for a guest that runs elsewhere in the same RAM; writes nothing to it.
  public static func awaitingGuest(
    in memory: SharedMapping, _ configuration: MachineConfiguration, devices: MachineDevices
  ) throws(MachineError) -> SoftwareMachine {
    try SoftwareMachine(memory, [], nil, configuration, devices, phase: .prepared)
  }

  /// - Parameter privateMemory: How each vCPU sees its memory; none where it sees what is in RAM.
  static func awaitingGuest(
    in memory: SharedMapping, _ configuration: MachineConfiguration, devices: MachineDevices,
    seenThrough privateMemory: [PrivateMemory], memoryStatus: MemoryStatus? = nil
  ) throws(MachineError) -> SoftwareMachine {
    try SoftwareMachine(memory, privateMemory, memoryStatus, configuration, devices, phase: .prepared)
  }

  private init(
    _ memory: SharedMapping, _ privateMemory: [PrivateMemory], _ memoryStatus: MemoryStatus?,
    _ configuration: MachineConfiguration, _ devices: MachineDevices, phase: MachinePhase
  ) throws(MachineError) {
    try configuration.validate(mappedBytes: memory.byteCount)
    self.memory = memory
    self.configuration = configuration
    self.devices = devices
    let dirtyLog = DirtyLog(memory)
    self.dirtyLog = dirtyLog
    self.memoryStatus = memoryStatus
    let board = SoftwareBoard(memory: memory, devices: devices, dirtyLog: dirtyLog)
    self.board = board
    let vcpus = (0..<configuration.vcpuCount).map {
      SoftwareVCPU(
        index: $0, memory: memory, privateMemory: $0 < privateMemory.count ? privateMemory[$0] : nil,
        board: board, dirtyLog: dirtyLog, memoryStatus: memoryStatus, configuration: configuration)
    }
    self.vcpus = vcpus
    var threads: [OSThread] = []
    do throws(SystemError) {
      for vcpu in vcpus {
        threads.append(try OSThread(name: "vcpu\(vcpu.index)") { vcpu.serve() })
      }
    } catch {
      for vcpu in vcpus.prefix(threads.count) { vcpu.gate.end() }
      for thread in threads { thread.join() }
      throw .system(error)
    }
    self.threads = threads
    current = Mutex(phase)
    // Walks the paths of saving and restoring once while nobody waits for them.
    _ = try? decodedState(encodedState(MachineStateFormat.current))
  }

  deinit { end() }

  public func start() throws(MachineError) { try go("start", from: .loaded) }
  public func resume() throws(MachineError) { try go("resume", from: .stopped) }
  public func run() throws(MachineError) { try go("run", from: .restored) }

  private func go(_ verb: String, from expected: MachinePhase) throws(MachineError) {
    try current.withLock { (phase) throws(MachineError) in
      guard phase == expected else { throw .wrongPhase(attempted: verb, phase: phase) }
      board.expectFirstInstruction()
      for vcpu in vcpus {
        vcpu.firstStamp.store(0, ordering: .relaxed)
        vcpu.gate.letRun()
      }
      phase = .running
    }
  }

  @discardableResult
  public func stop() -> UInt64 {
    current.withLock { phase in
      if phase == .running {
        // All are told before the first one is waited for.
        for vcpu in vcpus { vcpu.tellToPark() }
        for vcpu in vcpus { vcpu.waitUntilParked() }
        // Only now: once state was saved, output that waits is the successor's.
        board.finishOutput()
        phase = .stopped
      }
    }
    return lastInstruction
  }

  private var lastInstruction: UInt64 {
    var latest: UInt64 = 0
    for vcpu in vcpus { latest = max(latest, vcpu.lastStamp.load(ordering: .acquiring)) }
    return latest
  }

  public func saveState(format: UInt16) throws(MachineError) -> [UInt8] {
    try current.withLock { (phase) throws(MachineError) in
      guard phase == .stopped else { throw .wrongPhase(attempted: "save its state", phase: phase) }
    }
    guard format >= MachineStateFormat.oldest, format <= MachineStateFormat.current else {
      throw .state(.unreadableFormat(format))
    }
    do throws(MachineStateError) { return try encodedState(format) } catch { throw .state(error) }
  }

  private func encodedState(_ format: UInt16) throws(MachineStateError) -> [UInt8] {
    let deviceState = board.save(format: format)
    // Format 1 has no place for it: its readers know of no migration.
    let carriesMemoryStatus = memoryStatus != nil && format >= 2
    var state = MachineState(
      format: format, kind: .software,
      features: MachineStateFormat.Feature.softwareVCPUs | devices.features(deviceState)
        | (carriesMemoryStatus ? MachineStateFormat.Feature.memoryStatus : 0),
      ramBytes: UInt64(configuration.ramBytes), vcpuCount: configuration.vcpuCount)
    state.add(.devices, try deviceState.encoded(format: format))
    if carriesMemoryStatus, let memoryStatus { state.add(.memoryStatus, memoryStatus.value.encoded()) }
    for vcpu in vcpus {
      state.add(.softwareVCPU, index: vcpu.index, vcpu.registers.withLock { $0.encoded() })
    }
    return state.encoded()
  }

  public func restore(_ bytes: [UInt8]) throws(MachineError) {
    try current.withLock { (phase) throws(MachineError) in
      guard phase == .prepared || phase == .restored else {
        throw .wrongPhase(attempted: "take a guest's state", phase: phase)
      }
      try GuestLoader.check(memory, configuration)
      let decoded: DecodedState
      do throws(MachineStateError) {
        decoded = try decodedState(bytes)
        for (vcpu, value) in zip(vcpus, decoded.vcpus) { try vcpu.check(value) }
      } catch { throw .state(error) }
      for (vcpu, value) in zip(vcpus, decoded.vcpus) { vcpu.registers.withLock { $0 = value } }
      if let status = decoded.memoryStatus { memoryStatus?.value = status }
      board.restore(decoded.devices)
      phase = .restored
    }
  }

  private struct DecodedState {
    var devices: DeviceState
    var vcpus: [SoftwareVCPU.Registers]
    var memoryStatus: MemoryEncryptionStatus?
  }

  private func decodedState(_ bytes: [UInt8]) throws(MachineStateError) -> DecodedState {
    let state = try MachineState(decoding: bytes, for: .software, configuration)
    try devices.check(state)
    let deviceState = try DeviceState(decoding: state.bytes(of: .devices), format: state.format)
    var registers: [SoftwareVCPU.Registers] = []
    for vcpu in vcpus {
      registers.append(
        try SoftwareVCPU.Registers(decoding: state.bytes(of: .softwareVCPU, index: vcpu.index)))
    }
    return DecodedState(
      devices: deviceState, vcpus: registers, memoryStatus: try decodedMemoryStatus(state))
  }

  private func decodedMemoryStatus(
    _ state: MachineState
  ) throws(MachineStateError) -> MemoryEncryptionStatus? {
    guard state.has(.memoryStatus) else { return nil }
    let bytes = try state.bytes(of: .memoryStatus)
    do throws(SharedRegionsError) { return try MemoryEncryptionStatus(decoding: bytes) } catch {
      throw .implausible("what the guest said about its memory: \(error)")
    }
  }

  public var firstInstruction: UInt64? {
    var earliest: UInt64?
    for vcpu in vcpus {
      let stamp = vcpu.firstStamp.load(ordering: .acquiring)
      if stamp != 0 { earliest = min(earliest ?? stamp, stamp) }
    }
    return earliest
  }

  public func waitForFirstInstruction(timeoutNanoseconds: UInt64) -> UInt64? {
    board.waitForFirstInstruction(timeoutNanoseconds: timeoutNanoseconds)
    return firstInstruction
  }

  public var feltPauseNanoseconds: UInt64? {
    guard firstInstruction != nil else { return nil }
    var longest: UInt64 = 0
    for vcpu in vcpus where vcpu.firstStamp.load(ordering: .acquiring) != 0 {
      longest = max(longest, vcpu.feltPause.load(ordering: .relaxed))
    }
    return longest
  }

  /// A software vCPU goes on as long as its memory is there.
  public var failure: MachineError? {
    for vcpu in vcpus {
      if let failure = vcpu.failure { return .privateMemory(failure) }
    }
    return nil
  }

  /// A software guest's clock goes on by itself.
  public var remarks: [String] { [] }

  public func report() throws(MachineError) -> GuestReport { try GuestReport(reading: memory) }

  // MARK: Dirty pages

  public func startDirtyLog() throws(MachineError) {
    // What a vCPU wrote before it looked at the log must be in memory before somebody copies it, and no vCPU has a
    // barrier to spare for a log that is off nearly always: so they stand still for a moment.
    let wasRunning = phase == .running
    stop()
    dirtyLog.start()
    if wasRunning { try resume() }
  }

  public func takeDirtyPages(into pages: inout PageBitmap) throws(MachineError) {
    dirtyLog.take(into: &pages)
  }

  public func stopDirtyLog() { dirtyLog.stop() }

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
