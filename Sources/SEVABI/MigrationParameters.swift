/// `struct kvm_sev_launch_secret`, `kvm_sev_send_update_data` and `kvm_sev_receive_update_data`: three
/// buffers of one layout, 48 bytes.
public struct PacketParameters: KernelStructure {
  public static let byteCount = 48

  public var headerAddress: UInt64
  public var headerByteCount: UInt32
  public var guestAddress: UInt64
  public var guestByteCount: UInt32
  public var transportAddress: UInt64
  public var transportByteCount: UInt32

  public init(
    headerAddress: UInt64, headerByteCount: UInt32, guestAddress: UInt64, guestByteCount: UInt32,
    transportAddress: UInt64, transportByteCount: UInt32
  ) {
    self.headerAddress = headerAddress
    self.headerByteCount = headerByteCount
    self.guestAddress = guestAddress
    self.guestByteCount = guestByteCount
    self.transportAddress = transportAddress
    self.transportByteCount = transportByteCount
  }

  public init(decoding bytes: Span<UInt8>) {
    headerAddress = bytes.uint64(at: 0)
    headerByteCount = bytes.uint32(at: 8)
    guestAddress = bytes.uint64(at: 16)
    guestByteCount = bytes.uint32(at: 24)
    transportAddress = bytes.uint64(at: 32)
    transportByteCount = bytes.uint32(at: 40)
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    clear(&bytes, count: Self.byteCount)
    bytes.store(headerAddress, at: 0)
    bytes.store(headerByteCount, at: 8)
    bytes.store(guestAddress, at: 16)
    bytes.store(guestByteCount, at: 24)
    bytes.store(transportAddress, at: 32)
    bytes.store(transportByteCount, at: 40)
  }
}

/// `struct kvm_sev_send_start`, 72 bytes.
public struct SendStartParameters: KernelStructure {
  public static let byteCount = 72

  /// Out.
  public var policy: UInt32
  public var diffieHellmanAddress: UInt64
  public var diffieHellmanByteCount: UInt32
  public var platformCertificatesAddress: UInt64
  public var platformCertificatesByteCount: UInt32
  public var amdCertificatesAddress: UInt64
  public var amdCertificatesByteCount: UInt32
  public var sessionAddress: UInt64
  public var sessionByteCount: UInt32

  public init(
    policy: UInt32 = 0, diffieHellmanAddress: UInt64, diffieHellmanByteCount: UInt32,
    platformCertificatesAddress: UInt64, platformCertificatesByteCount: UInt32,
    amdCertificatesAddress: UInt64, amdCertificatesByteCount: UInt32, sessionAddress: UInt64,
    sessionByteCount: UInt32
  ) {
    self.policy = policy
    self.diffieHellmanAddress = diffieHellmanAddress
    self.diffieHellmanByteCount = diffieHellmanByteCount
    self.platformCertificatesAddress = platformCertificatesAddress
    self.platformCertificatesByteCount = platformCertificatesByteCount
    self.amdCertificatesAddress = amdCertificatesAddress
    self.amdCertificatesByteCount = amdCertificatesByteCount
    self.sessionAddress = sessionAddress
    self.sessionByteCount = sessionByteCount
  }

  public init(decoding bytes: Span<UInt8>) {
    policy = bytes.uint32(at: 0)
    diffieHellmanAddress = bytes.uint64(at: 8)
    diffieHellmanByteCount = bytes.uint32(at: 16)
    platformCertificatesAddress = bytes.uint64(at: 24)
    platformCertificatesByteCount = bytes.uint32(at: 32)
    amdCertificatesAddress = bytes.uint64(at: 40)
    amdCertificatesByteCount = bytes.uint32(at: 48)
    sessionAddress = bytes.uint64(at: 56)
    sessionByteCount = bytes.uint32(at: 64)
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    clear(&bytes, count: Self.byteCount)
    bytes.store(policy, at: 0)
    bytes.store(diffieHellmanAddress, at: 8)
    bytes.store(diffieHellmanByteCount, at: 16)
    bytes.store(platformCertificatesAddress, at: 24)
    bytes.store(platformCertificatesByteCount, at: 32)
    bytes.store(amdCertificatesAddress, at: 40)
    bytes.store(amdCertificatesByteCount, at: 48)
    bytes.store(sessionAddress, at: 56)
    bytes.store(sessionByteCount, at: 64)
  }
}

/// `struct kvm_sev_receive_start`, 40 bytes.
public struct ReceiveStartParameters: KernelStructure {
  public static let byteCount = 40

  public var handle: UInt32
  public var policy: UInt32
  public var diffieHellmanAddress: UInt64
  public var diffieHellmanByteCount: UInt32
  public var sessionAddress: UInt64
  public var sessionByteCount: UInt32

  public init(
    handle: UInt32 = 0, policy: UInt32, diffieHellmanAddress: UInt64, diffieHellmanByteCount: UInt32,
    sessionAddress: UInt64, sessionByteCount: UInt32
  ) {
    self.handle = handle
    self.policy = policy
    self.diffieHellmanAddress = diffieHellmanAddress
    self.diffieHellmanByteCount = diffieHellmanByteCount
    self.sessionAddress = sessionAddress
    self.sessionByteCount = sessionByteCount
  }

  public init(decoding bytes: Span<UInt8>) {
    handle = bytes.uint32(at: 0)
    policy = bytes.uint32(at: 4)
    diffieHellmanAddress = bytes.uint64(at: 8)
    diffieHellmanByteCount = bytes.uint32(at: 16)
    sessionAddress = bytes.uint64(at: 24)
    sessionByteCount = bytes.uint32(at: 32)
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    clear(&bytes, count: Self.byteCount)
    bytes.store(handle, at: 0)
    bytes.store(policy, at: 4)
    bytes.store(diffieHellmanAddress, at: 8)
    bytes.store(diffieHellmanByteCount, at: 16)
    bytes.store(sessionAddress, at: 24)
    bytes.store(sessionByteCount, at: 32)
  }
}
