import Crypto
import SEVABI
import SEVCertificates
import SEVModel
import Testing

@Suite("The firmware's commands for sending a guest")
struct FirmwareSendTests {
  private func bench(_ state: GuestState, policy: GuestPolicy = []) throws -> FirmwareBench {
    var bench = FirmwareBench(policy: policy)
    try bench.bring(to: state)
    return bench
  }

  private func start(_ bench: inout FirmwareBench, _ receiver: Firmware.Receiver, room: UInt32 = 128) throws {
    _ = try bench.firmware.sendStart(1, receiver: receiver, room: room, random: &bench.random)
  }

  @Test(
    "SEND_START answers a query for the session's length in any guest state", arguments: GuestState.allCases)
  func query(state: GuestState) throws {
    var bench = try bench(state)
    let nothing = Firmware.Receiver(certificate: [], platformCertificates: [], amdCertificates: [])
    let expected: FirmwareStatus = state == .uninitialized ? .invalidPlatformState : .invalidLength
    for room in [UInt32(0), 127, 129] {
      #expect(bench.status { try start(&$0, nothing, room: room) } == expected)
    }
  }

  @Test("SEND_START looks at the state, then NOSEND, then the receiver's key")
  func startOrder() throws {
    let nothing = Firmware.Receiver(certificate: [], platformCertificates: [], amdCertificates: [])
    var early = try bench(.measured, policy: .noSending)
    #expect(early.status { try start(&$0, nothing) } == .invalidGuestState)
    var bound = try bench(.running, policy: .noSending)
    #expect(bound.status { try start(&$0, nothing) } == .policyFailure)
    var free = try bench(.running)
    #expect(free.status { try start(&$0, nothing) } == .invalidLength)
    var certificate = free.peer.certificate
    certificate[20] ^= 1
    let bad = Firmware.Receiver(certificate: certificate, platformCertificates: [], amdCertificates: [])
    #expect(free.status { try start(&$0, bad) } == .invalidCertificate)
    #expect(try free.firmware.guestStatus(1).state == .running)
    #expect(free.status { try start(&$0, $0.receiver) } == nil)
  }

  @Test("a guest that wants a genuine platform goes to one whose chain leads to a known root")
  func genuine() throws {
    var other = FirmwareBench()
    let all = try other.firmware.platformCertificates()
    let receiver = { (all: PlatformCertificates) in
      Firmware.Receiver(
        certificate: all.pdh, platformCertificates: all.chain, amdCertificates: all.amd)
    }
    var bench = try bench(.running, policy: .genuinePlatform)
    #expect(bench.status { try start(&$0, $0.receiver) } == .invalidLength)
    var wrong = all
    wrong.cek[1060] ^= 1
    #expect(bench.status { try start(&$0, receiver(wrong)) } == .badSignature)
    wrong = all
    wrong.pdh = bench.peer.certificate
    #expect(bench.status { try start(&$0, receiver(wrong)) } == .badSignature)
    wrong = all
    wrong.ark[5] ^= 1
    #expect(bench.status { try start(&$0, receiver(wrong)) } == .invalidCertificate)
    wrong = all
    wrong.ark.removeLast()
    #expect(bench.status { try start(&$0, receiver(wrong)) } == .invalidLength)
    #expect(bench.status { try start(&$0, receiver(all)) } == nil)
  }

  @Test("a guest that wants newer firmware than the receiver has is not sent")
  func version() throws {
    let naples = Firmware.Receiver(
      certificate: NaplesChain.pdh, platformCertificates: NaplesChain.pek + NaplesChain.oca + NaplesChain.cek,
      amdCertificates: NaplesChain.ask + NaplesChain.ark)
    // API 0.17 and 0.16; the receiver's endorsement key says 0.16.
    var newer = try bench(.running, policy: [.genuinePlatform, GuestPolicy(rawValue: 17 << 24)])
    #expect(newer.status { try start(&$0, naples) } == .policyFailure)
    var same = try bench(.running, policy: [.genuinePlatform, GuestPolicy(rawValue: 16 << 24)])
    #expect(same.status { try start(&$0, naples) } == nil)
  }

  @Test("a guest that is bound to its owner's domain goes to the same owner's machines only")
  func domain() throws {
    let ownerKey = P384.Signing.PrivateKey()
    var oca = SEVCertificate(
      usage: .owner, algorithm: .ecdsaSHA256, point: Array(ownerKey.publicKey.x963Representation),
      version: APIVersion(major: 1, minor: 0))
    try oca.sign(.first, as: .owner, with: ownerKey)
    func receiver(takenOver: Bool) throws -> Firmware.Receiver {
      var other = FirmwareBench()
      try other.initialize()
      if takenOver { try other.takeOver(oca: oca, key: ownerKey) }
      let all = try other.firmware.platformCertificates()
      return Firmware.Receiver(
        certificate: all.pdh, platformCertificates: all.chain, amdCertificates: [])
    }
    var bench = FirmwareBench(policy: .sameDomain)
    try bench.initialize()
    try bench.takeOver(oca: oca, key: ownerKey)
    let handle = try bench.firmware.launchStart(
      policy: .sameDomain, sharing: 0, session: nil, random: &bench.random)
    try bench.firmware.activate(handle, asid: bench.asid)
    try bench.measure()
    try bench.firmware.launchFinish(handle)
    let stranger = try receiver(takenOver: false)
    #expect(bench.status { try start(&$0, stranger) } == .policyFailure)
    let friend = try receiver(takenOver: true)
    #expect(bench.status { try start(&$0, friend) } == nil)
  }

  @Test("SEND_UPDATE answers a query for the header's length before anything else")
  func updateQuery() throws {
    var bench = try bench(.running)
    for room in [UInt32(0), 51] {
      #expect(
        bench.status {
          _ = try $0.firmware.sendUpdate(
            99, .data, guestAddress: 0, plaintext: [], headerRoom: room, transportRoom: 0,
            random: &$0.random)
        } == .invalidLength)
    }
  }

  @Test("SEND_UPDATE takes 16 bytes to 20 KiB in blocks of 16, and needs room for them")
  func updateLengths() throws {
    var bench = try bench(.sending)
    for count in [0, 8, 17, 0x5010] {
      let plaintext = [UInt8](repeating: 0, count: count)
      #expect(
        bench.status { try $0.sendPacket(.data, plaintext, address: 8) } == .invalidLength, "\(count)")
    }
    let block = [UInt8](repeating: 0, count: 32)
    for room in [UInt32(0), 16, 31] {
      #expect(bench.status { try $0.sendPacket(.data, block, transportRoom: room) } == .invalidLength)
    }
    #expect(bench.status { try $0.sendPacket(.data, block, address: 8) } == .invalidAddress)
    for count in [16, 4096, 0x5000] {
      let packet = try bench.sendPacket(.data, [UInt8](repeating: 0, count: count))
      #expect(packet.header.count == 52)
      #expect(packet.transport.count == count)
    }
  }

  @Test("equal pages never look equal in two packets")
  func freshVectors() throws {
    var bench = try bench(.sending)
    let page = [UInt8](repeating: 0, count: 4096)
    let one = try bench.sendPacket(.data, page)
    let two = try bench.sendPacket(.data, page)
    #expect(one.header[4..<20] != two.header[4..<20])
    #expect(one.transport != two.transport)
  }

  @Test("registers whose checksum is not the firmware's are INVALID_PARAM")
  func registers() throws {
    var bench = try bench(.sending, policy: .encryptedState)
    var page = try FirmwareBench.registers()
    #expect(bench.status { try $0.sendPacket(.registers, page) } == nil)
    page[0x100] ^= 1
    #expect(bench.status { try $0.sendPacket(.registers, page) } == .invalidParameter)
    #expect(bench.status { try $0.sendPacket(.registers, Array(page[..<16])) } == .invalidParameter)
    #expect(bench.status { try $0.sendPacket(.data, page) } == nil)
  }
}

extension FirmwareBench {
  /// Makes an owner's authority the platform's.
  mutating func takeOver(oca: SEVCertificate, key: P384.Signing.PrivateKey) throws {
    var pek = SEVCertificate(try firmware.certificateSigningRequest(room: 2084))
    try pek?.sign(.first, as: .owner, with: key)
    try firmware.importPEK(pek?.bytes ?? [], oca: oca.bytes)
  }
}

@Suite("The firmware's commands for receiving a guest")
struct FirmwareReceiveTests {
  private func bench(policy: GuestPolicy = []) throws -> FirmwareBench {
    var bench = FirmwareBench(policy: policy)
    try bench.bring(to: .receiving)
    return bench
  }

  @Test("RECEIVE_UPDATE gives what was sealed, again and again: a packet has no place and no time")
  func packet() throws {
    var bench = try bench()
    #expect(try bench.receivePacket(.data, context: .data) == [UInt8](repeating: 7, count: 64))
    #expect(
      try bench.receivePacket(.data, context: .data, address: 0x1000) == [UInt8](repeating: 7, count: 64))
  }

  @Test("RECEIVE_UPDATE checks lengths, address, flags and code in that order")
  func order() throws {
    var bench = try bench()
    for (guest, droppedHeader, droppedData) in [
      (UInt32(0), 0, 0), (48, 0, 0), (64, 1, 0), (64, 0, 16), (64, 0, 64), (0x5010, 0, 0),
    ] {
      #expect(
        bench.status {
          try $0.receivePacket(.data, context: .secret, address: 8, guestByteCount: guest) {
            header, transport in
            header.removeLast(droppedHeader)
            transport.removeLast(droppedData)
          }
        } == .invalidLength)
    }
    #expect(
      bench.status {
        try $0.receivePacket(.data, context: .secret, address: 8) { header, _ in header[0] = 1 }
      } == .invalidAddress)
    #expect(
      bench.status { try $0.receivePacket(.data, context: .secret) { header, _ in header[0] = 1 } }
        == .unsupported)
    #expect(bench.status { try $0.receivePacket(.data, context: .secret) } == .badMeasurement)
  }

  @Test("RECEIVE_UPDATE refuses registers as data, data as registers, and any changed bit")
  func authenticity() throws {
    var bench = try bench(policy: .encryptedState)
    #expect(bench.status { try $0.receivePacket(.data, context: .registers) } == .badMeasurement)
    #expect(bench.status { try $0.receivePacket(.registers, context: .data) } == .badMeasurement)
    for bit in stride(from: 8, to: 52 * 8, by: 3) {
      #expect(
        bench.status {
          try $0.receivePacket(.data, context: .data) { header, _ in
            header[bit / 8] ^= 1 << UInt8(bit % 8)
          }
        } == .badMeasurement)
    }
  }

  @Test("a guest arrives with the bytes that it was sent with, and can go on")
  func roundTrip() throws {
    let policy: GuestPolicy = [.encryptedState, .noDebugging]
    var source = FirmwareBench(policy: policy)
    try source.bring(to: .running)
    var target = FirmwareBench(policy: policy)
    try target.initialize()
    let sourceKey = try source.firmware.platformCertificates().pdh
    let targetKey = try target.firmware.platformCertificates().pdh
    let (sent, session) = try source.firmware.sendStart(
      1,
      receiver: Firmware.Receiver(
        certificate: targetKey, platformCertificates: [], amdCertificates: []),
      room: 128, random: &source.random)
    #expect(sent == policy)
    let handle = try target.firmware.receiveStart(
      policy: sent, sharing: 0,
      session: Firmware.LaunchSession(certificate: sourceKey, session: session), random: &target.random)
    try target.firmware.activate(handle, asid: 1)
    let registers = try FirmwareBench.registers()
    for kind in Firmware.PacketKind.allCases {
      let packet = try source.sendPacket(kind, registers)
      let arrived = try target.firmware.receiveUpdate(
        handle, kind, header: packet.header, transport: packet.transport, guestAddress: 0x2000,
        guestByteCount: 4096)
      #expect(arrived == registers)
    }
    try source.firmware.sendFinish(1)
    try target.firmware.receiveFinish(handle)
    #expect(try target.firmware.guestStatus(handle).state == .running)
    #expect(try target.firmware.guestStatus(handle).policy == policy)
    // A guest that arrived can go on.
    #expect(target.status { try $0.startSending() } == nil)
  }
}
