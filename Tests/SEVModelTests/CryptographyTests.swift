import Crypto
import SEVABI
import SEVCertificates
import SEVModel
import Testing

func bytes(hex: String) -> [UInt8] {
  var bytes: [UInt8] = []
  var rest = Substring(hex)
  while !rest.isEmpty {
    guard let byte = UInt8(rest.prefix(2), radix: 16) else { preconditionFailure("no hexadecimal digits") }
    bytes.append(byte)
    rest = rest.dropFirst(2)
  }
  return bytes
}

func bytes(of key: SymmetricKey) -> [UInt8] {
  unsafe key.withUnsafeBytes { unsafe Array($0) }
}

@Suite("The firmware's cryptography")
struct CryptographyTests {
  @Test("reproduces the published launch measurement")
  func launchMeasurement() {
    let measurement = LaunchMeasurement(
      version: FirmwareVersion(major: 0, minor: 0x12, build: 0x0F), policy: [],
      digest: bytes(hex: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
      nonce: bytes(hex: "4fbe0bedbad6c86ae8f68971d103e554"))
    let key = SymmetricKey(data: bytes(hex: "66320db73158a35a255d051758e95ed4"))
    #expect(
      measurement.authenticate(key: key)
        == bytes(hex: "6faab2daae389bcd3405a05d6cafe33c0414f7bedd0bae19ba5f38b7fd1664ea"))
  }

  @Test("reproduces the published key derivation and session of all zeros")
  func zeroSession() throws {
    let zero = [UInt8](repeating: 0, count: 16)
    let shared = SymmetricKey(data: zero)
    let master = KeyDerivation.key(from: shared, label: "sev-master-secret", context: zero)
    #expect(bytes(of: master) == bytes(hex: "ab4d269fcc62bedb4511d56c386ce706"))
    #expect(
      bytes(of: KeyDerivation.key(from: master, label: "sev-kek"))
        == bytes(hex: "b6abfbfb75ea1ea74ed8750b8afdb973"))
    #expect(
      bytes(of: KeyDerivation.key(from: master, label: "sev-kik"))
        == bytes(hex: "53b524bf5669a363f365c864acba8572"))
    let session = try SessionOwner.session(
      sharedSecret: shared, encryptionKey: zero, integrityKey: zero, nonce: zero, vector: zero, policy: [])
    #expect(
      Array(session[16..<48])
        == bytes(hex: "2137bc7f9bb8bd7c3e55a576a15d3454b3856b8ba27afadf46dcfee9f02c02c4"))
    #expect(
      Array(session[64..<96])
        == bytes(hex: "3176c0752738bd9d5e86689534020f528c088f16238826b000b327dee6aeed7d"))
    #expect(
      Array(session[96..<128])
        == bytes(hex: "aa7855e13839dd767cd5da7c1ff5036540c9264b7a803029315e55375287b4af"))
    let keys = try SessionBlob.open(session, sharedSecret: shared)
    #expect(bytes(of: keys.encryptionKey) == zero)
    #expect(bytes(of: keys.integrityKey) == zero)
  }

  @Test("unwraps the counting session's keys")
  func countingSession() throws {
    let session =
      (0x40..<0x50).map { UInt8($0) }
      + bytes(hex: "100d652b2120db78c3422edb32cd506603535b5c6b25998e8d65a4b642c1eb3b")
      + (0x50..<0x60).map { UInt8($0) }
      + bytes(hex: "3f2dd1d15a5eb735fdc1960dcbb44ce66fe7c34d0f27af97d324f41487d72878")
      + bytes(hex: "9f1df5358b5703de702b0533aac475e1651a4b7dec0f5856794ea23f144eb616")
    #expect(
      Array(SHA256.hash(data: session))
        == bytes(hex: "8a7b520b78dcd40329dee1c303177bca182db3e5feb0ed18b4096675f0145425"))
    let keys = try SessionBlob.open(
      session, sharedSecret: SymmetricKey(data: (0..<48).map { UInt8($0) }))
    #expect(bytes(of: keys.encryptionKey) == (0x60..<0x70).map { UInt8($0) })
    #expect(bytes(of: keys.integrityKey) == (0x70..<0x80).map { UInt8($0) })
  }

  @Test("agrees on the P-384 vector's shared secret through a certificate")
  func keyAgreement() throws {
    let a = try P384.KeyAgreement.PrivateKey(
      rawRepresentation: bytes(
        hex:
          "46cb4f928e7447e3df9601d4446e3df4953328549d4ee3bb31f2cf539350cb53e9f48e048ba02ee8d0ff801f7565379a"
      ))
    let b = try P384.KeyAgreement.PrivateKey(
      rawRepresentation: bytes(
        hex:
          "09ced8a7166c7a7d74d22585fca4218922704b8b6028f99068363a8d627585b3298d31e07705fbcc7684f76ea6bb898b"
      ))
    let key = try #require(
      SEVCertificate(SessionOwner.certificate(key: b.publicKey))?.keyAgreementKey)
    let shared = SymmetricKey(data: try a.sharedSecretFromKeyAgreement(with: key))
    let master = KeyDerivation.key(
      from: shared, label: "sev-master-secret", context: (0x40..<0x50).map { UInt8($0) })
    #expect(bytes(of: master) == bytes(hex: "5b17807cd2d38d3ff253e3cf36cf0e77"))
  }
}

@Suite("A launch with the owner's session")
struct SessionTests {
  private func bench(_ owner: SessionOwner) -> Bench {
    var bench = Bench()
    bench.host = ModelHost(random: ScriptedRandom(), identity: PlatformIdentity(key: owner.platformKey))
    return bench
  }

  @Test("succeeds with the keys that the owner wrapped")
  func succeeds() {
    let owner = SessionOwner()
    var bench = bench(owner)
    #expect(bench.start(bench.makeGuest(), session: owner, policy: .noDebugging) == .ok)
  }

  @Test("is BAD_MEASUREMENT if any part of the session was changed", arguments: [0, 16, 48, 64, 96])
  func changed(offset: Int) {
    let owner = SessionOwner()
    var bench = bench(owner)
    let ending = bench.start(bench.makeGuest(), session: owner, policy: []) { $0[offset] ^= 1 }
    // A changed wrap vector changes the keys but not what the wrap MAC covers; the policy MAC then fails.
    #expect(ending == .refused(.badMeasurement))
    #expect(bench.host.guestCount == 0)
  }

  @Test("is BAD_MEASUREMENT for a session wrapped to another platform")
  func otherPlatform() {
    var bench = bench(SessionOwner())
    #expect(bench.start(bench.makeGuest(), session: SessionOwner(), policy: []) == .refused(.badMeasurement))
  }

  @Test(
    "is POLICY_FAILURE for a newer firmware than there is and for reserved bits",
    arguments: [
      0x3801_0000, 0x0002_0000, 0x0000_0040, 0x0000_8000,
    ])
  func policies(bits: UInt32) {
    let owner = SessionOwner()
    var bench = bench(owner)
    let ending = bench.start(bench.makeGuest(), session: owner, policy: GuestPolicy(rawValue: bits))
    #expect(ending == .refused(.policyFailure))
  }

  @Test(
    "refuses certificates of another version, usage, algorithm or curve, and points off the curve",
    arguments: [
      0, 8, 12, 16, 20, 92, 70,
    ])
  func certificates(offset: Int) {
    var bytes = SessionOwner.certificate(key: P384.KeyAgreement.PrivateKey().publicKey)
    #expect(SEVCertificate(bytes)?.keyAgreementKey != nil)
    bytes[offset] ^= 0x01
    #expect(SEVCertificate(bytes)?.keyAgreementKey == nil)
  }
}
