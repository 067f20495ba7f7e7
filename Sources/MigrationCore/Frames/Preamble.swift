public import BatonWire

/// The source's first frame: who wants to send what.
///
/// Magic and versions are read before anything else and are the same in all versions. A newer version may add
/// fields behind those that are known here; they are then passed over.
public struct Preamble: Sendable, Equatable {
  /// The bytes `BATNMIGR`.
  static let magic: UInt64 = 0x5247_494D_4E54_4142

  public var versions: ProtocolVersion
  public var intent: MigrationIntent
  /// Features without which the source does not begin.
  public var required: StreamFeatures
  /// Features that the source can use.
  public var offered: StreamFeatures
  public var id: MigrationID
  /// What the target's registry locks the arrival with.
  public var lock: DepartureLock
  /// The guest's epoch at the source.
  public var epoch: UInt64
  public var key: BatchKey
  /// A ``GuestName``.
  public var guest: String
  /// The source's host, at most 255 bytes.
  public var host: String
  /// The source's program and version, at most 128 bytes.
  public var build: String

  public init(
    versions: ProtocolVersion = StreamVersion.spoken, intent: MigrationIntent, required: StreamFeatures,
    offered: StreamFeatures = .spoken, id: MigrationID, lock: DepartureLock, epoch: UInt64, key: BatchKey,
    guest: String, host: String, build: String
  ) {
    self.versions = versions
    self.intent = intent
    self.required = required
    self.offered = offered
    self.id = id
    self.lock = lock
    self.epoch = epoch
    self.key = key
    self.guest = guest
    self.host = host
    self.build = build
  }

  func encode(into writer: inout ByteWriter) {
    writer.write(Self.magic)
    writer.write(versions.oldest)
    writer.write(versions.newest)
    writer.write(intent.rawValue)
    writer.write(required.rawValue)
    writer.write(offered.rawValue)
    writer.write(raw: id.bytes)
    writer.write(raw: lock.bytes)
    writer.write(epoch)
    writer.write(raw: key.bytes)
    writer.write(guest)
    writer.write(host.prefix(utf8: 255))
    writer.write(build.prefix(utf8: 128))
  }

  /// Reads magic and versions, which decide whether the rest can be read.
  static func versions(decoding reader: inout ByteReader) throws(StreamFault) -> ProtocolVersion {
    do throws(WireError) {
      guard try reader.read(UInt64.self, "magic") == Self.magic else { throw .badMagic(0) }
      return ProtocolVersion(
        oldest: try reader.read(UInt16.self, "oldest version"),
        newest: try reader.read(UInt16.self, "newest version"))
    } catch {
      switch error {
      case .badMagic: throw .notAStream
      case .truncated, .trailingBytes, .unknownType, .wrongVersion, .wrongLength, .wrongDescriptorCount,
        .payloadTooLong, .tooManyDescriptors, .brokenContinuation, .badValue:
        throw .malformed(.preamble, error)
      }
    }
  }

  /// Reads what is behind the versions.
  ///
  /// - Parameter mayBeLonger: Whether the peer also speaks a version that is newer than any here.
  init(
    versions: ProtocolVersion, decoding reader: inout ByteReader, mayBeLonger: Bool
  ) throws(WireError) {
    self.versions = versions
    guard let intent = MigrationIntent(rawValue: try reader.read(UInt8.self, "intent")) else {
      throw .badValue(field: "intent")
    }
    self.intent = intent
    required = StreamFeatures(rawValue: try reader.read(UInt64.self, "required features"))
    offered = StreamFeatures(rawValue: try reader.read(UInt64.self, "offered features"))
    guard required.isSubset(of: offered) else { throw .badValue(field: "required features") }
    guard let id = MigrationID(try reader.readRaw(MigrationID.byteCount, "migration")) else {
      throw .badValue(field: "migration")
    }
    self.id = id
    guard let lock = DepartureLock(try reader.readRaw(DepartureLock.byteCount, "lock")) else {
      throw .badValue(field: "lock")
    }
    self.lock = lock
    epoch = try reader.read(UInt64.self, "epoch")
    guard let key = BatchKey(bytes: try reader.readRaw(BatchKey.byteCount, "batch key")) else {
      throw .badValue(field: "batch key")
    }
    self.key = key
    guest = try reader.readText("guest name", maximum: 63)
    guard GuestName(guest) != nil else { throw .badValue(field: "guest name") }
    host = try reader.readText("host", maximum: 255)
    build = try reader.readText("build", maximum: 128)
    if !mayBeLonger { try reader.finish() }
  }
}

/// The target's answer to a preamble that it can go on from.
public struct PreambleReply: Hashable, Sendable {
  /// The newest version that both speak.
  public var version: UInt16
  /// What of the offered features the target speaks too.
  public var features: StreamFeatures
  /// The target's host, at most 255 bytes.
  public var host: String
  /// The target's program and version, at most 128 bytes.
  public var build: String

  public init(version: UInt16, features: StreamFeatures, host: String, build: String) {
    self.version = version
    self.features = features
    self.host = host
    self.build = build
  }

  func encode(into writer: inout ByteWriter) {
    writer.write(version)
    writer.write(features.rawValue)
    writer.write(host.prefix(utf8: 255))
    writer.write(build.prefix(utf8: 128))
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    version = try reader.read(UInt16.self, "version")
    features = StreamFeatures(rawValue: try reader.read(UInt64.self, "features"))
    host = try reader.readText("host", maximum: 255)
    build = try reader.readText("build", maximum: 128)
  }
}

extension String {
  /// As many whole characters from the start as `limit` bytes have room for.
  func prefix(utf8 limit: Int) -> String {
    guard utf8.count > limit else { return self }
    var text = self
    while text.utf8.count > limit { text.removeLast() }
    return text
  }
}
