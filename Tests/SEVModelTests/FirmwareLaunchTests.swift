import Crypto
import SEVABI
import SEVModel
import Testing

@Suite("The firmware's launch commands")
struct FirmwareLaunchTests {
  private func bench(_ state: GuestState, policy: GuestPolicy = .encryptedState) throws -> FirmwareBench {
    var bench = FirmwareBench(policy: policy)
    try bench.bring(to: state)
    return bench
  }

  @Test(
    "LAUNCH_START and RECEIVE_START refuse a session in the firmware's order",
    arguments: [
      // Each case is wrong in what it names and in everything that is checked later.
      ("session's length", FirmwareStatus.invalidLength), ("certificate's length", .invalidLength),
      ("certificate", .invalidCertificate), ("wrap code", .badMeasurement),
      ("policy code", .badMeasurement), ("version", .policyFailure), ("reserved bits", .policyFailure),
      ("shared handle", .invalidGuest), ("encrypted state", .unsupported),
    ])
  func sessions(wrong: String, expected: FirmwareStatus) throws {
    let order = [
      "session's length", "certificate's length", "certificate", "wrap code", "policy code", "version",
      "reserved bits", "shared handle", "encrypted state",
    ]
    let first = try #require(order.firstIndex(of: wrong))
    let isWrong = { (step: String) in (order.firstIndex(of: step) ?? 0) >= first }
    let owner = SessionOwner()
    var firmware = Firmware(
      version: FirmwareVersion(major: 1, minor: 55, build: 21), encryptedStateASIDCount: 0, asidCount: 4,
      identity: PlatformIdentity(key: owner.platformKey))
    try firmware.initialize()
    var policy: GuestPolicy = [.encryptedState]
    if isWrong("reserved bits") { policy.insert(GuestPolicy(rawValue: 0x40)) }
    if isWrong("version") { policy.insert(GuestPolicy(rawValue: 0x38_01_0000)) }
    var session = try owner.session(policy: policy)
    var certificate = owner.certificate
    if isWrong("policy code") { session[100] ^= 1 }
    if isWrong("wrap code") { session[70] ^= 1 }
    if isWrong("certificate") { certificate[12] = 2 }
    if isWrong("certificate's length") { certificate.append(0) }
    if isWrong("session's length") { session.removeLast() }
    let sharing: UInt32 = isWrong("shared handle") ? 99 : 0
    var random: any RandomSource = ScriptedRandom()
    let given = Firmware.LaunchSession(certificate: certificate, session: session)
    #expect(throws: expected) {
      try firmware.launchStart(policy: policy, sharing: sharing, session: given, random: &random)
    }
    #expect(throws: expected) {
      try firmware.receiveStart(policy: policy, sharing: sharing, session: given, random: &random)
    }
    #expect(firmware.guestCount == 0)
  }

  @Test("without a session the policy is not verified")
  func withoutSession() throws {
    var bench = FirmwareBench(policy: [])
    try bench.initialize()
    let handle = try bench.firmware.launchStart(
      policy: GuestPolicy(rawValue: 0xFF00_FFC0), sharing: 0, session: nil, random: &bench.random)
    #expect(try bench.firmware.guestStatus(handle).policy.rawValue == 0xFF00_FFC0)
  }

  @Test(
    "a session for an older Diffie-Hellman key is BAD_MEASUREMENT",
    arguments: [
      FirmwareCommand.generatePDH, .generatePEK, .platformReset,
    ])
  func olderKey(command: FirmwareCommand) throws {
    var bench = FirmwareBench(policy: [])
    try bench.initialize()
    let session = try bench.session()
    if command == .platformReset { try bench.firmware.shutdown() }
    try command.issue(on: &bench)
    if command == .platformReset { try bench.initialize() }
    #expect(throws: FirmwareStatus.badMeasurement) {
      try bench.firmware.launchStart(policy: [], sharing: 0, session: session, random: &bench.random)
    }
  }

  @Test("LAUNCH_UPDATE_DATA and _VMSA check address and length last, but the registers' length first")
  func updates() throws {
    var bench = try bench(.launching)
    let block = [UInt8](repeating: 0, count: 24)
    #expect(
      bench.status { try $0.firmware.launchUpdateData(1, address: 8, plaintext: block[...]) }
        == .invalidAddress)
    for count in [0, 8, 24] {
      #expect(
        bench.status { try $0.firmware.launchUpdateData(1, address: 16, plaintext: block[..<count]) }
          == .invalidLength)
    }
    #expect(
      bench.status { _ = try $0.firmware.launchUpdateVMSA(99, address: 8, page: block) } == .invalidLength)
    let page = [UInt8](repeating: 0, count: 4096)
    #expect(
      bench.status { _ = try $0.firmware.launchUpdateVMSA(99, address: 8, page: page) } == .invalidGuest)
    #expect(
      bench.status { _ = try $0.firmware.launchUpdateVMSA(1, address: 8, page: page) } == .invalidAddress)
  }

  @Test("memory and registers are measured in the order of the calls, and refused ones are not")
  func digest() throws {
    var bench = try bench(.launching)
    let page = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 3) }
    let data = [UInt8](repeating: 8, count: 48)
    try bench.firmware.launchUpdateData(1, address: 0, plaintext: data[...])
    _ = bench.status { try $0.firmware.launchUpdateData(1, address: 8, plaintext: data[...]) }
    let sealed = try bench.firmware.launchUpdateVMSA(1, address: 0, page: page)
    try bench.firmware.launchUpdateData(1, address: 0, plaintext: data[16...])
    #expect(sealed[..<0xFC0] == page[..<0xFC0])
    #expect(sealed[0xFC4...].allSatisfy { $0 == 0 })
    try bench.measure()
    let report = try bench.firmware.attest(1, nonce: [UInt8](repeating: 3, count: 16), room: 208)
    #expect(Array(report[16..<48]) == Array(SHA256.hash(data: data + page + data[16...])))
  }

  @Test("LAUNCH_MEASURE needs room for 48 bytes, after the guest's state was looked at")
  func measureRoom() throws {
    var bench = try bench(.launching)
    for room in [UInt32(0), 47] {
      #expect(
        bench.status { _ = try $0.firmware.launchMeasure(1, room: room, random: &$0.random) }
          == .invalidLength)
    }
    #expect(try bench.firmware.launchMeasure(1, room: 48, random: &bench.random).count == 48)
    #expect(
      bench.status { _ = try $0.firmware.launchMeasure(1, room: 0, random: &$0.random) }
        == .invalidGuestState)
  }

  @Test("LAUNCH_SECRET gives the plaintext of what the owner sealed, any number of times")
  func secret() throws {
    var bench = try bench(.measured)
    let measurement = try bench.expectedMeasurement()
    #expect(try bench.secret(measurement: measurement) == [UInt8](repeating: 7, count: 64))
    #expect(try bench.secret(measurement: measurement) == [UInt8](repeating: 7, count: 64))
  }

  @Test("LAUNCH_SECRET checks the address, lengths, code and flags in the firmware's order")
  func secretOrder() throws {
    var bench = try bench(.measured)
    let right = try bench.expectedMeasurement()
    let wrong = [UInt8](repeating: 0, count: 32)
    #expect(
      bench.status { try $0.secret(measurement: wrong, guestAddress: 8, guestByteCount: 8) }
        == .invalidAddress)
    for (guest, dropped) in [(UInt32(0), 0), (48, 0), (64, 1), (80, 0), (0x5010, 0)] {
      #expect(
        bench.status {
          try $0.secret(measurement: wrong, guestByteCount: guest) { header, _ in
            header.removeLast(dropped)
          }
        } == .invalidLength, "\(guest), \(dropped)")
    }
    #expect(bench.status { try $0.secret(measurement: wrong) } == .badMeasurement)
    #expect(
      bench.status { try $0.secret(measurement: right) { header, _ in header[0] ^= 1 } } == .badMeasurement)
    #expect(
      bench.status { try $0.secret(measurement: right) { _, transport in transport[3] ^= 1 } }
        == .badMeasurement)
    // The lengths are looked at before the state.
    try bench.firmware.launchFinish(1)
    #expect(
      bench.status { try $0.secret(measurement: right, guestByteCount: 48) } == .invalidLength)
    #expect(bench.status { try $0.secret(measurement: right) } == .invalidGuestState)
  }

  @Test("debugging is for the policy to allow, even without an ASID")
  func debugging() throws {
    var bench = try bench(.running, policy: .noDebugging)
    #expect(bench.status { try $0.firmware.checkDebugging(1) } == .policyFailure)
    try bench.firmware.deactivate(1)
    #expect(bench.status { try $0.firmware.checkDebugging(1) } == .policyFailure)
  }
}

@Suite("An attestation report")
struct FirmwareAttestationTests {
  @Test("is signed by the platform's endorsement key over nonce, digest and policy")
  func report() throws {
    var bench = FirmwareBench(policy: .noSending)
    try bench.bring(to: .running)
    let nonce = (0..<16).map { UInt8($0) }
    let report = try bench.firmware.attest(1, nonce: nonce, room: 4096)
    #expect(report.count == 208)
    #expect(Array(report[..<16]) == nonce)
    #expect(Array(report[16..<48]) == Array(SHA256.hash(data: [UInt8]())))
    #expect(Array(report[48..<64]) == [8, 0, 0, 0, 0x02, 0x10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0])
    let pek = try bench.firmware.platformCertificates().pek
    let key = try P384.Signing.PublicKey(
      x963Representation: [4] + pek[20..<68].reversed() + pek[92..<140].reversed())
    let signature = try P384.Signing.ECDSASignature(
      rawRepresentation: report[64..<112].reversed() + report[136..<184].reversed())
    #expect(key.isValidSignature(signature, for: SHA256.hash(data: report[..<52])))
    #expect(!key.isValidSignature(signature, for: SHA256.hash(data: report[..<51])))
  }

  @Test("has zeros for the digest of a guest that was received")
  func received() throws {
    var bench = FirmwareBench()
    try bench.bring(to: .receiving)
    try bench.firmware.receiveFinish(1)
    let report = try bench.firmware.attest(1, nonce: [UInt8](repeating: 1, count: 16), room: 208)
    #expect(report[16..<48].allSatisfy { $0 == 0 })
  }

  @Test("needs room for 208 bytes, after the guest's state was looked at")
  func room() throws {
    var bench = FirmwareBench()
    try bench.bring(to: .launching)
    let nonce = [UInt8](repeating: 1, count: 16)
    #expect(bench.status { _ = try $0.firmware.attest(1, nonce: nonce, room: 0) } == .invalidGuestState)
    try bench.measure()
    for room in [UInt32(0), 207] {
      #expect(bench.status { _ = try $0.firmware.attest(1, nonce: nonce, room: room) } == .invalidLength)
    }
  }
}
