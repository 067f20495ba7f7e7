/// `struct kvm_sev_launch_start`, 40 bytes.
public struct LaunchStartParameters: KernelStructure {
  public static let byteCount = 40

  /// In: 0, or the handle of a guest whose key is shared. Out: the new guest's handle.
  public var handle: UInt32
  public var policy: UInt32
  /// The owner's Diffie-Hellman certificate, or 0 for a launch without a session.
  public var certificateAddress: UInt64
  public var certificateByteCount: UInt32
  /// The owner's session blob (128 bytes), or 0.
  public var sessionAddress: UInt64
  public var sessionByteCount: UInt32

  public init(
    handle: UInt32 = 0, policy: UInt32, certificateAddress: UInt64 = 0, certificateByteCount: UInt32 = 0,
    sessionAddress: UInt64 = 0, sessionByteCount: UInt32 = 0
  ) {
    self.handle = handle
    self.policy = policy
    self.certificateAddress = certificateAddress
    self.certificateByteCount = certificateByteCount
    self.sessionAddress = sessionAddress
    self.sessionByteCount = sessionByteCount
  }

  public init(decoding bytes: Span<UInt8>) {
    handle = bytes.uint32(at: 0)
    policy = bytes.uint32(at: 4)
    certificateAddress = bytes.uint64(at: 8)
    certificateByteCount = bytes.uint32(at: 16)
    sessionAddress = bytes.uint64(at: 24)
    sessionByteCount = bytes.uint32(at: 32)
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    clear(&bytes, count: Self.byteCount)
    bytes.store(handle, at: 0)
    bytes.store(policy, at: 4)
    bytes.store(certificateAddress, at: 8)
    bytes.store(certificateByteCount, at: 16)
    bytes.store(sessionAddress, at: 24)
    bytes.store(sessionByteCount, at: 32)
  }
}

/// `struct kvm_sev_launch_update_data`, 16 bytes.
public struct LaunchUpdateDataParameters: KernelStructure {
  public static let byteCount = 16

  /// The user address of the plaintext, encrypted in place; a multiple of 16.
  public var address: UInt64
  /// A multiple of 16.
  public var length: UInt32

  public init(address: UInt64, length: UInt32) {
    self.address = address
    self.length = length
  }

  public init(decoding bytes: Span<UInt8>) {
    address = bytes.uint64(at: 0)
    length = bytes.uint32(at: 8)
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    clear(&bytes, count: Self.byteCount)
    bytes.store(address, at: 0)
    bytes.store(length, at: 8)
  }
}

/// `struct kvm_sev_launch_measure`, 16 bytes.
public struct LaunchMeasureParameters: KernelStructure {
  public static let byteCount = 16
  /// What the firmware writes: measurement (32 bytes) and nonce (16 bytes).
  public static let measurementByteCount = 48

  public var address: UInt64
  /// In: room at `address`, 0 to ask for it. Out: the measurement's length.
  public var length: UInt32

  public init(address: UInt64, length: UInt32) {
    self.address = address
    self.length = length
  }

  public init(decoding bytes: Span<UInt8>) {
    address = bytes.uint64(at: 0)
    length = bytes.uint32(at: 8)
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    clear(&bytes, count: Self.byteCount)
    bytes.store(address, at: 0)
    bytes.store(length, at: 8)
  }
}

/// `struct kvm_sev_guest_status`, 12 bytes, all out.
public struct GuestStatusParameters: KernelStructure {
  public static let byteCount = 12

  public var handle: UInt32
  public var policy: UInt32
  /// The number of a ``GuestState``.
  public var state: UInt32

  public init(handle: UInt32 = 0, policy: UInt32 = 0, state: UInt32 = 0) {
    self.handle = handle
    self.policy = policy
    self.state = state
  }

  public init(decoding bytes: Span<UInt8>) {
    handle = bytes.uint32(at: 0)
    policy = bytes.uint32(at: 4)
    state = bytes.uint32(at: 8)
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    clear(&bytes, count: Self.byteCount)
    bytes.store(handle, at: 0)
    bytes.store(policy, at: 4)
    bytes.store(state, at: 8)
  }
}

/// `struct kvm_sev_dbg`, 24 bytes.
public struct DebugParameters: KernelStructure {
  public static let byteCount = 24

  public var sourceAddress: UInt64
  public var destinationAddress: UInt64
  public var length: UInt32

  public init(sourceAddress: UInt64, destinationAddress: UInt64, length: UInt32) {
    self.sourceAddress = sourceAddress
    self.destinationAddress = destinationAddress
    self.length = length
  }

  public init(decoding bytes: Span<UInt8>) {
    sourceAddress = bytes.uint64(at: 0)
    destinationAddress = bytes.uint64(at: 8)
    length = bytes.uint32(at: 16)
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    clear(&bytes, count: Self.byteCount)
    bytes.store(sourceAddress, at: 0)
    bytes.store(destinationAddress, at: 8)
    bytes.store(length, at: 16)
  }
}

/// `struct kvm_sev_attestation_report`, 32 bytes.
public struct AttestationReportParameters: KernelStructure {
  public static let byteCount = 32

  /// The caller's 16-byte nonce as two little-endian words.
  public var nonceLow: UInt64
  public var nonceHigh: UInt64
  public var address: UInt64
  public var length: UInt32

  public init(nonceLow: UInt64, nonceHigh: UInt64, address: UInt64, length: UInt32) {
    self.nonceLow = nonceLow
    self.nonceHigh = nonceHigh
    self.address = address
    self.length = length
  }

  public init(decoding bytes: Span<UInt8>) {
    nonceLow = bytes.uint64(at: 0)
    nonceHigh = bytes.uint64(at: 8)
    address = bytes.uint64(at: 16)
    length = bytes.uint32(at: 24)
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    clear(&bytes, count: Self.byteCount)
    bytes.store(nonceLow, at: 0)
    bytes.store(nonceHigh, at: 8)
    bytes.store(address, at: 16)
    bytes.store(length, at: 24)
  }
}
