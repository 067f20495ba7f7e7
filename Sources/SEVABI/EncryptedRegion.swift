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
