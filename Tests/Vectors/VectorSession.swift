import Crypto
import SEVABI
import SEVModel

/// A firmware with SEV and SEV-ES, and what its commands say.
struct VectorSession {
  private var firmware: Firmware
  private var random: any RandomSource = SystemRandomSource()
  private var nextASID: (plain: UInt32, encryptedState: UInt32) = (Self.encryptedStateASIDCount + 1, 1)

  private static let encryptedStateASIDCount: UInt32 = 100

  init() {
    firmware = Firmware(
      version: FirmwareVersion(major: 1, minor: 55, build: 21),
      encryptedStateASIDCount: Self.encryptedStateASIDCount, asidCount: 1000, identity: PlatformIdentity())
  }

  mutating func answer(_ line: String) -> String {
    do {
      let command = try VectorCommand(line)
      let fields = try perform(command)
      return (["ok"] + fields.map { "\($0.0)=\($0.1)" }).joined(separator: " ")
    } catch let status as FirmwareStatus {
      return "refused \(status.rawValue)"
    } catch let malformed as VectorCommand.Malformed {
      return "error \(malformed.reason)"
    } catch {
      return "error \(error)"
    }
  }

  private typealias Fields = [(String, String)]

  private mutating func perform(_ command: VectorCommand) throws -> Fields {
    switch command.name {
    case "initialize":
      try firmware.initialize()
      firmware.writeBackCaches()
      try firmware.flushDataFabric()
      return []
    case "version":
      let version = firmware.version
      return [("major", "\(version.major)"), ("minor", "\(version.minor)"), ("build", "\(version.build)")]
    case "certificates": return try certificates()
    case "export":
      let export = try firmware.exportPDH(
        room: Firmware.Length.certificate, chainRoom: Firmware.Length.certificateChain)
      return [("pdh", hexadecimal(export.pdh)), ("chain", hexadecimal(export.chain))]
    case "csr":
      return [
        ("pek", hexadecimal(try firmware.certificateSigningRequest(room: Firmware.Length.certificate)))
      ]
    case "import":
      try firmware.importPEK(try command.bytes("pek"), oca: try command.bytes("oca"))
      return []
    case "status":
      let status = try firmware.guestStatus(try command.number("handle"))
      return [("state", "\(status.state.rawValue)"), ("policy", "\(status.policy.rawValue)")]
    case "xts": return [("bytes", hexadecimal(try memory(command)))]
    default: return try performForGuest(command)
    }
  }

  private mutating func certificates() throws -> Fields {
    let all = try firmware.platformCertificates()
    return [
      ("pdh", hexadecimal(all.pdh)), ("pek", hexadecimal(all.pek)), ("oca", hexadecimal(all.oca)),
      ("cek", hexadecimal(all.cek)), ("ask", hexadecimal(all.ask)), ("ark", hexadecimal(all.ark)),
    ]
  }

  private mutating func performForGuest(_ command: VectorCommand) throws -> Fields {
    switch command.name {
    case "launch-start": return try activated(try launchStart(command))
    case "receive-start": return try activated(try receiveStart(command))
    default: break
    }
    let handle: UInt32 = try command.number("handle")
    switch command.name {
    case "launch-update":
      let data = try command.bytes("data")
      try firmware.launchUpdateData(handle, address: 0, plaintext: data[...])
    case "launch-update-vmsa":
      let page = try firmware.launchUpdateVMSA(handle, address: 0, page: try command.bytes("data"))
      return [("page", hexadecimal(page))]
    case "launch-measure":
      let blob = try firmware.launchMeasure(handle, room: Firmware.Length.measurement, random: &random)
      return [("blob", hexadecimal(blob))]
    case "launch-secret":
      let transport = try command.bytes("transport")
      let secret = try firmware.launchSecret(
        handle, header: try command.bytes("header"), transport: transport, guestAddress: 0,
        guestByteCount: UInt32(transport.count))
      return [("data", hexadecimal(secret))]
    case "launch-finish": try firmware.launchFinish(handle)
    case "attest":
      let report = try firmware.attest(
        handle, nonce: try command.bytes("nonce"), room: Firmware.Length.attestationReport)
      return [("report", hexadecimal(report))]
    case "send-start": return try sendStart(handle, command)
    case "send-update":
      let data = try command.bytes("data")
      let packet = try firmware.sendUpdate(
        handle, try kind(command), guestAddress: 0, plaintext: data,
        headerRoom: Firmware.Length.packetHeader, transportRoom: UInt32(data.count), random: &random)
      return [("header", hexadecimal(packet.header)), ("transport", hexadecimal(packet.transport))]
    case "send-finish": try firmware.sendFinish(handle)
    case "send-cancel": try firmware.sendCancel(handle)
    case "receive-update":
      let transport = try command.bytes("transport")
      let data = try firmware.receiveUpdate(
        handle, try kind(command), header: try command.bytes("header"), transport: transport,
        guestAddress: 0, guestByteCount: UInt32(transport.count))
      return [("data", hexadecimal(data))]
    case "receive-finish": try firmware.receiveFinish(handle)
    default: throw VectorCommand.Malformed(reason: "unknown command \(command.name)")
    }
    return []
  }

  private func kind(_ command: VectorCommand) throws -> Firmware.PacketKind {
    switch try command.text("kind") {
    case "data": return .data
    case "registers": return .registers
    case let other: throw VectorCommand.Malformed(reason: "no kind of packet: \(other)")
    }
  }

  private mutating func launchStart(_ command: VectorCommand) throws -> UInt32 {
    let session: Firmware.LaunchSession? =
      command.has("session")
      ? Firmware.LaunchSession(
        certificate: try command.bytes("certificate"), session: try command.bytes("session")) : nil
    return try firmware.launchStart(
      policy: GuestPolicy(rawValue: try command.number("policy")), sharing: 0, session: session,
      random: &random)
  }

  private mutating func receiveStart(_ command: VectorCommand) throws -> UInt32 {
    let session = Firmware.LaunchSession(
      certificate: try command.bytes("certificate"), session: try command.bytes("session"))
    return try firmware.receiveStart(
      policy: GuestPolicy(rawValue: try command.number("policy")), sharing: 0, session: session,
      random: &random)
  }

  /// Every guest gets an ASID of its own, and there are enough for one run.
  private mutating func activated(_ handle: UInt32) throws -> Fields {
    if try firmware.guestStatus(handle).policy.contains(.encryptedState) {
      try firmware.activate(handle, asid: nextASID.encryptedState)
      nextASID.encryptedState += 1
    } else {
      try firmware.activate(handle, asid: nextASID.plain)
      nextASID.plain += 1
    }
    return [("handle", "\(handle)")]
  }

  private mutating func sendStart(_ handle: UInt32, _ command: VectorCommand) throws -> Fields {
    let receiver = Firmware.Receiver(
      certificate: try command.bytes("pdh"), platformCertificates: try command.bytes("chain"),
      amdCertificates: try command.bytes("amd"))
    let started = try firmware.sendStart(
      handle, receiver: receiver, room: Firmware.Length.session, random: &random)
    return [("policy", "\(started.policy.rawValue)"), ("session", hexadecimal(started.session))]
  }

  /// The cipher of ciphertext mode under keys of the caller's.
  private func memory(_ command: VectorCommand) throws -> [UInt8] {
    let cipher = MemoryCipher(
      dataKey: SymmetricKey(data: try command.bytes("key")),
      tweakKey: SymmetricKey(data: try command.bytes("tweak-key")))
    let page = PageIdentity(inode: try command.number("inode"), offset: try command.number("offset"))
    var bytes = try command.bytes("data")
    switch try command.text("direction") {
    case "encrypt": try cipher.encrypt(&bytes, page: page, offset: try command.number("at"))
    case "decrypt": try cipher.decrypt(&bytes, page: page, offset: try command.number("at"))
    case let other: throw VectorCommand.Malformed(reason: "no direction: \(other)")
    }
    return bytes
  }
}
