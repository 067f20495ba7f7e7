import GuestImage

/// What a machine is made of; source and successor use the same one.
public struct MachineConfiguration: Hashable, Sendable {
  /// Guest RAM in bytes, a multiple of 2 MiB, at least 16 MiB.
  public var ramBytes: Int
  public var vcpuCount: Int
  /// Software vCPUs: how much of the time each one works, 1 to 100 percent. Under KVM anything
  /// below 100 makes the guest halt until the next timer tick after each iteration.
  public var dutyPercent: Int
  /// Nanoseconds between two console lines.
  public var consoleIntervalNanoseconds: UInt64
  /// Nanoseconds between two disk writes, when there is a disk.
  public var diskIntervalNanoseconds: UInt64
  /// Nanoseconds between two timer interrupts.
  public var timerPeriodNanoseconds: UInt64
  /// KVM: how many test pages are spread over all RAM. Software vCPUs test every page.
  public var kvmTestPages: Int
  /// Software vCPUs: they write only so many bytes of their test pages again and again, the others once, and check
  /// all; nil for all.
  public var workingSetBytes: Int?

  public init(
    ramBytes: Int, vcpuCount: Int, dutyPercent: Int = 100,
    consoleIntervalNanoseconds: UInt64 = 5_000_000,
    diskIntervalNanoseconds: UInt64 = 50_000_000,
    timerPeriodNanoseconds: UInt64 = 10_000_000,
    kvmTestPages: Int = 2048
  ) {
    self.ramBytes = ramBytes
    self.vcpuCount = vcpuCount
    self.dutyPercent = dutyPercent
    self.consoleIntervalNanoseconds = consoleIntervalNanoseconds
    self.diskIntervalNanoseconds = diskIntervalNanoseconds
    self.timerPeriodNanoseconds = timerPeriodNanoseconds
    self.kvmTestPages = kvmTestPages
  }

  /// The smallest guest RAM in bytes.
  public static let minimumRAMBytes = 16 << 20
  /// The largest guest RAM in bytes: what the page tables have room for.
  public static let maximumRAMBytes = 60 << 30
  /// Guest RAM in bytes is a multiple of this.
  public static let ramGranuleBytes = 2 << 20

  /// Checks every limit, before anything is made.
  func validate(mappedBytes: Int) throws(MachineError) {
    if ramBytes < Self.minimumRAMBytes || ramBytes % Self.ramGranuleBytes != 0 {
      throw .unusableConfiguration(
        "guest RAM of \(ramBytes) bytes is not a multiple of 2 MiB of at least 16 MiB")
    }
    if ramBytes > Self.maximumRAMBytes {
      throw .unusableConfiguration(
        "guest RAM of \(ramBytes) bytes is above the 60 GiB that the page tables have room for")
    }
    if mappedBytes < ramBytes {
      throw .unusableConfiguration(
        "guest RAM of \(ramBytes) bytes does not fit the mapping of \(mappedBytes) bytes")
    }
    if !(1...GuestABI.maximumVCPUs).contains(vcpuCount) {
      throw .unusableConfiguration(
        "\(vcpuCount) vCPUs are not between 1 and \(GuestABI.maximumVCPUs)")
    }
    if !(1...100).contains(dutyPercent) {
      throw .unusableConfiguration("a duty of \(dutyPercent) percent is not between 1 and 100")
    }
    if timerPeriodNanoseconds == 0 || timerPeriodNanoseconds > 4_000_000_000 {
      throw .unusableConfiguration(
        "a timer period of \(timerPeriodNanoseconds) ns is not between 1 ns and 4 s")
    }
    let available = (ramBytes - GuestABI.firstTestPageOffset) / GuestABI.pageBytes
    if kvmTestPages < vcpuCount || kvmTestPages > available {
      throw .unusableConfiguration(
        "\(kvmTestPages) test pages are not between \(vcpuCount) and \(available)")
    }
  }
}
