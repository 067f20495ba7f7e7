/// `struct sev_user_data_status`: what SEV_PLATFORM_STATUS writes, 12 bytes, packed.
public struct PlatformStatusParameters: KernelStructure {
  public static let byteCount = 12
  private static let externallyOwned: UInt32 = 1 << 0
  private static let encryptedState: UInt32 = 1 << 8

  public var major: UInt8
  public var minor: UInt8
  /// 0 UNINIT, 1 INIT, 2 WORKING.
  public var state: UInt8
  public var flags: UInt32
  public var build: UInt8
  public var guestCount: UInt32

  public init(
    major: UInt8, minor: UInt8, state: UInt8, isExternallyOwned: Bool, hasEncryptedState: Bool,
    build: UInt8, guestCount: UInt32
  ) {
    self.major = major
    self.minor = minor
    self.state = state
    flags =
      (isExternallyOwned ? Self.externallyOwned : 0) | (hasEncryptedState ? Self.encryptedState : 0)
    self.build = build
    self.guestCount = guestCount
  }

  /// Somebody else's certificate authority (OCA) signed the platform's endorsement key.
  public var isExternallyOwned: Bool { flags & Self.externallyOwned != 0 }
  /// The platform was initialised for SEV-ES too.
  public var hasEncryptedState: Bool { flags & Self.encryptedState != 0 }

  public init(decoding bytes: Span<UInt8>) {
    major = bytes[0]
    minor = bytes[1]
    state = bytes[2]
    flags = bytes.uint32(at: 3)
    build = bytes[7]
    guestCount = bytes.uint32(at: 8)
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    bytes[0] = major
    bytes[1] = minor
    bytes[2] = state
    bytes.store(flags, at: 3)
    bytes[7] = build
    bytes.store(guestCount, at: 8)
  }
}

/// `struct sev_user_data_pek_csr` and `struct sev_user_data_get_id2`: a buffer and its length, in and out,
/// 12 bytes, packed.
public struct SigningRequestParameters: KernelStructure {
  public static let byteCount = 12

  public var address: UInt64
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
    bytes.store(address, at: 0)
    bytes.store(length, at: 8)
  }
}

/// `struct sev_user_data_get_id2`.
public typealias IdentifierParameters = SigningRequestParameters

/// `struct sev_user_data_pek_cert_import`, 24 bytes, packed.
public struct ImportParameters: KernelStructure {
  public static let byteCount = 24

  /// The platform's endorsement key (PEK), signed by the owner.
  public var certificateAddress: UInt64
  public var certificateByteCount: UInt32
  /// The owner's certificate authority (OCA).
  public var ownerAddress: UInt64
  public var ownerByteCount: UInt32

  public init(
    certificateAddress: UInt64, certificateByteCount: UInt32, ownerAddress: UInt64, ownerByteCount: UInt32
  ) {
    self.certificateAddress = certificateAddress
    self.certificateByteCount = certificateByteCount
    self.ownerAddress = ownerAddress
    self.ownerByteCount = ownerByteCount
  }

  public init(decoding bytes: Span<UInt8>) {
    certificateAddress = bytes.uint64(at: 0)
    certificateByteCount = bytes.uint32(at: 8)
    ownerAddress = bytes.uint64(at: 12)
    ownerByteCount = bytes.uint32(at: 20)
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    bytes.store(certificateAddress, at: 0)
    bytes.store(certificateByteCount, at: 8)
    bytes.store(ownerAddress, at: 12)
    bytes.store(ownerByteCount, at: 20)
  }
}

/// `struct sev_user_data_pdh_cert_export`, 24 bytes, packed; the lengths are in and out.
public struct ExportParameters: KernelStructure {
  public static let byteCount = 24

  public var diffieHellmanAddress: UInt64
  public var diffieHellmanByteCount: UInt32
  public var chainAddress: UInt64
  public var chainByteCount: UInt32

  public init(
    diffieHellmanAddress: UInt64, diffieHellmanByteCount: UInt32, chainAddress: UInt64,
    chainByteCount: UInt32
  ) {
    self.diffieHellmanAddress = diffieHellmanAddress
    self.diffieHellmanByteCount = diffieHellmanByteCount
    self.chainAddress = chainAddress
    self.chainByteCount = chainByteCount
  }

  public init(decoding bytes: Span<UInt8>) {
    diffieHellmanAddress = bytes.uint64(at: 0)
    diffieHellmanByteCount = bytes.uint32(at: 8)
    chainAddress = bytes.uint64(at: 12)
    chainByteCount = bytes.uint32(at: 20)
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    bytes.store(diffieHellmanAddress, at: 0)
    bytes.store(diffieHellmanByteCount, at: 8)
    bytes.store(chainAddress, at: 12)
    bytes.store(chainByteCount, at: 20)
  }
}
