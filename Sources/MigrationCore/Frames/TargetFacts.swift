public import BatonWire
public import SEVCertificates

/// What the target is, in answer to the manifest; nothing of the guest has been sent yet.
public struct TargetFacts: Hashable, Sendable {
  /// Most checks.
  public static let maximumChecks = 64
  /// Most bytes of each blob of certificates: the kernel takes no more.
  public static let maximumBlob = 16_384

  /// The firmware's API version; 0.0 without firmware.
  public var api: APIVersion
  /// The firmware's build.
  public var apiBuild: UInt8
  /// Whether SEV-ES guests can run there.
  public var hasEncryptedState: Bool
  /// Whether RECEIVE_UPDATE_VMSA is there.
  public var canReceiveSaveAreas: Bool
  /// Nil exactly for a plain guest.
  public var certificates: TargetCertificates?
  /// What the target's own preflight found, at most ``maximumChecks``.
  public var checks: [PreflightCheck]
  /// What a step of the target's registry took, with its journal's sync: welcoming this guest's VMM. For the plan.
  public var registryNanoseconds: UInt64

  public init(
    api: APIVersion, apiBuild: UInt8, hasEncryptedState: Bool, canReceiveSaveAreas: Bool,
    certificates: TargetCertificates?, checks: [PreflightCheck], registryNanoseconds: UInt64 = 0
  ) {
    self.api = api
    self.apiBuild = apiBuild
    self.hasEncryptedState = hasEncryptedState
    self.canReceiveSaveAreas = canReceiveSaveAreas
    self.certificates = certificates
    self.checks = checks
    self.registryNanoseconds = registryNanoseconds
  }

  func encode(into writer: inout ByteWriter) {
    writer.write(api.major)
    writer.write(api.minor)
    writer.write(apiBuild)
    writer.write(hasEncryptedState)
    writer.write(canReceiveSaveAreas)
    writer.write(certificates != nil)
    if let certificates {
      writer.write(blob: certificates.pdh)
      writer.write(blob: certificates.platform)
      writer.write(blob: certificates.amd)
    }
    writer.write(UInt16(checks.count))
    for check in checks { check.encode(into: &writer) }
    writer.write(registryNanoseconds)
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    api = APIVersion(
      major: try reader.read(UInt8.self, "API major version"),
      minor: try reader.read(UInt8.self, "API minor version"))
    apiBuild = try reader.read(UInt8.self, "API build")
    hasEncryptedState = try reader.readFlag("encrypted state")
    canReceiveSaveAreas = try reader.readFlag("save areas")
    certificates =
      try reader.readFlag("certificates flag")
      ? TargetCertificates(
        pdh: try reader.readBlob("PDH", maximum: Self.maximumBlob),
        platform: try reader.readBlob("platform certificates", maximum: Self.maximumBlob),
        amd: try reader.readBlob("AMD certificates", maximum: Self.maximumBlob)) : nil
    let count = Int(try reader.read(UInt16.self, "check count"))
    guard count <= Self.maximumChecks else { throw .badValue(field: "check count") }
    checks = []
    for _ in 0..<count { checks.append(try PreflightCheck(decoding: &reader)) }
    registryNanoseconds = try reader.read(UInt64.self, "registry time")
  }
}
