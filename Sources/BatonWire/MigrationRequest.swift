/// What an operator wants of a migration to another host.
public struct MigrationRequest: Hashable, Sendable {
  /// The port of a host that is named without one.
  public static let defaultPort: UInt16 = 4_646
  /// Most bytes of ``host``: a DNS name of 253 bytes, a colon, a port.
  public static let maximumHost = 259

  /// Where to: `name` or `name:port`; an IPv6 address in brackets.
  public var host: String
  /// Measure and check only; nothing is moved.
  public var isPlanOnly: Bool
  /// How long the guest may stand still.
  public var maxPauseMilliseconds: UInt32
  /// How long all of it may take; 0 for as long as it needs.
  public var maxTimeSeconds: UInt64
  /// How much may be sent in a second; 0 for as much as goes.
  public var bandwidthBytesPerSecond: UInt64
  /// Go on although the guest changes its memory faster than it can be sent: the pause is then as long as it is.
  public var allowsNonconvergence: Bool

  public init(
    host: String, isPlanOnly: Bool = false, maxPauseMilliseconds: UInt32 = 300, maxTimeSeconds: UInt64 = 0,
    bandwidthBytesPerSecond: UInt64 = 0, allowsNonconvergence: Bool = false
  ) {
    self.host = host
    self.isPlanOnly = isPlanOnly
    self.maxPauseMilliseconds = maxPauseMilliseconds
    self.maxTimeSeconds = maxTimeSeconds
    self.bandwidthBytesPerSecond = bandwidthBytesPerSecond
    self.allowsNonconvergence = allowsNonconvergence
  }

  /// Whether ``host`` can be one: printable ASCII without spaces, not too long, no more than that.
  public static func isHost(_ text: String) -> Bool {
    (1...maximumHost).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
  }
}

extension MigrationRequest {
  public func encode(into writer: inout ByteWriter) {
    writer.write(host)
    writer.write(isPlanOnly)
    writer.write(maxPauseMilliseconds)
    writer.write(maxTimeSeconds)
    writer.write(bandwidthBytesPerSecond)
    writer.write(allowsNonconvergence)
  }

  public init(decoding reader: inout ByteReader) throws(WireError) {
    host = try reader.readText("migration host", maximum: Self.maximumHost)
    guard Self.isHost(host) else { throw .badValue(field: "migration host") }
    isPlanOnly = try reader.readFlag("plan flag")
    maxPauseMilliseconds = try reader.read(UInt32.self, "longest pause")
    maxTimeSeconds = try reader.read(UInt64.self, "longest time")
    bandwidthBytesPerSecond = try reader.read(UInt64.self, "bandwidth")
    allowsNonconvergence = try reader.readFlag("nonconvergence flag")
  }
}
