import Crypto
import SEVABI
import SEVCertificates
import SEVModel
import Testing

/// Which of a platform's certificates a test changes.
enum ChainMember: String, CaseIterable, Sendable {
  case pdh, pek, oca, cek, ask, ark

  var path: WritableKeyPath<PlatformCertificates, [UInt8]> {
    switch self {
    case .pdh: \.pdh
    case .pek: \.pek
    case .oca: \.oca
    case .cek: \.cek
    case .ask: \.ask
    case .ark: \.ark
    }
  }
}

/// What the firmware finds wrong with a chain; nothing if it is a genuine one.
func fault(_ all: PlatformCertificates) -> FirmwareStatus? {
  do throws(FirmwareStatus) {
    try CertificateChain(pdh: all.pdh, chain: all.chain).verifyGenuine(amd: all.amd)
    return nil
  } catch {
    return error
  }
}

@Suite("The certificates of a real machine")
struct FirmwareCertificateTests {
  private static let naples = PlatformCertificates(
    pdh: NaplesChain.pdh, pek: NaplesChain.pek, oca: NaplesChain.oca, cek: NaplesChain.cek,
    ask: NaplesChain.ask, ark: NaplesChain.ark)

  @Test(
    "are as they were published",
    arguments: [
      (ChainMember.pdh, "34b11563c32bd17b4e2b4b8205301af64e7bd06a85e2a6ada789bc9d5dfd9932"),
      (.pek, "31243368c2046fbf48e51a73075c33e69600cee1876919869f0383a94e8df558"),
      (.oca, "dfa8331592774030cc38716ee0d436aba269d7c17c78e2a261f19e967377c34c"),
      (.cek, "cbecc40f5b7d7e988fe7e4af20195cc540404eb685a2b49df0160781d04cf8f4"),
      (.ask, "c6f30cf923f526c3bcd5c8c221db51e0db65911782f046de17a6603131cdfd7f"),
      (.ark, "dedabca561e1dece8cc00b7bda864cf5f20b95017864408cfe18eaee0dce24b9"),
    ])
  func published(member: ChainMember, digest: String) {
    #expect(Array(SHA256.hash(data: Self.naples[keyPath: member.path])) == bytes(hex: digest))
  }

  @Test("are read as what they are")
  func parsed() throws {
    let pdh = try #require(SEVCertificate(NaplesChain.pdh))
    #expect(pdh.usage == .diffieHellman)
    #expect(pdh.algorithm == .ecdhSHA256)
    #expect(pdh.version == APIVersion(major: 0, minor: 16))
    #expect(pdh.keyAgreementKey != nil)
    #expect(pdh.signer(in: .first) == .platformEndorsement)
    #expect(pdh.signer(in: .second) == SEVCertificate.Usage.none)
    let pek = try #require(SEVCertificate(NaplesChain.pek))
    #expect(pek.usage == .platformEndorsement)
    #expect(pek.algorithm == .ecdsaSHA256)
    #expect(pek.signer(in: .first) == .owner)
    #expect(pek.signer(in: .second) == .chipEndorsement)
    let cek = try #require(SEVCertificate(NaplesChain.cek))
    #expect(cek.version == APIVersion(major: 0, minor: 14))
    #expect(cek.signer(in: .first) == .amdSigning)
    #expect(cek.signatureAlgorithm(in: .first) == .rsaSHA256)
    let ark = try #require(AMDCertificate(NaplesChain.ark))
    #expect(ark.usage == .amdRoot)
    #expect(ark.keyID == bytes(hex: "1bb987c359494606b174945601c9ea5b"))
    #expect(ark.certifyingKeyID == ark.keyID)
    let ask = try #require(AMDCertificate(NaplesChain.ask))
    #expect(ask.usage == .amdSigning)
    #expect(ask.keyID == bytes(hex: "e139970cfc464377ae61b289e2f9e96e"))
    #expect(ask.certifyingKeyID == ark.keyID)
  }

  @Test("are signed each by the one above it, up to AMD's root, and by the owner")
  func signed() throws {
    let pdh = try #require(SEVCertificate(NaplesChain.pdh))
    let pek = try #require(SEVCertificate(NaplesChain.pek))
    let oca = try #require(SEVCertificate(NaplesChain.oca))
    let cek = try #require(SEVCertificate(NaplesChain.cek))
    let ask = try #require(AMDCertificate(NaplesChain.ask))
    let ark = try #require(AMDCertificate(NaplesChain.ark))
    #expect(pdh.isSigned(by: pek))
    #expect(pek.isSigned(by: oca))
    #expect(pek.isSigned(by: cek))
    #expect(oca.isSigned(by: oca))
    #expect(ask.signed(cek))
    #expect(ask.isSigned(by: ark))
    #expect(ark.isSigned(by: ark))
    #expect(!pdh.isSigned(by: oca))
    #expect(!cek.isSigned(by: oca))
    #expect(!ark.isSigned(by: ask))
    #expect(!ask.signed(pek))
    #expect(fault(Self.naples) == nil)
    #expect(throws: Never.self) {
      try CertificateChain(pdh: Self.naples.pdh, chain: Self.naples.chain).verifyOwner(own: oca)
    }
  }

  @Test(
    "are refused with any bit of a signed part or of its signature changed",
    arguments: [
      (ChainMember.pdh, 0, 1044), (.pdh, 1052, 144), (.pek, 0, 1044), (.pek, 1572, 144), (.cek, 0, 1044),
      (.cek, 1052, 256), (.ask, 0, 832), (.ark, 0, 832),
    ])
  func changedBits(member: ChainMember, first: Int, count: Int) {
    // A step that meets every bit of a byte, and small enough for every field.
    for bit in stride(from: 8 * first, to: 8 * (first + count), by: 61) {
      var all = Self.naples
      all[keyPath: member.path][bit / 8] ^= 1 << UInt8(bit % 8)
      let fault = fault(all)
      #expect(
        fault == .badSignature || fault == .invalidCertificate || fault == .invalidLength,
        "bit \(bit): \(String(describing: fault))")
    }
  }

  @Test("are refused with the owner's part changed where the policy asks for the owner")
  func changedOwner() throws {
    for (member, offset) in [(ChainMember.oca, 50), (.oca, 1060), (.pek, 1060), (.pdh, 30)] {
      var all = Self.naples
      let own = try #require(SEVCertificate(all.oca))
      all[keyPath: member.path][offset] ^= 0x20
      #expect(throws: FirmwareStatus.badSignature) {
        try CertificateChain(pdh: all.pdh, chain: all.chain).verifyOwner(own: own)
      }
    }
  }

  @Test("are refused with the signers of the two slots exchanged")
  func swappedSlots() {
    var all = Self.naples
    let first = Array(all.pek[1044..<1052])
    all.pek.replaceSubrange(1044..<1052, with: all.pek[1564..<1572])
    all.pek.replaceSubrange(1564..<1572, with: first)
    #expect(fault(all) == .badSignature)
  }

  @Test("are accepted with the two signatures in the other order")
  func swappedSignatures() throws {
    var all = Self.naples
    let first = Array(all.pek[1044..<1564])
    all.pek.replaceSubrange(1044..<1564, with: all.pek[1564..<2084])
    all.pek.replaceSubrange(1564..<2084, with: first)
    #expect(fault(all) == nil)
    let oca = try #require(SEVCertificate(all.oca))
    #expect(try #require(SEVCertificate(all.pek)).isSigned(by: oca))
  }

  @Test("are INVALID_CERTIFICATE in another's place")
  func exchanged() {
    for (one, other) in [(ChainMember.pdh, ChainMember.pek), (.pek, .oca), (.oca, .cek), (.ask, .ark)] {
      var all = Self.naples
      let bytes = all[keyPath: one.path]
      all[keyPath: one.path] = all[keyPath: other.path]
      all[keyPath: other.path] = bytes
      #expect(fault(all) == .invalidCertificate, "\(one) and \(other)")
    }
  }

  @Test("are refused as session keys with another curve, off the curve, and with another format version")
  func pointsThatAreNone() throws {
    let good = NaplesChain.pdh
    for (offset, byte) in [(16, UInt8(1)), (20, good[20] ^ 1), (92, good[92] ^ 1), (70, 1), (0, 2), (12, 2)] {
      var bad = good
      bad[offset] = byte
      #expect(SEVCertificate(bad)?.keyAgreementKey == nil, "byte \(offset)")
    }
    // A key that signs is none to agree with.
    #expect(SEVCertificate(NaplesChain.pek)?.keyAgreementKey == nil)
    #expect(SEVCertificate(Array(good.dropLast())) == nil)
    #expect(SEVCertificate(good + [0]) == nil)
  }

  @Test("are INVALID_LENGTH where something is missing or too much")
  func lengths() throws {
    let all = Self.naples
    let chain = try CertificateChain(pdh: all.pdh, chain: all.chain)
    for count in [0, 831, 1663, 1665, 2084] {
      #expect(throws: FirmwareStatus.invalidLength) {
        try chain.verifyGenuine(amd: [UInt8](repeating: 0, count: count))
      }
    }
    #expect(throws: FirmwareStatus.invalidLength) {
      try CertificateChain(pdh: all.pdh, chain: Array(all.chain.dropLast()))
    }
    #expect(throws: FirmwareStatus.invalidLength) {
      try CertificateChain(pdh: all.pdh + [0], chain: all.chain)
    }
    for count in [1664, 2432, 3200] {
      #expect(throws: FirmwareStatus.invalidCertificate) {
        try chain.verifyGenuine(amd: [UInt8](repeating: 0, count: count))
      }
    }
  }
}

@Suite("The certificates of the model")
struct FirmwareTestRootTests {
  private func certificates() throws -> PlatformCertificates {
    var bench = FirmwareBench()
    return try bench.firmware.platformCertificates()
  }

  @Test("lead to a root that says it is one for tests")
  func root() throws {
    let all = try certificates()
    #expect(fault(all) == nil)
    #expect(try #require(AMDCertificate(all.ark)).keyID == Array("SEVMODEL TESTARK".utf8))
    #expect(try #require(AMDCertificate(all.ask)).keyID == Array("SEVMODEL TESTASK".utf8))
    #expect(all.amd.count == 1664)
    #expect(all.chain.count == 6252)
    #expect(all.all.count == 2084 * 4 + 832 * 2)
  }

  @Test("are not mixed with those of AMD's root")
  func mixed() throws {
    var all = try certificates()
    all.ark = NaplesChain.ark
    #expect(fault(all) == .badSignature)
    all.ask = NaplesChain.ask
    #expect(fault(all) == .badSignature)
  }

  @Test("need a root that the firmware knows")
  func unknownRoot() throws {
    var all = try certificates()
    // A root that signed itself but nobody knows: the signature is not even looked at.
    all.ark[4] ^= 1
    #expect(fault(all) == .invalidCertificate)
  }

  @Test("name the same chip for ever, and change their other keys with the commands for it")
  func lifeCycle() throws {
    var bench = FirmwareBench()
    try bench.initialize()
    let first = try bench.firmware.platformCertificates()
    try bench.firmware.generatePDH()
    let second = try bench.firmware.platformCertificates()
    #expect(second.pdh != first.pdh)
    #expect(second.chain == first.chain)
    try bench.firmware.generatePEK()
    let third = try bench.firmware.platformCertificates()
    #expect(third.pek != second.pek && third.pdh != second.pdh)
    #expect(third.oca == second.oca)
    #expect(third.cek[..<1044] == first.cek[..<1044])
    #expect(fault(third) == nil)
    try bench.firmware.shutdown()
    #expect(try bench.firmware.platformCertificates() == third, "the identity survives a shutdown")
    let name = try bench.firmware.platformIdentifier(room: 128)
    try bench.firmware.resetPlatform()
    let fourth = try bench.firmware.platformCertificates()
    #expect(fourth.oca != third.oca && fourth.pek != third.pek && fourth.pdh != third.pdh)
    #expect(fourth.cek[..<1044] == first.cek[..<1044])
    #expect(try bench.firmware.platformIdentifier(room: 128) == name)
    #expect(fault(fourth) == nil)
  }
}

@Suite("The certificates of the model, shown as a target's")
struct ModelAsTargetTests {
  private func shown() throws -> TargetCertificates {
    var bench = FirmwareBench()
    let all = try bench.firmware.platformCertificates()
    return TargetCertificates(pdh: all.pdh, platform: all.chain, amd: all.amd)
  }

  @Test("are believed only where the model's root is allowed")
  func onlyWhereAllowed() throws {
    let shown = try shown()
    #expect(try shown.verify(roots: .amdAndModel).root == .model)
    #expect(throws: CertificateError(.ark, .modelRoot)) { try shown.verify() }
  }

  @Test("need the signed CEK, which the firmware does not export")
  func unsignedExport() throws {
    var shown = try shown()
    let signed = Array(shown.platform[4168...])
    let exported = try #require(SEVCertificate(signed)).withoutSignatures.bytes
    shown.platform.replaceSubrange(4168..., with: exported)
    #expect(throws: CertificateError(.cek, .unsigned(by: .ask))) {
      try shown.verify(roots: .amdAndModel)
    }
    try shown.take(signedCEK: signed)
    #expect(try shown.verify(roots: .amdAndModel).cek.bytes == signed)
  }

  @Test("do not pass for another chip's")
  func twoChips() throws {
    var mixed = try shown()
    let other = try shown()
    mixed.platform.replaceSubrange(4168..., with: other.platform[4168...])
    #expect(throws: CertificateError(.pek, .badSignature(by: .cek))) {
      try mixed.verify(roots: .amdAndModel)
    }
    mixed = try shown()
    mixed.pdh = other.pdh
    #expect(throws: CertificateError(.pdh, .badSignature(by: .pek))) {
      try mixed.verify(roots: .amdAndModel)
    }
  }

  @Test("have the pinned root's digest")
  func pinned() throws {
    let ark = try #require(AMDCertificate(Array(try shown().amd[832...])))
    #expect(AMDRoot.model.isKey(of: ark))
  }
}
