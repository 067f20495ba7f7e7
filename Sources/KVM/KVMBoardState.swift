/// State of a VM that belongs to no vCPU: interrupt controllers, PIT and clock.
public struct KVMBoardState: Hashable, Sendable {
  enum Size {
    static let irqchip = 520
    static let pit = 112
    static let clock = 48
  }
  /// PIC master, PIC slave, IOAPIC.
  static let irqchipCount = 3

  /// `struct kvm_clock_data`: clock in nanoseconds, flags, padding, real time, host TSC.
  public internal(set) var clock: [UInt8]
  /// `struct kvm_irqchip` of each chip.
  public internal(set) var irqchips: [[UInt8]]
  /// `struct kvm_pit_state2`.
  public internal(set) var pit: [UInt8]

  public func encoded() -> [UInt8] {
    clock + irqchips.flatMap { $0 } + pit
  }

  public init(decoding bytes: [UInt8]) throws(KVMStateError) {
    var reader = KVMStateReader(bytes)
    clock = try reader.take(Size.clock)
    irqchips = []
    for chip in 0..<Self.irqchipCount {
      let state = try reader.take(Size.irqchip)
      guard state.integer(at: 0, as: UInt32.self) == UInt32(chip) else {
        throw .malformed("interrupt controller \(chip) says that it is another one")
      }
      irqchips.append(state)
    }
    pit = try reader.take(Size.pit)
    try reader.finish()
  }

  init(clock: [UInt8], irqchips: [[UInt8]], pit: [UInt8]) {
    self.clock = clock
    self.irqchips = irqchips
    self.pit = pit
  }

  /// Flags of `struct kvm_clock_data`.
  enum ClockFlag {
    static let realtime: UInt32 = 4
  }

  /// What `KVM_SET_CLOCK` is given: the clock, moved on by the real time that has passed since it was
  /// read, where the host told the real time.
  var clockToSet: [UInt8] {
    var bytes = clock
    let flags = clock.integer(at: 8, as: UInt32.self)
    bytes.setInteger(flags & ClockFlag.realtime, at: 8)
    return bytes
  }

  /// Whether the clock goes on by real time and loses nothing.
  public var clockFollowsRealTime: Bool {
    clock.integer(at: 8, as: UInt32.self) & ClockFlag.realtime != 0
  }
}
