import SEVABI

/// Which part of a vCPU's state, with the size of the struct that KVM has for it.
public enum VCPUState: UInt32, CaseIterable, Hashable, Sendable {
  /// `struct kvm_regs`.
  case registers = 1
  /// `struct kvm_sregs`.
  case specialRegisters = 2
  /// `struct kvm_sregs2`.
  case specialRegisters2 = 3
  /// `struct kvm_debugregs`.
  case debugRegisters = 4
  /// `struct kvm_guest_debug`, which can only be set.
  case guestDebug = 5

  public var byteCount: Int {
    switch self {
    case .registers: 144
    case .specialRegisters: 312
    case .specialRegisters2: 320
    case .debugRegisters: 128
    case .guestDebug: 72
    }
  }
}

/// The registers of a vCPU as a VMM sets and gets them, in the kernel's structs.
struct RegisterFile: Hashable, Sendable {
  /// Where the fields are that the two special-register structs share.
  private static let sharedByteCount = 280
  private static let dr7Offset = 40
  /// The bit of DR7 that is always set.
  private static let dr7Fixed: UInt64 = 0x400

  private(set) var registers: [UInt8]
  private(set) var specialRegisters: [UInt8]
  private(set) var debugRegisters: [UInt8]
  private(set) var guestDebug: [UInt8]

  /// The state after reset.
  init() {
    registers = [UInt8](repeating: 0, count: VCPUState.registers.byteCount)
    specialRegisters = [UInt8](repeating: 0, count: VCPUState.specialRegisters.byteCount)
    debugRegisters = [UInt8](repeating: 0, count: VCPUState.debugRegisters.byteCount)
    guestDebug = [UInt8](repeating: 0, count: VCPUState.guestDebug.byteCount)
    var span = registers.mutableSpan
    span.store(0x600 as UInt64, at: 24)
    span.store(0xFFF0 as UInt64, at: 128)
    span.store(0x2 as UInt64, at: 136)
    var special = specialRegisters.mutableSpan
    Segment(base: 0xFFFF_0000, selector: 0xF000, type: 0xB).store(into: &special, at: Segment.code)
    for offset in Segment.data { Segment(base: 0, selector: 0, type: 3).store(into: &special, at: offset) }
    Segment(base: 0, selector: 0, type: 0xB, isSystem: true).store(into: &special, at: Segment.task)
    Segment(base: 0, selector: 0, type: 2, isSystem: true).store(into: &special, at: Segment.local)
    special.store(0xFFFF as UInt16, at: 200)
    special.store(0xFFFF as UInt16, at: 216)
    special.store(0x6000_0010 as UInt64, at: 224)
    special.store(0xFEE0_0900 as UInt64, at: 272)
    var debug = debugRegisters.mutableSpan
    debug.store(0xFFFF_0FF0 as UInt64, at: 32)
    debug.store(Self.dr7Fixed, at: Self.dr7Offset)
  }

  /// A segment register after reset, in the layout of `struct kvm_segment` (24 bytes).
  private struct Segment {
    static let code = 0
    /// DS, ES, FS, GS and SS.
    static let data = [24, 48, 72, 96, 120]
    static let task = 144
    static let local = 168

    let base: UInt64
    let selector: UInt16
    let type: UInt8
    var isSystem = false

    func store(into bytes: inout MutableSpan<UInt8>, at offset: Int) {
      bytes.store(base, at: offset)
      bytes.store(0xFFFF as UInt32, at: offset + 8)
      bytes.store(selector, at: offset + 12)
      bytes[offset + 14] = type
      bytes[offset + 15] = 1
      bytes[offset + 18] = isSystem ? 0 : 1
    }
  }

  /// Whether the VMM debugs the guest, or the guest has breakpoints: then the registers cannot be encrypted.
  var isDebugged: Bool {
    guestDebug.span.uint32(at: 0) & 1 != 0
      || debugRegisters.span.uint64(at: Self.dr7Offset) & ~Self.dr7Fixed != 0
  }

  subscript(state: VCPUState) -> [UInt8] {
    get {
      switch state {
      case .registers: registers
      case .specialRegisters: specialRegisters
      case .specialRegisters2:
        specialRegisters[..<Self.sharedByteCount]
          + [UInt8](repeating: 0, count: VCPUState.specialRegisters2.byteCount - Self.sharedByteCount)
      case .debugRegisters: debugRegisters
      case .guestDebug: guestDebug
      }
    }
    set {
      switch state {
      case .registers: registers = newValue
      case .specialRegisters: specialRegisters = newValue
      case .specialRegisters2:
        specialRegisters.replaceSubrange(..<Self.sharedByteCount, with: newValue[..<Self.sharedByteCount])
      case .debugRegisters: debugRegisters = newValue
      case .guestDebug: guestDebug = newValue
      }
    }
  }
}
