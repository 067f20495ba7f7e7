import SEVABI
import SEVCertificates
import Testing

@Suite("A guest's policy")
struct MigrationPolicyTests {
  private static let api = APIVersion(major: 1, minor: 55)

  private func source(
    _ policy: GuestPolicy, oca: [UInt8] = NaplesChain.oca, api: APIVersion = Self.api,
    canSendRegisters: Bool = true
  ) -> MigrationSource {
    MigrationSource(policy: policy, oca: oca, api: api, canSendRegisters: canSendRegisters)
  }

  private func target(
    api: APIVersion = Self.api, hasEncryptedState: Bool = true, canReceiveRegisters: Bool = true
  ) -> MigrationTarget {
    MigrationTarget(
      api: api, hasEncryptedState: hasEncryptedState, canReceiveRegisters: canReceiveRegisters)
  }

  /// Why the source refuses.
  private func refusal(
    _ source: MigrationSource, _ target: MigrationTarget? = nil, _ chain: Chain = .naples
  ) -> PolicyRefusal? {
    do throws(PolicyRefusal) {
      _ = try MigrationPolicy.checkBeforeSending(
        source, to: target ?? self.target(), showing: chain.shown)
      return nil
    } catch {
      return error
    }
  }

  /// Why the target refuses.
  private func refusal(_ policy: GuestPolicy, on target: MigrationTarget) -> PolicyRefusal? {
    do throws(PolicyRefusal) {
      try MigrationPolicy.checkBeforeReceiving(policy, on: target)
      return nil
    } catch {
      return error
    }
  }

  private func policy(major: UInt8, minor: UInt8, _ bits: GuestPolicy = []) -> GuestPolicy {
    GuestPolicy(rawValue: bits.rawValue | UInt32(major) << 16 | UInt32(minor) << 24)
  }

  @Test("that forbids nothing lets the guest go to a machine whose chain is right, and gives that machine")
  func allowed() throws {
    let all: GuestPolicy = [.noDebugging, .noKeySharing, .sameDomain, .genuinePlatform]
    for policy in [[], all] {
      #expect(refusal(source(policy)) == nil)
      #expect(refusal(policy, on: target()) == nil)
    }
    let platform = try MigrationPolicy.checkBeforeSending(
      source([]), to: target(), showing: Chain.naples.shown)
    #expect(platform.pdh.bytes == NaplesChain.pdh)
  }

  @Test("with NOSEND is refused on both sides")
  func noSending() {
    #expect(refusal(source([.noSending])) == .noSending)
    #expect(refusal([.noSending], on: target()) == .noSending)
  }

  @Test("with any reserved bit is refused on both sides", arguments: 6...15)
  func reserved(bit: Int) {
    let policy = GuestPolicy(rawValue: 1 << UInt32(bit))
    #expect(refusal(source(policy)) == .reservedBits(policy.rawValue))
    #expect(refusal(policy, on: target()) == .reservedBits(policy.rawValue))
  }

  @Test("with DOMAIN is refused for another owner, byte for byte")
  func domain() {
    var other = NaplesChain.oca
    // A byte that nobody signed: still another certificate.
    other[2000] ^= 1
    #expect(refusal(source([.sameDomain], oca: other)) == .otherDomain)
    #expect(refusal(source([], oca: other)) == nil)
    #expect(refusal(source([.sameDomain], oca: [])) == .ownDomainUnknown)
    #expect(refusal(source([], oca: [])) == nil)
  }

  @Test("with SEV is refused for a machine that does not prove to be genuine, and names the certificate")
  func genuine() {
    var chain = Chain.naples
    chain.flip(bit: 8 * 1100, of: .cek)
    let error = CertificateError(.cek, .badSignature(by: .ask))
    #expect(refusal(source([.genuinePlatform]), nil, chain) == .notGenuine(error))
    // Without SEV nobody would have to prove it, but a PDH that nobody vouches for may be anybody's.
    #expect(refusal(source([]), nil, chain) == .certificate(error))
  }

  @Test("with ES is refused where the registers cannot travel")
  func encryptedState() {
    let policy: GuestPolicy = [.encryptedState]
    #expect(refusal(source(policy)) == nil)
    #expect(refusal(source(policy, canSendRegisters: false)) == .encryptedStateNotSendable)
    let deaf = target(canReceiveRegisters: false)
    #expect(refusal(source(policy), deaf) == .encryptedStateNotReceivable)
    #expect(refusal(policy, on: deaf) == .encryptedStateNotReceivable)
    let without = target(hasEncryptedState: false)
    #expect(refusal(source(policy), without) == .targetWithoutEncryptedState)
    #expect(refusal(policy, on: without) == .targetWithoutEncryptedState)
    #expect(refusal(source([], canSendRegisters: false), target(hasEncryptedState: false)) == nil)
  }

  @Test("with a minimum API is refused by older firmware on either side and by an older PEK")
  func api() {
    let needs = policy(major: 1, minor: 56)
    let (old, new) = (Self.api, APIVersion(major: 1, minor: 56))
    #expect(refusal(source(needs)) == .sourceTooOld(has: old, needs: new))
    #expect(refusal(source(needs, api: new)) == .targetTooOld(has: old, needs: new))
    #expect(refusal(needs, on: target()) == .targetTooOld(has: old, needs: new))
    #expect(refusal(needs, on: target(api: new)) == nil)
    let expired = CertificateError(.pek, .apiTooOld(has: APIVersion(major: 0, minor: 16), needs: new))
    #expect(refusal(source(needs, api: new), target(api: new)) == .certificate(expired))
    #expect(
      refusal(source(policy(major: 1, minor: 56, .genuinePlatform), api: new), target(api: new))
        == .notGenuine(expired))
    // Major before minor.
    #expect(refusal(policy(major: 2, minor: 0), on: target()) != nil)
    #expect(refusal(policy(major: 0, minor: 255), on: target()) == nil)
  }

  @Test("is refused before the certificates are looked at, which cost more")
  func order() {
    var chain = Chain.naples
    chain[.ark] = []
    #expect(refusal(source([.noSending]), nil, chain) == .noSending)
  }

  @Test("is refused with a name, a sentence and a kind of its own")
  func sentences() {
    let error = CertificateError(.cek, .modelRoot)
    let refusals: [PolicyRefusal] = [
      .noSending, .reservedBits(64), .sourceTooOld(has: .zero, needs: Self.api),
      .targetTooOld(has: .zero, needs: Self.api), .encryptedStateNotSendable, .encryptedStateNotReceivable,
      .targetWithoutEncryptedState, .otherDomain, .ownDomainUnknown, .notGenuine(error), .certificate(error),
    ]
    #expect(Set(refusals.map(\.description)).count == refusals.count)
    #expect(refusals.filter { $0.kind == .certificate }.count == 2)
    #expect(refusals.filter { $0.kind == .encryptedState }.count == 3)
  }
}
