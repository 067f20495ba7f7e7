import Crypto
import SEVCertificates
import Testing

@Suite("The certificates of a target")
struct TargetVerificationTests {
  @Test("are believed if they are a real machine's")
  func genuine() throws {
    let platform = try Chain.naples.shown.verify()
    #expect(platform.root == .naples)
    #expect(platform.api == APIVersion(major: 0, minor: 16))
    #expect(platform.pdh.bytes == NaplesChain.pdh)
    #expect(platform.oca.bytes == NaplesChain.oca)
    #expect(platform.cek.isSigned(by: platform.oca) == false)
  }

  @Test(
    "are refused with any bit of a signed part or of its signature changed, and the right one is named",
    arguments: [
      (CertificateName.pdh, 0..<1044), (.pdh, 1052..<1196), (.pek, 0..<1044), (.pek, 1052..<1196),
      (.pek, 1572..<1716), (.oca, 0..<1044), (.oca, 1052..<1196), (.cek, 0..<1044), (.cek, 1052..<1308),
      (.ask, 0..<832), (.ark, 0..<832),
    ])
  func flippedBits(name: CertificateName, bytes: Range<Int>) {
    // A step that meets every bit of a byte, and small enough for every field.
    for bit in stride(from: 8 * bytes.lowerBound, to: 8 * bytes.upperBound, by: 61) {
      var chain = Chain.naples
      chain.flip(bit: bit, of: name)
      #expect(chain.fault()?.certificate == name, "bit \(bit)")
    }
  }

  @Test("name the signature that does not fit when a bit is flipped")
  func flippedBit() {
    for (name, byte, signer) in [
      (CertificateName.ark, 700, CertificateName.ark), (.ask, 400, .ark), (.cek, 1100, .ask),
      (.oca, 6, .oca), (.pek, 1100, .oca), (.pek, 1600, .cek), (.pdh, 6, .pek),
    ] {
      var chain = Chain.naples
      chain.flip(bit: 8 * byte, of: name)
      #expect(chain.fault() == CertificateError(name, .badSignature(by: signer)))
    }
  }

  @Test(
    "are refused in the wrong order, and say what is in whose place",
    arguments: [
      (CertificateName.pek, CertificateName.oca), (.pek, .cek), (.oca, .cek), (.pdh, .pek), (.ask, .ark),
    ])
  func order(one: CertificateName, other: CertificateName) throws {
    var chain = Chain.naples
    (chain[one], chain[other]) = (chain[other], chain[one])
    let error = try #require(chain.fault())
    let usage: [CertificateName: UInt32] = [
      .ark: 0, .ask: 0x13, .oca: 0x1001, .pek: 0x1002, .pdh: 0x1003, .cek: 0x1004,
    ]
    let found = error.certificate == one ? other : one
    #expect([one, other].contains(error.certificate))
    #expect(error.reason == .wrongUsage(usage[found] ?? .max))
    #expect(error.description.contains("the \(found) is in its place"))
  }

  @Test("are refused when they are too short or too long, and the one that is cut is named")
  func lengths() {
    for name in CertificateName.allCases {
      for change in [-1, 1] {
        var chain = Chain.naples
        if change < 0 { chain[name].removeLast() } else { chain[name].append(0) }
        // In a blob of several only what follows the wrong length is seen to be wrong.
        let named: [CertificateName] =
          switch name {
          case .pdh: [.pdh]
          case .pek, .oca, .cek: [.pek, .oca, .cek]
          case .ask, .ark: [.ask, .ark]
          }
        guard let fault = chain.fault() else {
          Issue.record("\(name) with \(change) bytes more is believed")
          continue
        }
        #expect(named.contains(fault.certificate), "\(name): \(fault)")
      }
    }
    var chain = Chain.naples
    chain[.cek] = []
    #expect(chain.fault() == CertificateError(.cek, .wrongLength(0, expected: [2084])))
    chain = .naples
    chain[.ark] = []
    #expect(chain.fault() == CertificateError(.ark, .wrongLength(0, expected: [832, 1600])))
    #expect(
      Chain(empty: ()).fault() == CertificateError(.ask, .wrongLength(0, expected: [832, 1600])))
  }

  @Test("are refused with another format version")
  func format() {
    for name in CertificateName.allCases {
      var chain = Chain.naples
      chain[name][0] = 2
      #expect(chain.fault() == CertificateError(name, .unknownFormat(2)))
    }
    var chain = Chain.naples
    chain[.ask][61] = 0x0C
    #expect(chain.fault() == CertificateError(.ask, .wrongKeySize(0x0C00)))
  }

  @Test("are refused when the PEK was made by firmware that the policy forbids")
  func expired() {
    let needs = APIVersion(major: 0, minor: 17)
    #expect(
      Chain.naples.fault(minimumAPI: needs)
        == CertificateError(.pek, .apiTooOld(has: APIVersion(major: 0, minor: 16), needs: needs)))
    #expect(Chain.naples.fault(minimumAPI: APIVersion(major: 0, minor: 16)) == nil)
    #expect(Chain.naples.fault(minimumAPI: APIVersion(major: 1, minor: 0)) != nil)
  }

  @Test("are refused under a root that nobody knows, and under one that only has a known one's key id")
  func wrongRoot() throws {
    var chain = Chain.naples
    let id = bytes(hex: "00112233445566778899aabbccddeeff")
    chain[.ark] = try ForeignRoot(keyID: id).certificate
    #expect(chain.fault() == CertificateError(.ark, .unknownRoot(id)))
    for root in AMDRoot.allCases where root != .model {
      chain[.ark] = try ForeignRoot(keyID: root.keyID).certificate
      #expect(chain.fault() == CertificateError(.ark, .wrongRoot(root)))
    }
    chain[.ark] = try ForeignRoot(keyID: AMDRoot.model.keyID).certificate
    #expect(chain.fault() == CertificateError(.ark, .modelRoot))
    #expect(chain.fault(roots: .amdAndModel) == CertificateError(.ark, .wrongRoot(.model)))
  }

  @Test("are refused when the ASK is another root's")
  func wrongIssuer() {
    var chain = Chain.naples
    chain[.ask].replaceSubrange(20..<36, with: AMDRoot.rome.keyID)
    #expect(chain.fault() == CertificateError(.ask, .wrongIssuer(AMDRoot.rome.keyID)))
  }

  @Test("are refused when the CEK is not signed, and say where to get the signed one")
  func unsigned() throws {
    var chain = Chain.naples
    chain[.cek] = try #require(SEVCertificate(chain[.cek])).withoutSignatures.bytes
    let error = try #require(chain.fault())
    #expect(error == CertificateError(.cek, .unsigned(by: .ask)))
    #expect(error.description.contains("key distribution service"))
    for (name, signer) in [(CertificateName.oca, CertificateName.oca), (.pek, .oca), (.pdh, .pek)] {
      var chain = Chain.naples
      chain[name] = try #require(SEVCertificate(chain[name])).withoutSignatures.bytes
      #expect(chain.fault() == CertificateError(name, .unsigned(by: signer)))
    }
    // The PEK without the chip's signature only.
    chain = .naples
    chain[.pek].replaceSubrange(1564..<1568, with: [0, 0x10, 0, 0])
    #expect(chain.fault() == CertificateError(.pek, .unsigned(by: .cek)))
  }

  @Test("are refused when a signature or a key is of another algorithm than it can be")
  func algorithms() {
    var chain = Chain.naples
    chain[.cek][1048] = 2
    #expect(chain.fault() == CertificateError(.cek, .wrongSignatureAlgorithm(by: .ask)))
    chain = .naples
    chain[.pdh][1049] = 1
    #expect(chain.fault() == CertificateError(.pdh, .wrongSignatureAlgorithm(by: .pek)))
    for (name, algorithm) in [(CertificateName.pdh, UInt8(2)), (.pek, 3), (.cek, 1), (.oca, 0)] {
      chain = .naples
      chain[name][12] = algorithm
      #expect(chain.fault() == CertificateError(name, .wrongAlgorithm(UInt32(algorithm))))
    }
  }

  @Test("are refused when a key is no point of P-384")
  func keys() {
    for name in [CertificateName.pdh, .pek, .oca, .cek] {
      for (offset, byte) in [(16, UInt8(1)), (20, Chain.naples[name][20] ^ 1), (70, 1)] {
        var chain = Chain.naples
        chain[name][offset] = byte
        #expect(chain.fault() == CertificateError(name, .badKey), "byte \(offset)")
      }
    }
  }

  @Test("are refused when they are of two machines")
  func mixed() throws {
    // Another machine's owner and endorsement key, under the same chip.
    let key = P384.Signing.PrivateKey()
    var oca = SEVCertificate(
      usage: .owner, algorithm: .ecdsaSHA256, point: Array(key.publicKey.x963Representation),
      version: .zero)
    try oca.sign(.first, as: .owner, with: key)
    var chain = Chain.naples
    chain[.oca] = oca.bytes
    #expect(chain.fault() == CertificateError(.pek, .badSignature(by: .oca)))
  }

  @Test("take the signed CEK into the place of the exported one, and only of the same chip")
  func signedCEK() throws {
    var shown = Chain.naples.shown
    let exported = try #require(SEVCertificate(NaplesChain.cek)).withoutSignatures.bytes
    shown.platform.replaceSubrange(4168..., with: exported)
    try shown.take(signedCEK: NaplesChain.cek)
    #expect(shown == Chain.naples.shown)
    var other = NaplesChain.cek
    other[30] ^= 1
    #expect(throws: CertificateError(.cek, .foreignKey)) { try shown.take(signedCEK: other) }
    #expect(throws: CertificateError(.cek, .wrongUsage(0x1002))) {
      try shown.take(signedCEK: NaplesChain.pek)
    }
    #expect(throws: CertificateError(.cek, .wrongLength(3, expected: [2084]))) {
      try shown.take(signedCEK: [1, 2, 3])
    }
    #expect(shown == Chain.naples.shown)
  }

  @Test("are refused in sentences that name the certificate")
  func sentences() {
    let reasons: [CertificateError.Reason] = [
      .wrongLength(3, expected: [832, 1600]), .unknownFormat(2), .wrongKeySize(1024), .wrongUsage(0x1002),
      .wrongUsage(0x77), .wrongAlgorithm(1), .badKey, .unsigned(by: .ask),
      .wrongSignatureAlgorithm(by: .ask), .badSignature(by: .ask), .wrongIssuer([1, 2]),
      .unknownRoot([1, 2]), .wrongRoot(.milan), .modelRoot,
      .apiTooOld(has: .zero, needs: APIVersion(major: 1, minor: 2)), .foreignKey,
    ]
    for name in CertificateName.allCases {
      let sentences = reasons.map { CertificateError(name, $0).description }
      #expect(Set(sentences).count == reasons.count)
      #expect(sentences.allSatisfy { $0.hasPrefix("The target's \(name.rawValue) certificate is refused: ") })
    }
  }
}

extension Chain {
  /// A machine that shows nothing.
  fileprivate init(empty: Void) {
    self = .naples
    for name in CertificateName.allCases { self[name] = [] }
  }
}

@Suite("The pinned roots")
struct AMDRootTests {
  @Test("are six different ones, of which the model's is not AMD's")
  func pinned() throws {
    #expect(Set(AMDRoot.allCases.map(\.keyID)).count == 6)
    #expect(Set(AMDRoot.allCases.map(\.digest)).count == 6)
    #expect(AMDRoot.allCases.allSatisfy { $0.keyID.count == 16 && $0.digest.count == 32 })
    let ark = try #require(AMDCertificate(NaplesChain.ark))
    #expect(AMDRoot.naples.isKey(of: ark))
    #expect(AMDRoot.allCases.filter { $0.isKey(of: ark) } == [.naples])
    #expect(TrustedRoots.amd != TrustedRoots.amdAndModel)
  }
}
