public import SEVABI

/// The machine that a guest is to leave, as far as the guest's policy concerns it.
public struct MigrationSource: Hashable, Sendable {
  public var policy: GuestPolicy
  /// The certificate of the machine's owner, from the machine's own export; empty if it cannot be read. Needed
  /// for DOMAIN only.
  public var oca: [UInt8]
  /// From SEV_PLATFORM_STATUS.
  public var api: APIVersion
  /// Whether the kernel has SEND_UPDATE_VMSA.
  public var canSendRegisters: Bool

  public init(policy: GuestPolicy, oca: [UInt8], api: APIVersion, canSendRegisters: Bool) {
    self.policy = policy
    self.oca = oca
    self.api = api
    self.canSendRegisters = canSendRegisters
  }
}

/// The machine that a guest is to go to, as far as the guest's policy concerns it.
public struct MigrationTarget: Hashable, Sendable {
  /// From SEV_PLATFORM_STATUS.
  public var api: APIVersion
  /// Whether SEV-ES guests can be made.
  public var hasEncryptedState: Bool
  /// Whether the kernel has RECEIVE_UPDATE_VMSA.
  public var canReceiveRegisters: Bool

  public init(api: APIVersion, hasEncryptedState: Bool, canReceiveRegisters: Bool) {
    self.api = api
    self.hasEncryptedState = hasEncryptedState
    self.canReceiveRegisters = canReceiveRegisters
  }
}

/// What a guest's policy says about sending it away, checked on both sides before the first page.
///
/// The source's firmware checks most of it in SEND_START and answers with one number; here each refusal has its
/// name. Neither replaces the other: the firmware is whom the guest's owner trusts.
public enum MigrationPolicy {
  /// What the source checks, once the target showed its certificates.
  ///
  /// - Parameter roots: Where the target's chain may lead.
  /// - Returns: The verified target, whose PDH the session is to be made for.
  /// - Throws: The policy's refusals first, then those of certificates.
  public static func checkBeforeSending(
    _ source: MigrationSource, to target: MigrationTarget, showing certificates: TargetCertificates,
    roots: TrustedRoots = .amd
  ) throws(PolicyRefusal) -> VerifiedPlatform {
    let policy = source.policy
    try checkBits(policy)
    let needs = policy.minimumAPIVersion
    guard source.api >= needs else { throw .sourceTooOld(has: source.api, needs: needs) }
    if policy.contains(.encryptedState), !source.canSendRegisters { throw .encryptedStateNotSendable }
    try check(policy, target)
    let platform: VerifiedPlatform
    do throws(CertificateError) {
      platform = try certificates.verify(roots: roots, minimumAPI: needs)
    } catch {
      throw policy.contains(.genuinePlatform) ? .notGenuine(error) : .certificate(error)
    }
    if policy.contains(.sameDomain) {
      guard !source.oca.isEmpty else { throw .ownDomainUnknown }
      guard platform.oca.bytes == source.oca else { throw .otherDomain }
    }
    return platform
  }

  /// What the target checks, once the source named the policy.
  ///
  /// DOMAIN and SEV are promises about the target, so only the source can check them.
  public static func checkBeforeReceiving(
    _ policy: GuestPolicy, on target: MigrationTarget
  ) throws(PolicyRefusal) {
    try checkBits(policy)
    try check(policy, target)
  }

  private static func checkBits(_ policy: GuestPolicy) throws(PolicyRefusal) {
    let reserved = policy.intersection(.reserved)
    guard reserved.isEmpty else { throw .reservedBits(reserved.rawValue) }
    guard !policy.contains(.noSending) else { throw .noSending }
  }

  private static func check(_ policy: GuestPolicy, _ target: MigrationTarget) throws(PolicyRefusal) {
    let needs = policy.minimumAPIVersion
    guard target.api >= needs else { throw .targetTooOld(has: target.api, needs: needs) }
    if policy.contains(.encryptedState) {
      guard target.hasEncryptedState else { throw .targetWithoutEncryptedState }
      guard target.canReceiveRegisters else { throw .encryptedStateNotReceivable }
    }
  }
}
