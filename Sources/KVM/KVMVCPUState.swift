/// Everything that KVM knows about one vCPU, as the structures of its interface, byte for byte.
public struct KVMVCPUState: Hashable, Sendable {
  /// Sizes of the structures in bytes (`arch/x86/include/uapi/asm/kvm.h`).
  enum Size {
    static let mpState = 4
    static let regs = 144
    static let sregs = 312
    static let xsave = 4096
    static let xcrs = 392
    static let debugRegs = 128
    static let lapic = 1024
    static let events = 64
    /// No host has a larger XSAVE area than this.
    static let maximumXSAVE = 1 << 16
    static let maximumMSRs = 1024
  }

  /// One model-specific register.
  public struct MSR: Hashable, Sendable {
    public var index: UInt32
    public var value: UInt64

    static let timestampCounter: UInt32 = 0x10
    static let deadline: UInt32 = 0x6E0
    /// Registers that show KVM a place in guest memory to write to: wall clock and kvmclock (old and
    /// new numbers), asynchronous page faults, steal time, end of interrupt. Setting kvmclock's was
    /// seen to write there at once, not only when the guest is entered.
    static let pointingIntoMemory: Set<UInt32> = [
      0x11, 0x12, 0x4B56_4D00, 0x4B56_4D01, 0x4B56_4D02, 0x4B56_4D03, 0x4B56_4D04,
    ]
  }

  public internal(set) var mpState: [UInt8]
  public internal(set) var regs: [UInt8]
  public internal(set) var sregs: [UInt8]
  public internal(set) var xsave: [UInt8]
  public internal(set) var xcrs: [UInt8]
  public internal(set) var debugRegs: [UInt8]
  public internal(set) var lapic: [UInt8]
  /// 0 when the host does not tell.
  public internal(set) var tscKilohertz: UInt32
  /// `struct kvm_cpuid2`.
  public internal(set) var cpuid: [UInt8]
  public internal(set) var msrs: [MSR]
  public internal(set) var events: [UInt8]
  /// What KVM adds to the host's TSC; nil where the host has no such attribute.
  public internal(set) var tscOffset: UInt64?

  public func encoded() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(16_384)
    for part in [mpState, regs, sregs, xcrs, debugRegs, lapic, events] { bytes.append(contentsOf: part) }
    bytes.appendInteger(tscKilohertz)
    bytes.appendInteger(UInt32(tscOffset == nil ? 0 : 1))
    bytes.appendInteger(tscOffset ?? 0)
    bytes.appendSized(xsave)
    bytes.appendSized(cpuid)
    bytes.appendInteger(UInt32(msrs.count))
    for msr in msrs {
      bytes.appendInteger(msr.index)
      bytes.appendInteger(msr.value)
    }
    return bytes
  }

  /// Reads what ``encoded()`` wrote and refuses what no kernel could take.
  public init(decoding bytes: [UInt8]) throws(KVMStateError) {
    var reader = KVMStateReader(bytes)
    mpState = try reader.take(Size.mpState)
    regs = try reader.take(Size.regs)
    sregs = try reader.take(Size.sregs)
    xcrs = try reader.take(Size.xcrs)
    debugRegs = try reader.take(Size.debugRegs)
    lapic = try reader.take(Size.lapic)
    events = try reader.take(Size.events)
    tscKilohertz = try reader.takeInteger(UInt32.self)
    let hasOffset = try reader.takeInteger(UInt32.self)
    let offset = try reader.takeInteger(UInt64.self)
    switch hasOffset {
    case 0: tscOffset = nil
    case 1: tscOffset = offset
    default: throw .malformed("the TSC offset is there \(hasOffset) times")
    }
    xsave = try reader.takeSized(atMost: Size.maximumXSAVE)
    guard xsave.count >= Size.xsave else {
      throw .malformed("the XSAVE area has \(xsave.count) bytes")
    }
    cpuid = try reader.takeSized(
      atMost: CPUIDTable.headerBytes + CPUIDTable.maximumEntries * CPUIDTable.entryBytes)
    guard CPUIDTable.isWellFormed(cpuid) else { throw .malformed("the CPUID table is broken") }
    let count = Int(try reader.takeInteger(UInt32.self))
    guard count <= Size.maximumMSRs else { throw .malformed("it has \(count) MSRs") }
    msrs = []
    for _ in 0..<count {
      msrs.append(
        MSR(index: try reader.takeInteger(UInt32.self), value: try reader.takeInteger(UInt64.self)))
    }
    try reader.finish()
  }

  init(
    mpState: [UInt8], regs: [UInt8], sregs: [UInt8], xsave: [UInt8], xcrs: [UInt8],
    debugRegs: [UInt8], lapic: [UInt8], tscKilohertz: UInt32, cpuid: [UInt8], msrs: [MSR],
    events: [UInt8]
  ) {
    self.mpState = mpState
    self.regs = regs
    self.sregs = sregs
    self.xsave = xsave
    self.xcrs = xcrs
    self.debugRegs = debugRegs
    self.lapic = lapic
    self.tscKilohertz = tscKilohertz
    self.cpuid = cpuid
    self.msrs = msrs
    self.events = events
  }
}
