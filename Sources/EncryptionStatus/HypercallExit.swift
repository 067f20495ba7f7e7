import SEVABI

/// Pages whose encryption a guest changes.
public struct PageRange: Hashable, Sendable {
  /// What the guest would like to have mapped. A hint: the pages are always counted in 4 KiB.
  public enum Size: UInt64, CaseIterable, Hashable, Sendable {
    case fourKilobytes = 0
    case twoMegabytes = 1
    case oneGigabyte = 2
  }

  public let frames: Range<UInt64>
  /// Private from now on; otherwise shared.
  public let isEncrypted: Bool
  public let size: Size

  public init(frames: Range<UInt64>, isEncrypted: Bool, size: Size) {
    self.frames = frames
    self.isEncrypted = isEncrypted
    self.size = size
  }
}

/// A guest's hypercall, as a vCPU left it to the VMM: on KVM with KVM_EXIT_HYPERCALL, in a software vCPU as it is.
public struct HypercallExit: Hashable, Sendable {
  /// What a hypercall comes to.
  public enum Decision: Hashable, Sendable {
    /// The guest goes on with this in RAX, and nothing has changed.
    case returns(Int64)
    /// These pages become shared or private; then the guest goes on with 0 in RAX.
    case map(PageRange)
  }

  /// What a guest finds in RAX (`linux/kvm_para.h`).
  public enum Result {
    public static let done: Int64 = 0
    /// `-KVM_EPERM`: not from the kernel of the guest.
    public static let notPermitted: Int64 = -1
    /// `-KVM_E2BIG`: more than the VMM can keep.
    public static let tooMuch: Int64 = -7
    /// `-KVM_EINVAL`.
    public static let invalid: Int64 = -22
    /// `-KVM_ENOSYS`.
    public static let unknown: Int64 = -1000
  }

  private static let pageShift: UInt64 = 12
  /// In the third argument: the page size.
  private static let sizeMask: UInt64 = 0xF

  public let number: UInt64
  /// For `KVM_HC_MAP_GPA_RANGE`: guest-physical address, number of 4 KiB pages, attributes.
  public let arguments: [UInt64]
  /// The guest's current privilege level. KVM checks it before it leaves the guest.
  public let privilege: UInt8

  public init(number: UInt64, arguments: [UInt64], privilege: UInt8 = 0) {
    self.number = number
    self.arguments = arguments
    self.privilege = privilege
  }

  /// Decides in KVM's order: privilege, number, address and count. KVM passes any attributes on; those that mean
  /// nothing (page sizes above 1 GiB, bits 5 and up) are refused here.
  ///
  /// - Parameter isOffered: Whether this guest was offered the hypercall (CPUID and KVM_CAP_EXIT_HYPERCALL).
  public func decision(isOffered: Bool) -> Decision {
    guard privilege == 0 else { return .returns(Result.notPermitted) }
    guard isOffered, number == PageStatus.hypercall, arguments.count >= 3 else {
      return .returns(Result.unknown)
    }
    let (address, count, attributes) = (arguments[0], arguments[1], arguments[2])
    let first = address >> Self.pageShift
    let (end, overflows) = first.addingReportingOverflow(count)
    guard address & (1 << Self.pageShift - 1) == 0, count > 0, !overflows, end <= SharedRegions.frameLimit,
      attributes & ~(Self.sizeMask | PageStatus.encryptedAttribute) == 0,
      let size = PageRange.Size(rawValue: attributes & Self.sizeMask)
    else { return .returns(Result.invalid) }
    return .map(
      PageRange(
        frames: first..<end, isEncrypted: attributes & PageStatus.encryptedAttribute != 0, size: size))
  }
}
