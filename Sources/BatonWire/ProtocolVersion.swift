/// Versions of the record protocol: N reads N and N-1.
public struct ProtocolVersion: Hashable, Sendable {
  /// Oldest and newest version a peer speaks, both included.
  public var oldest: UInt16
  public var newest: UInt16

  public init(oldest: UInt16, newest: UInt16) {
    self.oldest = oldest
    self.newest = newest
  }

  /// What this code speaks. Version 2 adds the records of migration to another host to those of version 1.
  public static let spoken = ProtocolVersion(oldest: 1, newest: 2)
  /// The oldest version that has the records of migration.
  public static let withMigration: UInt16 = 2

  /// The newest version both speak, or nil.
  public func agreed(with peer: ProtocolVersion) -> UInt16? {
    guard peer.oldest <= peer.newest else { return nil }
    let version = min(newest, peer.newest)
    return version >= max(oldest, peer.oldest) ? version : nil
  }
}

/// The form in which a VMM writes device state, and what it uses of it.
///
/// A binary that cannot read the other one's state is refused in prepare, while the guest runs.
public struct StateFormat: Hashable, Sendable {
  /// Name of the VMM's format, for example `baton-vmm`; formats of other names are never readable.
  public var name: String
  public var version: UInt16
  /// Bits of optional parts; a reader must know every bit that is set.
  public var features: UInt64

  public init(name: String, version: UInt16, features: UInt64) {
    self.name = name
    self.version = version
    self.features = features
  }
}

/// What a VMM can read of other binaries' state.
public struct ReadableFormats: Hashable, Sendable {
  public var name: String
  public var oldest: UInt16
  public var newest: UInt16
  public var features: UInt64

  public init(name: String, oldest: UInt16, newest: UInt16, features: UInt64) {
    self.name = name
    self.oldest = oldest
    self.newest = newest
    self.features = features
  }

  /// Whether state of this format can be read.
  public func canRead(_ format: StateFormat) -> Bool {
    format.name == name && (oldest...max(oldest, newest)).contains(format.version)
      && format.features & ~features == 0
  }
}
