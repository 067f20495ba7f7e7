import LinuxOS
import SEVABI
import SEVModel

/// How fast the model's firmware makes and opens packets of guest memory, inside one process and on one core.
enum PacketSpeed {
  static func measure(pages: Int) throws -> Results.Pages {
    do throws(FirmwareStatus) {
      return try transfer(pages)
    } catch {
      throw BenchError("a guest cannot be sent from one firmware to another: \(error)")
    }
  }

  private static func transfer(_ pages: Int) throws(FirmwareStatus) -> Results.Pages {
    var random: any RandomSource = SystemRandomSource()
    var source = try firmware()
    var target = try firmware()
    let receiver = try target.exportPDH(
      room: Firmware.Length.certificate, chainRoom: Firmware.Length.certificateChain)
    let sender = try source.exportPDH(
      room: Firmware.Length.certificate, chainRoom: Firmware.Length.certificateChain)
    let guest = try source.launchStart(policy: [], sharing: 0, session: nil, random: &random)
    try source.activate(guest, asid: 1)
    _ = try source.launchMeasure(guest, room: Firmware.Length.measurement, random: &random)
    try source.launchFinish(guest)
    let sending = try source.sendStart(
      guest,
      receiver: Firmware.Receiver(
        certificate: receiver.pdh, platformCertificates: receiver.chain, amdCertificates: []),
      room: Firmware.Length.session, random: &random)
    let arrived = try target.receiveStart(
      policy: sending.policy, sharing: 0,
      session: Firmware.LaunchSession(certificate: sender.pdh, session: sending.session), random: &random)
    try target.activate(arrived, asid: 1)

    let page = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    var packet: (header: [UInt8], transport: [UInt8]) = ([], [])
    let begin = MonotonicClock.now()
    for _ in 0..<pages {
      packet = try source.sendUpdate(
        guest, .data, guestAddress: 0, plaintext: page, headerRoom: Firmware.Length.packetHeader,
        transportRoom: 4096, random: &random)
    }
    let sent = MonotonicClock.now()
    var last: [UInt8] = []
    for _ in 0..<pages {
      last = try target.receiveUpdate(
        arrived, .data, header: packet.header, transport: packet.transport, guestAddress: 0,
        guestByteCount: 4096)
    }
    let received = MonotonicClock.now()
    guard last == page else { throw .badMeasurement }
    return Results.Pages(count: pages, sendNanoseconds: sent - begin, receiveNanoseconds: received - sent)
  }

  private static func firmware() throws(FirmwareStatus) -> Firmware {
    var firmware = Firmware(
      version: FirmwareVersion(major: 1, minor: 55, build: 21), encryptedStateASIDCount: 0, asidCount: 8,
      identity: PlatformIdentity())
    try firmware.initialize()
    firmware.writeBackCaches()
    try firmware.flushDataFabric()
    return firmware
  }
}
