/// `struct kvm_sev_init`: the argument of mainline's `KVM_SEV_INIT2` (6.10 and later), 48 bytes.
///
/// On a mainline kernel with a typed VM, command 22 reads these 48 bytes where the local-migration patches
/// have 8.
public struct Initialize2Parameters: KernelStructure {
  public static let byteCount = 48

  /// SEV features of the VMSA; only SEV-ES guests may have any.
  public var vmsaFeatures: UInt64
  /// None is defined.
  public var flags: UInt32
  /// 0 leaves the choice to KVM (2); only SEV-ES guests may choose.
  public var ghcbVersion: UInt16

  public init(vmsaFeatures: UInt64 = 0, flags: UInt32 = 0, ghcbVersion: UInt16 = 0) {
    self.vmsaFeatures = vmsaFeatures
    self.flags = flags
    self.ghcbVersion = ghcbVersion
  }

  public init(decoding bytes: Span<UInt8>) {
    vmsaFeatures = bytes.uint64(at: 0)
    flags = bytes.uint32(at: 8)
    ghcbVersion = UInt16(truncatingIfNeeded: bytes.uint32(at: 12))
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    clear(&bytes, count: Self.byteCount)
    bytes.store(vmsaFeatures, at: 0)
    bytes.store(flags, at: 8)
    bytes.store(ghcbVersion, at: 12)
  }
}
