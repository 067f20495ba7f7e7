import Crypto
import SEVABI
import SEVCertificates
import SEVModel
import Testing

extension Bench {
  /// SEV_ISSUE_CMD with a command's struct, which is at ``Address/parameters`` afterwards.
  mutating func device(
    rawID: UInt32, _ parameters: [UInt8] = [], isWritable: Bool = true, data: UInt64 = Address.parameters
  ) -> Ending {
    memory.store(parameters, at: Address.parameters)
    let block = DeviceCommandBlock(id: rawID, data: data, error: FirmwareStatus.neverCalled.rawValue)
    memory.store(block.bytes, at: Address.block)
    let error = host.run(
      host.issueDeviceCommand(argument: Address.block, isWritable: isWritable), in: &memory)
    let after = DeviceCommandBlock(decoding: memory.load(16, at: Address.block).span)
    return Ending(error: error, firmware: FirmwareStatus(rawValue: after.error))
  }

  mutating func device(
    _ id: DeviceCommandID, _ parameters: [UInt8] = [], isWritable: Bool = true,
    data: UInt64 = Address.parameters
  ) -> Ending {
    device(rawID: id.rawValue, parameters, isWritable: isWritable, data: data)
  }

  mutating func platformStatus() -> PlatformStatusParameters {
    #expect(device(.platformStatus, isWritable: false) == .ok)
    return parameters(as: PlatformStatusParameters.self)
  }

  /// PDH_CERT_EXPORT.
  mutating func exported() -> (pdh: [UInt8], chain: [UInt8]) {
    let parameters = ExportParameters(
      diffieHellmanAddress: Place.pdh, diffieHellmanByteCount: 2084, chainAddress: Place.chain,
      chainByteCount: 6252)
    #expect(device(.exportPDH, parameters.bytes) == .ok)
    return (memory.load(2084, at: Place.pdh), memory.load(6252, at: Place.chain))
  }

  /// PEK_CERT_IMPORT of what an owner signed of the platform's request.
  mutating func takeOver(
    change: (inout [UInt8], inout [UInt8]) -> Void = { _, _ in }
  ) throws -> Ending {
    let request = SigningRequestParameters(address: Place.pdh, length: 2084)
    #expect(device(.certificateSigningRequest, request.bytes) == .ok)
    let key = P384.Signing.PrivateKey()
    var oca = SEVCertificate(
      usage: .owner, algorithm: .ecdsaSHA256, point: Array(key.publicKey.x963Representation),
      version: APIVersion(major: 1, minor: 0))
    try oca.sign(.first, as: .owner, with: key)
    var pek = try #require(SEVCertificate(memory.load(2084, at: Place.pdh)))
    try pek.sign(.first, as: .owner, with: key)
    var (signed, authority) = (pek.bytes, oca.bytes)
    change(&signed, &authority)
    memory.store(signed, at: Place.pdh)
    memory.store(authority, at: Place.chain)
    return device(.importPEK, Bench.importing.bytes)
  }

  static let importing = ImportParameters(
    certificateAddress: Place.pdh, certificateByteCount: 2084, ownerAddress: Place.chain,
    ownerByteCount: 2084)
}

/// Where the tests put certificates.
private enum Place {
  static let pdh: UInt64 = 0x300_000
  static let chain: UInt64 = 0x310_000
}

@Suite("/dev/sev")
struct FirmwareDeviceTests {
  /// The struct with which each command succeeds.
  private static func parameters(_ id: DeviceCommandID) -> [UInt8] {
    switch id {
    case .factoryReset, .platformStatus, .generatePEK, .generatePDH, .getID: []
    case .certificateSigningRequest, .getID2:
      SigningRequestParameters(address: Place.pdh, length: 4096).bytes
    case .exportPDH:
      ExportParameters(
        diffieHellmanAddress: Place.pdh, diffieHellmanByteCount: 2084, chainAddress: Place.chain,
        chainByteCount: 6252
      ).bytes
    case .importPEK: Bench.importing.bytes
    }
  }

  @Test(
    "needs a descriptor for writing where the platform is changed, else EPERM",
    arguments: DeviceCommandID.allCases)
  func readOnly(id: DeviceCommandID) {
    var bench = Bench()
    let needsWriting: Set<DeviceCommandID> = [
      .factoryReset, .generatePEK, .generatePDH, .certificateSigningRequest, .importPEK,
    ]
    let ending = bench.device(id, Self.parameters(id), isWritable: false)
    #expect(ending == (needsWriting.contains(id) ? .failed(.notPermitted) : .ok))
  }

  @Test("PDH_CERT_EXPORT needs one only if the platform has to be initialised, before it reads anything")
  func exportUninitialized() {
    var bench = Bench()
    #expect(bench.device(.factoryReset) == .ok)
    #expect(bench.platformStatus().state == 0)
    bench.memory.faults = [Address.parameters]
    #expect(bench.device(.exportPDH, isWritable: false) == .failed(.notPermitted))
    #expect(bench.memory.log.last == "write", "only the block is written back")
    #expect(bench.device(.exportPDH).error == .badAddress)
    bench.memory.faults = []
    #expect(bench.platformStatus().state == 1)
  }

  @Test("has no other commands: EINVAL, and the block is not written", arguments: [UInt32(9), 10, 42, .max])
  func unknown(id: UInt32) {
    var bench = Bench()
    bench.memory.readOnly = [Address.block]
    #expect(bench.device(rawID: id) == .failed(.invalidArgument))
    #expect(!bench.memory.log.contains("write"))
  }

  @Test("EFAULT at each copy", arguments: DeviceCommandID.allCases)
  func faults(id: DeviceCommandID) throws {
    var whole = Bench()
    if id == .importPEK {
      _ = try whole.takeOver()
      _ = whole.device(.generatePEK)
    }
    whole.memory.log = []
    _ = whole.device(id, Self.parameters(id))
    for question in whole.memory.log.indices {
      var bench = Bench()
      bench.memory = whole.memory
      bench.memory.log = []
      bench.memory.failingQuestion = question
      #expect(bench.device(id, Self.parameters(id)).error == .badAddress, "question \(question)")
    }
  }

  @Test("reports version, state, owner, SEV-ES and number of guests")
  func status() throws {
    var bench = Bench(ModelConfiguration(encryptedStateASIDCount: 2))
    var status = bench.platformStatus()
    let version = bench.host.configuration.firmwareVersion
    #expect((status.major, status.minor, status.build) == (version.major, version.minor, version.build))
    #expect(status.state == 1)
    #expect(status.guestCount == 0)
    #expect(status.hasEncryptedState && !status.isExternallyOwned)
    #expect(try bench.takeOver() == .ok)
    _ = bench.makeLaunched()
    status = bench.platformStatus()
    #expect(status.state == 2)
    #expect(status.guestCount == 1)
    #expect(status.flags == 0x101)
    var plain = Bench()
    #expect(plain.platformStatus().flags == 0)
  }

  @Test("has the API version of the firmware that made its keys in their certificates until PEK_GEN")
  func updated() throws {
    let older = FirmwareVersion(major: 1, minor: 40, build: 7)
    var bench = Bench(ModelConfiguration(platformVersion: older))
    let status = bench.platformStatus()
    #expect(APIVersion(major: status.major, minor: status.minor) == APIVersion(major: 1, minor: 55))
    func versions(_ shown: (pdh: [UInt8], chain: [UInt8])) -> [APIVersion?] {
      [shown.pdh, Array(shown.chain.prefix(2084))].map { SEVCertificate($0)?.version }
    }
    let before = APIVersion(major: 1, minor: 40)
    #expect(versions(bench.exported()) == [before, before])
    let certificates = try bench.host.platformCertificates()
    let shown = TargetCertificates(
      pdh: certificates.pdh, platform: certificates.chain, amd: certificates.amd)
    let needs = APIVersion(major: 1, minor: 41)
    #expect(throws: CertificateError(.pek, .apiTooOld(has: before, needs: needs))) {
      try shown.verify(roots: .amdAndModel, minimumAPI: needs)
    }
    #expect(bench.device(.generatePEK) == .ok)
    let now = APIVersion(major: 1, minor: 55)
    #expect(versions(bench.exported()) == [now, now])
  }

  @Test("FACTORY_RESET is EBUSY while there is a guest, and else leaves the platform uninitialised")
  func factoryReset() throws {
    var bench = Bench()
    let before = bench.exported()
    let machine = bench.makeLaunched()
    #expect(bench.device(.factoryReset) == Ending(error: .busy, firmware: .success))
    bench.host.destroy(machine)
    #expect(bench.device(.factoryReset) == .ok)
    #expect(bench.platformStatus().state == 0)
    #expect(bench.device(.factoryReset) == .ok)
    let after = bench.exported()
    #expect(bench.platformStatus().state == 1)
    #expect(after.pdh != before.pdh)
    #expect(after.chain != before.chain)
    // A guest can be launched as on the first day.
    _ = bench.makeLaunched()
  }

  @Test("PEK_GEN and PEK_CERT_IMPORT are refused while there is a guest, PDH_GEN is not")
  func working() throws {
    var bench = Bench()
    _ = try bench.takeOver()
    _ = bench.device(.generatePEK)
    _ = bench.makeLaunched()
    #expect(bench.device(.generatePEK) == .refused(.invalidPlatformState))
    #expect(bench.device(.importPEK, Bench.importing.bytes) == .refused(.invalidPlatformState))
    let before = bench.exported()
    #expect(bench.device(.generatePDH) == .ok)
    let after = bench.exported()
    #expect(after.pdh != before.pdh)
    #expect(after.chain == before.chain)
  }

  @Test("tells the length of the signing request and of the identifier: EIO, INVALID_LENGTH, and the length")
  func queries() {
    for (id, needed) in [(DeviceCommandID.certificateSigningRequest, UInt32(2084)), (.getID2, 128)] {
      for (address, length) in [(UInt64(0), UInt32(0)), (0, 4096), (Place.pdh, 0), (Place.pdh, needed - 1)] {
        var bench = Bench()
        let parameters = SigningRequestParameters(address: address, length: length)
        #expect(bench.device(id, parameters.bytes) == .refused(.invalidLength), "\(id), \(length)")
        #expect(bench.parameters(as: SigningRequestParameters.self).length == needed)
        #expect(bench.memory.load(16, at: Place.pdh).allSatisfy { $0 == 0 })
      }
      var bench = Bench()
      let long = SigningRequestParameters(address: Place.pdh, length: 0x4001)
      #expect(bench.device(id, long.bytes) == .failed(.badAddress))
      let enough = SigningRequestParameters(address: Place.pdh, length: 0x4000)
      #expect(bench.device(id, enough.bytes) == .ok)
      #expect(bench.parameters(as: SigningRequestParameters.self).length == needed)
    }
  }

  @Test("tells the lengths of the exported certificates")
  func exportQueries() {
    for (pdh, pdhLength, chain, chainLength) in [
      (UInt64(0), UInt32(0), UInt64(0), UInt32(0)), (Place.pdh, 0, Place.chain, 6252),
      (Place.pdh, 2084, 0, 6252), (Place.pdh, 2084, Place.chain, 0), (Place.pdh, 2084, Place.chain, 6251),
      (Place.pdh, 2083, Place.chain, 6252),
    ] {
      var bench = Bench()
      let parameters = ExportParameters(
        diffieHellmanAddress: pdh, diffieHellmanByteCount: pdhLength, chainAddress: chain,
        chainByteCount: chainLength)
      #expect(bench.device(.exportPDH, parameters.bytes) == .refused(.invalidLength))
      let after = bench.parameters(as: ExportParameters.self)
      #expect(after.diffieHellmanByteCount == 2084)
      #expect(after.chainByteCount == 6252)
    }
    for lengths in [(UInt32(0x4001), UInt32(6252)), (2084, 0x4001)] {
      var bench = Bench()
      let parameters = ExportParameters(
        diffieHellmanAddress: Place.pdh, diffieHellmanByteCount: lengths.0, chainAddress: Place.chain,
        chainByteCount: lengths.1)
      #expect(bench.device(.exportPDH, parameters.bytes) == .failed(.badAddress))
    }
  }

  @Test("exports PEK, OCA and a chip's key without AMD's signature")
  func export() throws {
    var bench = Bench()
    let (pdh, chain) = bench.exported()
    let all = try bench.host.platformCertificates()
    #expect(pdh == all.pdh)
    #expect(chain[..<4168] == (all.pek + all.oca)[...])
    let cek = try #require(SEVCertificate(Array(chain[4168...])))
    #expect(cek.body == all.cek[..<1044])
    #expect(cek.signer(in: .first) == SEVCertificate.Usage.none)
    #expect(cek.signer(in: .second) == SEVCertificate.Usage.none)
  }

  @Test("gives the chip's name in two ways, with zeros for a second socket")
  func identifier() {
    var bench = Bench()
    #expect(bench.device(.getID, isWritable: false) == .ok)
    let name = bench.memory.load(128, at: Address.parameters)
    #expect(name[64...].allSatisfy { $0 == 0 })
    #expect(Set(name[..<64]).count > 20)
    let parameters = IdentifierParameters(address: Place.pdh, length: 128)
    #expect(bench.device(.getID2, parameters.bytes) == .ok)
    #expect(bench.memory.load(128, at: Place.pdh) == name)
    var other = Bench()
    _ = other.device(.getID)
    #expect(other.memory.load(128, at: Address.parameters) != name)
  }

  @Test("an owner takes the platform over once; a new endorsement key gives it back")
  func takeOver() throws {
    var bench = Bench()
    let before = bench.exported()
    #expect(try bench.takeOver() == .ok)
    #expect(bench.platformStatus().isExternallyOwned)
    let owned = bench.exported()
    #expect(owned.pdh != before.pdh)
    // The key stays, its certificate now has the owner's signature first and the chip's second.
    #expect(owned.chain[..<1044] == before.chain[..<1044])
    let oca = try #require(SEVCertificate(Array(owned.chain[2084..<4168])))
    let pek = try #require(SEVCertificate(Array(owned.chain[..<2084])))
    #expect(pek.isSigned(by: oca))
    #expect(pek.isSigned(by: try #require(SEVCertificate(Array(owned.chain[4168...])))))
    #expect(fault(try bench.host.platformCertificates()) == nil)
    #expect(try bench.takeOver() == .refused(.alreadyOwned))
    #expect(bench.device(.generatePEK) == .ok)
    #expect(!bench.platformStatus().isExternallyOwned)
    #expect(try bench.takeOver() == .ok)
  }

  @Test(
    "refuses to import what the owner did not sign, or another key",
    arguments: [
      // Which certificate (PEK is 0), which byte of it, and the status.
      (0, 1060, FirmwareStatus.badSignature), (1, 1060, .badSignature), (0, 50, .invalidCertificate),
      (1, 50, .badSignature), (0, 8, .invalidCertificate), (1, 8, .invalidCertificate),
      (0, 0, .invalidCertificate), (1, 0, .invalidCertificate),
    ])
  func badImports(certificate: Int, byte: Int, expected: FirmwareStatus) throws {
    var bench = Bench()
    let ending = try bench.takeOver { pek, oca in
      if certificate == 0 { pek[byte] ^= 2 } else { oca[byte] ^= 2 }
    }
    #expect(ending == .refused(expected))
    #expect(!bench.platformStatus().isExternallyOwned)
  }

  @Test("refuses to import what was signed for an older endorsement key")
  func oldImport() throws {
    var bench = Bench()
    #expect(try bench.takeOver() == .ok)
    #expect(bench.device(.generatePEK) == .ok)
    let (pek, oca) = (bench.memory.load(2084, at: Place.pdh), bench.memory.load(2084, at: Place.chain))
    #expect(SEVCertificate(pek) != nil && SEVCertificate(oca) != nil)
    #expect(bench.device(.importPEK, Bench.importing.bytes) == .refused(.invalidCertificate))
  }

  @Test("refuses to import certificates that are missing, too long for the driver, or of another length")
  func importLengths() {
    for (pek, pekLength, oca, ocaLength) in [
      (UInt64(0), UInt32(2084), Place.chain, UInt32(2084)), (Place.pdh, 0, Place.chain, 2084),
      (Place.pdh, 2084, 0, 2084), (Place.pdh, 2084, Place.chain, 0), (Place.pdh, 0x4001, Place.chain, 2084),
    ] {
      var bench = Bench()
      let parameters = ImportParameters(
        certificateAddress: pek, certificateByteCount: pekLength, ownerAddress: oca,
        ownerByteCount: ocaLength)
      #expect(bench.device(.importPEK, parameters.bytes) == .failed(.invalidArgument))
    }
    for lengths in [(UInt32(2083), UInt32(2084)), (2084, 2085)] {
      var bench = Bench()
      let parameters = ImportParameters(
        certificateAddress: Place.pdh, certificateByteCount: lengths.0, ownerAddress: Place.chain,
        ownerByteCount: lengths.1)
      #expect(bench.device(.importPEK, parameters.bytes) == .refused(.invalidLength))
    }
  }
}
