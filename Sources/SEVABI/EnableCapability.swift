/// `struct kvm_enable_cap`, 104 bytes, of which the last 64 are padding.
public struct EnableCapability: KernelStructure {
  public static let byteCount = 104

  /// The number of a capability, which need not be a ``KernelCapability``.
  public var capability: UInt32
  /// None is defined on x86.
  public var flags: UInt32
  /// What it means depends on the capability: for a move or a mirror, the number of the source's descriptor.
  public var argument: UInt64

  public init(capability: UInt32, flags: UInt32 = 0, argument: UInt64) {
    self.capability = capability
    self.flags = flags
    self.argument = argument
  }

  public init(decoding bytes: Span<UInt8>) {
    capability = bytes.uint32(at: 0)
    flags = bytes.uint32(at: 4)
    argument = bytes.uint64(at: 8)
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    clear(&bytes, count: Self.byteCount)
    bytes.store(capability, at: 0)
    bytes.store(flags, at: 4)
    bytes.store(argument, at: 8)
  }
}
