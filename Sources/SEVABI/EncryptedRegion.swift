/// `struct kvm_enc_region`: memory that `KVM_MEMORY_ENCRYPT_REG_REGION` pins, 16 bytes.
///
/// A region is later unregistered with exactly the same address and size, also by a successor that has it
/// mapped elsewhere.
public struct EncryptedRegion: KernelStructure {
  public static let byteCount = 16

  /// The user address of the first byte.
  public var address: UInt64
  /// In bytes.
  public var size: UInt64

  public init(address: UInt64, size: UInt64) {
    self.address = address
    self.size = size
  }

  public init(decoding bytes: Span<UInt8>) {
    address = bytes.uint64(at: 0)
    size = bytes.uint64(at: 8)
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    clear(&bytes, count: Self.byteCount)
    bytes.store(address, at: 0)
    bytes.store(size, at: 8)
  }
}

/// `struct kvm_sev_init`: the argument of mainline's `KVM_SEV_INIT2` (6.10 and later), 48 bytes.
///
/// Here so that its size is on record: on a mainline kernel with a typed VM, command 22 reads 48 bytes
/// where the local-migration patches have 8.
public struct Initialize2Parameters: KernelStructure {
  public static let byteCount = 48

  public var vmsaFeatures: UInt64
  public var flags: UInt32
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
