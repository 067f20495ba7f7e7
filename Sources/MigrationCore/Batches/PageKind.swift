/// How a page travels.
public enum PageKind: UInt32, Hashable, Sendable, CaseIterable {
  /// A page of zeros, of which nothing but its number travels.
  case zero = 0
  /// The page's 4,096 bytes.
  case plain = 1
  /// The 52-byte header of a SEND_UPDATE_DATA packet and its 4,096 bytes.
  case encrypted = 2

  /// Bytes of a guest page.
  public static let pageByteCount = 4_096
  /// Bytes of the firmware's packet header (`SEND_UPDATE_DATA`, `SEND_UPDATE_VMSA`).
  public static let packetHeaderByteCount = 52

  /// Bytes of the packet header in front of the page.
  var headerByteCount: Int {
    switch self {
    case .zero, .plain: 0
    case .encrypted: Self.packetHeaderByteCount
    }
  }

  /// Bytes that follow a page's entry in its batch.
  public var byteCount: Int {
    switch self {
    case .zero: 0
    case .plain: Self.pageByteCount
    case .encrypted: Self.packetHeaderByteCount + Self.pageByteCount
    }
  }
}
