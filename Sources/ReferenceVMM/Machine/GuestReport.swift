import GuestImage
public import LinuxOS

/// What the guest says about itself, read from its RAM. Valid in any process that maps the RAM, also
/// while the guest runs (each number is then a little older or newer than the next).
public struct GuestReport: Hashable, Sendable {
  public struct VCPU: Hashable, Sendable {
    public var started: Bool
    /// Iterations; never goes back.
    public var counter: UInt64
    /// Pass over its share of the pages, from 1.
    public var generation: UInt64
    public var pagesWritten: UInt64
    public var pagesChecked: UInt64
    public var pageErrors: UInt64
    /// RAM offset of the first wrong page, when there is one.
    public var firstBadPage: UInt64
    /// The guest's own clock at its last iteration, in nanoseconds.
    public var lastStampNanoseconds: UInt64
    /// Largest distance between two of its iterations in nanoseconds: the pause as it felt it.
    public var largestGapNanoseconds: UInt64
    public var gapBeginNanoseconds: UInt64
    public var gapEndNanoseconds: UInt64
    public var timerTicks: UInt64
    /// How often registers and memory did not belong together.
    public var mismatches: UInt64
    /// How often its clock went backwards.
    public var backwards: UInt64
    /// Software vCPUs: `CLOCK_MONOTONIC` at the first iteration since the last start or restore.
    public var resumeStampNanoseconds: UInt64
  }

  public var ramBytes: UInt64
  public var vcpus: [VCPU]
  /// Test pages of one pass.
  public var pageCount: UInt64
  /// Number of the next console line.
  public var consoleSequence: UInt64
  /// Number of the next disk write (the first has number 1).
  public var diskSequence: UInt64
  /// Interrupts of the PIT (KVM).
  public var boardTicks: UInt64
  /// Exceptions in the guest.
  public var faults: UInt64
  /// Comparisons of the guest's clock (kvmclock) with its TSC.
  public var clockSamples: UInt64
  /// Nanoseconds by which the clock is behind, now, and the largest distance ever.
  public var clockLagNanoseconds: Int64
  public var largestClockLagNanoseconds: UInt64
  public var clockBackwards: UInt64

  /// Sum over the vCPUs.
  public var counter: UInt64 { vcpus.reduce(0) { $0 &+ $1.counter } }
  public var pagesWritten: UInt64 { vcpus.reduce(0) { $0 &+ $1.pagesWritten } }
  public var pagesChecked: UInt64 { vcpus.reduce(0) { $0 &+ $1.pagesChecked } }
  public var pageErrors: UInt64 { vcpus.reduce(0) { $0 &+ $1.pageErrors } }
  public var timerTicks: UInt64 { vcpus.reduce(0) { $0 &+ $1.timerTicks } }
  /// The largest gap that any vCPU felt, in nanoseconds.
  public var largestGapNanoseconds: UInt64 { vcpus.map(\.largestGapNanoseconds).max() ?? 0 }

  /// Everything that is wrong with the guest, as sentences; empty when it noticed nothing but pauses.
  public var problems: [String] {
    var found: [String] = []
    for (index, vcpu) in vcpus.enumerated() {
      if vcpu.pageErrors > 0 {
        found.append(
          "vCPU \(index) found \(vcpu.pageErrors) wrong pages, the first at RAM offset "
            + "0x\(String(vcpu.firstBadPage, radix: 16))")
      }
      if vcpu.mismatches > 0 {
        found.append("vCPU \(index) had registers that did not fit its memory \(vcpu.mismatches) times")
      }
      if vcpu.backwards > 0 {
        found.append("vCPU \(index) saw its clock go backwards \(vcpu.backwards) times")
      }
    }
    if faults > 0 { found.append("the guest ran into \(faults) exceptions") }
    if clockBackwards > 0 { found.append("kvmclock went backwards \(clockBackwards) times") }
    return found
  }

  /// Reads the report of the guest in `memory`.
  public init(reading memory: SharedMapping) throws(MachineError) {
    typealias Header = GuestABI.Header
    func header(_ word: Int) -> UInt64 { memory.load64(at: GuestABI.headerOffset + word) }
    guard memory.byteCount >= MachineConfiguration.minimumRAMBytes else {
      throw .unusableConfiguration("\(memory.byteCount) bytes are too few for a guest")
    }
    let magic = header(Header.magic)
    guard magic == GuestABI.magic else { throw .noGuestInRAM(found: magic) }
    let count = header(Header.vcpuCount)
    guard count >= 1 && count <= UInt64(GuestABI.maximumVCPUs) else {
      throw .state(.implausible("the guest says that it has \(count) vCPUs"))
    }
    let kilohertz = header(Header.tickKilohertz)
    guard kilohertz > 0 else { throw .state(.implausible("the guest's clock has 0 kHz")) }
    func nanoseconds(_ ticks: UInt64) -> UInt64 {
      if kilohertz == 1_000_000 { return ticks }
      let (high, low) = ticks.multipliedFullWidth(by: 1_000_000)
      return high >= kilohertz ? .max : kilohertz.dividingFullWidth((high, low)).quotient
    }

    ramBytes = header(Header.ramBytes)
    pageCount = header(Header.pageCount)
    consoleSequence = header(Header.consoleSequence)
    diskSequence = header(Header.diskSequence)
    boardTicks = header(Header.boardTicks)
    faults = header(Header.fault)
    clockSamples = header(Header.clockSamples)
    clockLagNanoseconds = Int64(bitPattern: header(Header.clockLag))
    largestClockLagNanoseconds = header(Header.clockLargestLag)
    clockBackwards = header(Header.clockBackwards)
    vcpus = (0..<Int(count)).map { index in
      typealias Word = GuestABI.VCPU
      let page = GuestABI.vcpuPagesOffset + index * GuestABI.pageBytes
      func word(_ offset: Int) -> UInt64 { memory.load64(at: page + offset) }
      return VCPU(
        started: word(Word.started) != 0, counter: word(Word.counter),
        generation: word(Word.generation), pagesWritten: word(Word.pagesWritten),
        pagesChecked: word(Word.pagesChecked), pageErrors: word(Word.pageErrors),
        firstBadPage: word(Word.firstBadPage),
        lastStampNanoseconds: nanoseconds(word(Word.lastStamp)),
        largestGapNanoseconds: nanoseconds(word(Word.largestGap)),
        gapBeginNanoseconds: nanoseconds(word(Word.gapBegin)),
        gapEndNanoseconds: nanoseconds(word(Word.gapEnd)), timerTicks: word(Word.timerTicks),
        mismatches: word(Word.mismatches), backwards: word(Word.backwards),
        resumeStampNanoseconds: word(Word.resumeStamp))
    }
  }
}
