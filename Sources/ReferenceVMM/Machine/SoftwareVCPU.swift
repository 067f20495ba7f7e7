import BatonWire
import GuestImage
import LinuxOS
import SEVDevice
import Synchronization

/// One software vCPU: a thread that does what the guest under KVM does, with registers of its own.
///
/// Between two iterations it looks at its gate; an iteration is one instruction, so to say.
final class SoftwareVCPU: Sendable {
  /// What a real vCPU keeps in registers. It must agree with the vCPU's page in RAM whenever the
  /// guest runs: an old copy of one of them is found at once.
  struct Registers: Hashable {
    var counter: UInt64 = 0
    var cursor: UInt64 = 0
    var generation: UInt64 = 1
    /// `CLOCK_MONOTONIC` at the last iteration; 0 before the first.
    var lastStamp: UInt64 = 0
    /// When the next timer interrupt is due; 0 before the first.
    var timerDeadline: UInt64 = 0
    /// What the guest's clock shows minus `CLOCK_MONOTONIC`.
    var clockOffset: UInt64 = 0

    static let byteCount = 48

    func encoded() -> [UInt8] {
      var writer = ByteWriter(capacity: Self.byteCount)
      for value in [counter, cursor, generation, lastStamp, timerDeadline, clockOffset] {
        writer.write(value)
      }
      return writer.bytes
    }

    init() {}

    init(decoding bytes: [UInt8]) throws(MachineStateError) {
      guard bytes.count == Self.byteCount else {
        throw .wrongSectionSize(.softwareVCPU, bytes: bytes.count)
      }
      var reader = ByteReader(bytes)
      counter = try reader.take(UInt64.self)
      cursor = try reader.take(UInt64.self)
      generation = try reader.take(UInt64.self)
      lastStamp = try reader.take(UInt64.self)
      timerDeadline = try reader.take(UInt64.self)
      clockOffset = try reader.take(UInt64.self)
    }
  }

  let index: Int
  let gate = VCPUGate()
  /// Held by the vCPU's thread while it runs, so the control thread only ever reads registers of a
  /// parked vCPU.
  let registers: Mutex<Registers>
  /// First and last stamp of the latest run; 0 before the first iteration of it.
  let firstStamp = Atomic<UInt64>(0)
  let lastStamp = Atomic<UInt64>(0)
  /// Nanoseconds between the last iteration before the latest run and the first one of it; 0 before.
  let feltPause = Atomic<UInt64>(0)
  private let parkOrder = Atomic<UInt32>(0)
  private let memory: SharedMapping
  /// Nil when what is in RAM is what the guest sees.
  private let privateMemory: PrivateMemory?
  /// Why it stands still although it may run.
  private let trouble = Mutex<SEVError?>(nil)
  private let board: SoftwareBoard
  private let dirtyLog: DirtyLog
  private let memoryStatus: MemoryStatus?
  private let page: Int
  private let dutyPercent: UInt64

  init(
    index: Int, memory: SharedMapping, privateMemory: PrivateMemory?, board: SoftwareBoard,
    dirtyLog: DirtyLog, memoryStatus: MemoryStatus?, configuration: MachineConfiguration
  ) {
    self.index = index
    self.memory = memory
    self.privateMemory = privateMemory
    self.board = board
    self.dirtyLog = dirtyLog
    self.memoryStatus = memoryStatus
    page = GuestABI.vcpuPagesOffset + index * GuestABI.pageBytes
    dutyPercent = UInt64(configuration.dutyPercent)
    var initial = Registers()
    initial.cursor = UInt64(index)
    registers = Mutex(initial)
  }

  /// Refuses registers that cannot be this vCPU's.
  func check(_ registers: Registers) throws(MachineStateError) {
    let pages = memory.load64(at: GuestABI.headerOffset + GuestABI.Header.pageCount)
    guard registers.generation > 0, registers.cursor < pages else {
      throw .implausible(
        "vCPU \(index) is at page \(registers.cursor) of \(pages), pass \(registers.generation)")
    }
  }

  /// Why it cannot go on, if it cannot.
  var failure: SEVError? { trouble.withLock { $0 } }

  /// Orders the vCPU to park; ``waitUntilParked()`` waits for it. Control thread only.
  func tellToPark() { parkOrder.store(gate.park(), ordering: .relaxed) }

  func waitUntilParked() { gate.waitUntilParked(parkOrder.load(ordering: .relaxed)) }

  /// The thread's body.
  func serve() {
    SchedulingSlice.usual.apply()
    while let permission = gate.waitForPermission() {
      registers.withLock { run(&$0, permission) }
    }
  }

  private func run(_ registers: inout Registers, _ permission: VCPUGate.Permission) {
    let parameters = Parameters(memory)
    if index == 0, registers.counter == 0 { memoryStatus?.guestStarts() }
    let first = MonotonicClock.now()
    store(GuestABI.VCPU.resumeStamp, first)
    store(GuestABI.VCPU.started, 1)
    dirtyLog.note(page)
    feltPause.store(
      registers.lastStamp == 0 ? 0 : first &- registers.lastStamp, ordering: .relaxed)
    firstStamp.store(first, ordering: .releasing)
    board.noteFirstInstruction()

    var now = first
    var burstBegin = first
    while gate.isValid(permission) {
      do throws(SEVError) {
        try iterate(&registers, parameters, now)
      } catch {
        trouble.withLock { $0 = error }
        while gate.isValid(permission) { gate.sleep(permission, nanoseconds: 1_000_000_000) }
        break
      }
      now = MonotonicClock.now()
      if dutyPercent < 100 && now &- burstBegin >= Self.burstNanoseconds {
        gate.sleep(permission, nanoseconds: Self.rest(after: now &- burstBegin, dutyPercent: dutyPercent))
        now = MonotonicClock.now()
        burstBegin = now
      }
    }
    lastStamp.store(MonotonicClock.now(), ordering: .releasing)
  }

  /// A word of the header page that only software vCPUs know: how many pages they write in every pass; 0 is all.
  static let workingSetWord = 0x78

  /// How long a paced vCPU rests after a piece of work, both in nanoseconds.
  ///
  /// A piece that seems longer than ``longestBurstNanoseconds`` was none: the thread was kept from its processor, or
  /// its process was stopped for a while, and the guest would stand still for many times as long.
  static func rest(after burst: UInt64, dutyPercent: UInt64) -> UInt64 {
    min(burst, longestBurstNanoseconds) * (100 - dutyPercent) / dutyPercent
  }

  /// A paced vCPU works so long in one piece.
  private static let burstNanoseconds: UInt64 = 100_000
  /// No iteration takes longer, and what a burst is counted as at most.
  private static let longestBurstNanoseconds: UInt64 = 5_000_000

  /// What the header page says once and for all.
  private struct Parameters {
    let stride: Int
    let firstPage: Int
    let pageCount: UInt64
    let vcpuCount: UInt64
    let timerPeriod: UInt64
    /// Pages from this one on are written in the first pass only.
    let workingSet: UInt64

    init(_ memory: SharedMapping) {
      func header(_ word: Int) -> UInt64 { memory.load64(at: GuestABI.headerOffset + word) }
      stride = Int(truncatingIfNeeded: header(GuestABI.Header.pageStride))
      firstPage = Int(truncatingIfNeeded: header(GuestABI.Header.firstPage))
      pageCount = header(GuestABI.Header.pageCount)
      vcpuCount = header(GuestABI.Header.vcpuCount)
      timerPeriod = header(GuestABI.Header.timerPeriod)
      let pages = header(SoftwareVCPU.workingSetWord)
      workingSet = pages == 0 ? .max : pages
    }
  }

  @inline(__always)
  private func load(_ word: Int) -> UInt64 { memory.load64(at: page + word) }
  @inline(__always)
  private func store(_ word: Int, _ value: UInt64) { memory.store64(value, at: page + word) }
  private func increment(_ word: Int) { store(word, load(word) &+ 1) }

  private func iterate(
    _ registers: inout Registers, _ parameters: Parameters, _ now: UInt64
  ) throws(SEVError) {
    if registers.lastStamp != 0 {
      if now < registers.lastStamp {
        increment(GuestABI.VCPU.backwards)
      } else if now &- registers.lastStamp > load(GuestABI.VCPU.largestGap) {
        store(GuestABI.VCPU.largestGap, now &- registers.lastStamp)
        store(GuestABI.VCPU.gapBegin, registers.lastStamp)
        store(GuestABI.VCPU.gapEnd, now)
      }
    }
    registers.lastStamp = now
    store(GuestABI.VCPU.lastStamp, now)

    if load(GuestABI.VCPU.counter) != registers.counter
      || load(GuestABI.VCPU.cursor) != registers.cursor
      || load(GuestABI.VCPU.generation) != registers.generation
    {
      increment(GuestABI.VCPU.mismatches)
    }
    registers.counter &+= 1
    store(GuestABI.VCPU.counter, registers.counter)

    if registers.timerDeadline == 0 { registers.timerDeadline = now &+ parameters.timerPeriod }
    if now >= registers.timerDeadline {
      increment(GuestABI.VCPU.timerTicks)
      registers.timerDeadline = now &+ parameters.timerPeriod
    }

    try testPage(registers, parameters)
    registers.cursor &+= parameters.vcpuCount
    if registers.cursor >= parameters.pageCount {
      registers.cursor = UInt64(index)
      registers.generation &+= 1
      store(GuestABI.VCPU.generation, registers.generation)
    }
    store(GuestABI.VCPU.cursor, registers.cursor)

    if index == 0 { board.iterate(now: now, clockOffset: registers.clockOffset) }
    // After everything that was written to it.
    dirtyLog.note(page)
  }

  /// Checks that the page holds exactly what the pass before wrote, then writes this pass.
  private func testPage(_ registers: Registers, _ parameters: Parameters) throws(SEVError) {
    let offset = parameters.firstPage + Int(registers.cursor) * parameters.stride
    let isRest = registers.cursor >= parameters.workingSet
    if registers.generation > 1 {
      count(try holds(registers.cursor, isRest ? 1 : registers.generation - 1, at: offset), offset)
    }
    if isRest, registers.generation > 1 {
      if let privateMemory, registers.cursor == UInt64(index) { try checkImage(privateMemory) }
      return
    }
    if let privateMemory {
      if registers.cursor == UInt64(index) { try checkImage(privateMemory) }
      try privateMemory.write(TestPage.bytes(index: registers.cursor, registers.generation), at: offset)
    } else {
      TestPage.fill(memory, at: offset, index: registers.cursor, registers.generation)
    }
    dirtyLog.note(offset)
    increment(GuestABI.VCPU.pagesWritten)
  }

  private func holds(_ index: UInt64, _ generation: UInt64, at offset: Int) throws(SEVError) -> Bool {
    guard let privateMemory else { return TestPage.matches(memory, at: offset, index: index, generation) }
    return try privateMemory.read(at: offset, count: GuestABI.pageBytes)
      == TestPage.bytes(index: index, generation)
  }

  /// Once in a pass: what was encrypted at launch is what was launched.
  private func checkImage(_ privateMemory: PrivateMemory) throws(SEVError) {
    let image = GuestImage.bytes
    let found = try privateMemory.read(at: GuestABI.imageOffset, count: image.count)
    count(found == image, GuestABI.imageOffset)
  }

  private func count(_ isRight: Bool, _ offset: Int) {
    if isRight {
      increment(GuestABI.VCPU.pagesChecked)
    } else {
      if load(GuestABI.VCPU.pageErrors) == 0 { store(GuestABI.VCPU.firstBadPage, UInt64(offset)) }
      increment(GuestABI.VCPU.pageErrors)
    }
  }
}
