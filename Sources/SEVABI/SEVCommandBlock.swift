/// `struct kvm_sev_cmd`: what the argument of `KVM_MEMORY_ENCRYPT_OP` points at, 24 bytes.
public struct SEVCommandBlock: KernelStructure {
  public static let byteCount = 24

  /// The command's number as the caller gave it, which need not be a known one.
  public var id: UInt32
  /// The user address of the command's own struct, or 0.
  public var data: UInt64
  /// Out: the firmware's status. Keeps the caller's value when the firmware was not called.
  public var error: UInt32
  /// In: the number of an open `/dev/sev`; only LAUNCH_START and RECEIVE_START read it.
  public var firmwareDescriptor: Int32

  public init(id: UInt32, data: UInt64 = 0, error: UInt32 = 0, firmwareDescriptor: Int32 = 0) {
    self.id = id
    self.data = data
    self.error = error
    self.firmwareDescriptor = firmwareDescriptor
  }

  public init(decoding bytes: Span<UInt8>) {
    id = bytes.uint32(at: 0)
    data = bytes.uint64(at: 8)
    error = bytes.uint32(at: 16)
    firmwareDescriptor = Int32(bitPattern: bytes.uint32(at: 20))
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    clear(&bytes, count: Self.byteCount)
    bytes.store(id, at: 0)
    bytes.store(data, at: 8)
    bytes.store(error, at: 16)
    bytes.store(UInt32(bitPattern: firmwareDescriptor), at: 20)
  }
}
