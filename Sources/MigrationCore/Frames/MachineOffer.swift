public import BatonWire

/// The guest's machine, before anything of the guest itself.
public struct MachineOffer: Hashable, Sendable {
  /// Most bytes of ``facts``.
  public static let maximumFacts = 65_536

  public var manifest: Manifest
  public var kind: SEVKind
  /// The guest's policy; zero for a plain guest.
  public var policy: UInt32
  /// Who has agreed to a migration at the source.
  public var parties: MigrationAgreement.Parties
  /// What the VMM itself wants to compare (CPU model, capabilities, devices), at most ``maximumFacts`` bytes.
  public var facts: [UInt8]

  public init(
    manifest: Manifest, kind: SEVKind, policy: UInt32, parties: MigrationAgreement.Parties, facts: [UInt8]
  ) {
    self.manifest = manifest
    self.kind = kind
    self.policy = policy
    self.parties = parties
    self.facts = facts
  }

  func encode(into writer: inout ByteWriter) {
    writer.write(kind.rawValue)
    writer.write(policy)
    writer.write(parties.rawValue)
    manifest.encode(into: &writer)
    writer.write(blob: facts)
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    guard let kind = SEVKind(rawValue: try reader.read(UInt8.self, "kind of guest")) else {
      throw .badValue(field: "kind of guest")
    }
    self.kind = kind
    policy = try reader.read(UInt32.self, "policy")
    parties = MigrationAgreement.Parties(rawValue: try reader.read(UInt8.self, "agreed parties"))
    manifest = try Manifest(decoding: &reader)
    facts = try reader.readBlob("machine facts", maximum: Self.maximumFacts)
  }
}
