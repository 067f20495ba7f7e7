import GuestImage
import LinuxOS

/// Puts the guest into fresh RAM: header, image, page tables. Used once in a guest's life.
enum GuestLoader {
  /// Loads the guest.
  ///
  /// - Parameter tickKilohertz: Ticks of the guest's stamps in a millisecond.
  static func load(
    into memory: SharedMapping, _ configuration: MachineConfiguration, kind: MachineKind,
    tickKilohertz: UInt64, hasDisk: Bool, hasKVMClock: Bool
  ) {
    let ram = configuration.ramBytes
    let available = (ram - GuestABI.firstTestPageOffset) / GuestABI.pageBytes
    let pages: Int
    let stride: Int
    switch kind {
    case .software:
      pages = available
      stride = GuestABI.pageBytes
    case .kvm:
      pages = configuration.kvmTestPages
      stride = available / pages * GuestABI.pageBytes
    }

    func ticks(_ nanoseconds: UInt64) -> UInt64 {
      let (high, low) = nanoseconds.multipliedFullWidth(by: tickKilohertz)
      return high >= 1_000_000 ? .max : UInt64(1_000_000).dividingFullWidth((high, low)).quotient
    }

    func set(_ word: Int, _ value: UInt64) {
      memory.store64(value, at: GuestABI.headerOffset + word)
    }
    typealias Header = GuestABI.Header
    set(Header.version, GuestABI.version)
    set(Header.ramBytes, UInt64(ram))
    set(Header.vcpuCount, UInt64(configuration.vcpuCount))
    set(Header.tickKilohertz, tickKilohertz)
    set(Header.firstPage, UInt64(GuestABI.firstTestPageOffset))
    set(Header.pageStride, UInt64(stride))
    set(Header.pageCount, UInt64(pages))
    set(Header.lowBytes, UInt64(GuestABI.lowBytes))
    set(Header.holeBytes, UInt64(GuestABI.holeBytes))
    set(Header.consoleInterval, ticks(configuration.consoleIntervalNanoseconds))
    set(Header.diskInterval, hasDisk ? max(1, ticks(configuration.diskIntervalNanoseconds)) : 0)
    set(Header.timerPeriod, configuration.timerPeriodNanoseconds)
    set(Header.pacing, configuration.dutyPercent < 100 ? UInt64(configuration.dutyPercent) : 0)
    set(Header.hasKVMClock, hasKVMClock ? 1 : 0)
    set(Header.diskSequence, 1)
    if kind == .software, let bytes = configuration.workingSetBytes {
      set(SoftwareVCPU.workingSetWord, UInt64(max(1, bytes / GuestABI.pageBytes)))
    }
    memory.write(
      GuestABI.consoleLine(0), at: GuestABI.headerOffset + Header.consoleLine)
    for vcpu in 0..<configuration.vcpuCount {
      let page = GuestABI.vcpuPagesOffset + vcpu * GuestABI.pageBytes
      memory.store64(UInt64(vcpu), at: page + GuestABI.VCPU.index)
      memory.store64(UInt64(vcpu), at: page + GuestABI.VCPU.cursor)
      memory.store64(1, at: page + GuestABI.VCPU.generation)
    }
    memory.write(GuestImage.bytes, at: GuestABI.imageOffset)
    writePageTables(memory, ramBytes: ram)
    // The magic comes last: a header without it is no guest.
    set(Header.magic, GuestABI.magic)
  }

  /// Identity page tables of 2 MiB pages over RAM, the hole for devices included.
  private static func writePageTables(_ memory: SharedMapping, ramBytes: Int) {
    let present: UInt64 = 1
    let writable: UInt64 = 2
    let uncached: UInt64 = 0x18
    let large: UInt64 = 0x80
    let level4 = GuestABI.pageTablesOffset
    let level3 = level4 + GuestABI.pageBytes
    let level2 = level3 + GuestABI.pageBytes
    let gibibyte = 1 << 30
    let top =
      ramBytes > GuestABI.lowBytes ? ramBytes + GuestABI.holeBytes : GuestABI.lowBytes + gibibyte
    let tables = (top + gibibyte - 1) / gibibyte
    memory.store64(UInt64(level3) | writable | present, at: level4)
    for table in 0..<tables {
      let offset = level2 + table * GuestABI.pageBytes
      memory.store64(UInt64(offset) | writable | present, at: level3 + table * 8)
      for entry in 0..<512 {
        let address = table * gibibyte + entry * (2 << 20)
        let isDevice = address >= GuestABI.lowBytes && address < GuestABI.lowBytes + GuestABI.holeBytes
        memory.store64(
          UInt64(address) | large | writable | present | (isDevice ? uncached : 0),
          at: offset + entry * 8)
      }
    }
  }

  /// Refuses RAM that holds no guest of this layout, or one of another size.
  static func check(
    _ memory: SharedMapping, _ configuration: MachineConfiguration
  ) throws(MachineError) {
    let header = GuestABI.headerOffset
    let magic = memory.load64(at: header + GuestABI.Header.magic)
    guard magic == GuestABI.magic else { throw .noGuestInRAM(found: magic) }
    let version = memory.load64(at: header + GuestABI.Header.version)
    guard version == GuestABI.version else {
      throw .state(.implausible("the guest has ABI \(version), this VMM has \(GuestABI.version)"))
    }
    let ram = memory.load64(at: header + GuestABI.Header.ramBytes)
    guard ram == UInt64(configuration.ramBytes) else {
      throw .state(.wrongRAMSize(state: ram, machine: configuration.ramBytes))
    }
    let vcpus = memory.load64(at: header + GuestABI.Header.vcpuCount)
    guard vcpus == UInt64(configuration.vcpuCount) else {
      throw .state(
        .wrongVCPUCount(state: Int(truncatingIfNeeded: vcpus), machine: configuration.vcpuCount))
    }
  }
}
