import GuestImage
import LinuxOS
import Synchronization

/// What the boot vCPU of a software machine does besides pages: console, disk, clock comparison.
final class SoftwareBoard: Sendable {
  private let memory: SharedMapping
  private let devices: MachineDevices
  private let dirtyLog: DirtyLog
  /// 1 once a vCPU has executed its first instruction since the last order to run.
  private let hasRun = FutexWord(0)
  /// Whether console output waits for the reader: the guest says nothing new meanwhile.
  private let consoleWaits = Atomic<Bool>(false)
  /// The board's own copy of the sequences; the guest's words in RAM must agree with it.
  private let sequences = Mutex<(console: UInt64, disk: UInt64)>((0, 1))

  init(memory: SharedMapping, devices: MachineDevices, dirtyLog: DirtyLog) {
    self.memory = memory
    self.devices = devices
    self.dirtyLog = dirtyLog
  }

  func expectFirstInstruction() { hasRun.value = 0 }

  func noteFirstInstruction() {
    if hasRun.exchange(1) == 0 { hasRun.wakeAll() }
  }

  func waitForFirstInstruction(timeoutNanoseconds: UInt64) {
    let deadline = MonotonicClock.now() &+ timeoutNanoseconds
    while hasRun.value == 0 {
      let now = MonotonicClock.now()
      if now >= deadline { return }
      hasRun.wait(while: 0, timeoutNanoseconds: deadline - now)
    }
  }

  @inline(__always)
  private func load(_ word: Int) -> UInt64 { memory.load64(at: GuestABI.headerOffset + word) }
  @inline(__always)
  private func store(_ word: Int, _ value: UInt64) {
    memory.store64(value, at: GuestABI.headerOffset + word)
  }

  /// One iteration of the boot vCPU.
  func iterate(now: UInt64, clockOffset: UInt64) {
    typealias Header = GuestABI.Header
    if consoleWaits.load(ordering: .relaxed) {
      consoleWaits.store(!devices.console.flush(), ordering: .relaxed)
    } else if now &- load(Header.consoleStamp) >= load(Header.consoleInterval) {
      store(Header.consoleStamp, now)
      let sequence = load(Header.consoleSequence)
      let expected = sequences.withLock { (sequences) -> UInt64 in
        defer { sequences.console &+= 1 }
        return sequences.console
      }
      if sequence != expected { countMismatch() }
      store(Header.consoleSequence, sequence &+ 1)
      let isDone = devices.console.put(GuestABI.consoleLine(sequence))
      consoleWaits.store(!isDone, ordering: .relaxed)
    }

    let diskInterval = load(Header.diskInterval)
    if diskInterval != 0, let disk = devices.disk, now &- load(Header.diskStamp) >= diskInterval {
      store(Header.diskStamp, now)
      let sequence = load(Header.diskSequence)
      let expected = sequences.withLock { (sequences) -> UInt64 in
        defer { sequences.disk &+= 1 }
        return sequences.disk
      }
      if sequence != expected { countMismatch() }
      // A full or failing disk is the image's problem, and the missing number shows it.
      try? disk.write(sequence)
      store(Header.diskSequence, sequence &+ 1)
    }

    compareClocks(now: now, clock: now &+ clockOffset)
    // After everything that was written to it.
    dirtyLog.note(GuestABI.headerOffset)
  }

  /// The guest's clock travels as an offset, its ticks do not: both must have moved equally far.
  private func compareClocks(now: UInt64, clock: UInt64) {
    typealias Header = GuestABI.Header
    store(Header.clockSamples, load(Header.clockSamples) &+ 1)
    if load(Header.clockTickBase) == 0 {
      store(Header.clockTickBase, now)
      store(Header.clockBase, clock)
    }
    if clock < load(Header.clockLast) {
      store(Header.clockBackwards, load(Header.clockBackwards) &+ 1)
    }
    store(Header.clockLast, clock)
    let lag = (now &- load(Header.clockTickBase)) &- (clock &- load(Header.clockBase))
    store(Header.clockLag, lag)
    let distance = Int64(bitPattern: lag).magnitude
    if distance > load(Header.clockLargestLag) { store(Header.clockLargestLag, distance) }
  }

  private func countMismatch() {
    let word = GuestABI.vcpuPagesOffset + GuestABI.VCPU.mismatches
    memory.store64(memory.load64(at: word) &+ 1, at: word)
  }

  // Control thread, while the vCPUs are parked.

  /// Passes on what the reader has room for now.
  func finishOutput() {
    consoleWaits.store(!devices.console.flush(), ordering: .relaxed)
  }

  /// - Parameter format: An old format has no place for waiting output, so even the begin of a line is
  ///   passed on before.
  func save(format: UInt16) -> DeviceState {
    if format < 2 { _ = devices.console.flush(partialLines: true) }
    var state = DeviceState()
    sequences.withLock { (state.consoleSequence, state.diskSequence) = ($0.console, $0.disk) }
    state.pendingConsole = devices.console.snapshot().pending
    return state
  }

  func restore(_ state: DeviceState) {
    sequences.withLock { $0 = (state.consoleSequence, state.diskSequence) }
    devices.console.restore(lineCount: state.consoleSequence, pending: state.pendingConsole)
    consoleWaits.store(!state.pendingConsole.isEmpty, ordering: .relaxed)
  }
}
