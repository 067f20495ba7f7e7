import BatonWire
import EncryptionStatus
import MigrationCore
import SEVCertificates

/// Values that the stream's tests send, all of them fixed.
enum StreamSamples {
  static let key = BatchKey(bytes: Array(0x40..<0x60)) ?? BatchKey()
  static let id = MigrationID(Array(0..<16)) ?? .random()
  static let receipt = DepartureReceipt(Array(0x80..<0xA0)) ?? .random()
  static let lock = DepartureLock(of: receipt, for: id)

  static func preamble(
    _ intent: MigrationIntent = .migrate, required: StreamFeatures = .spoken,
    offered: StreamFeatures = .spoken, versions: ProtocolVersion = StreamVersion.spoken
  ) -> Preamble {
    Preamble(
      versions: versions, intent: intent, required: required, offered: offered, id: id, lock: lock, epoch: 7,
      key: key, guest: "vm1", host: "north.test", build: "baton-vmm 1.0")
  }

  static let reply = PreambleReply(
    version: 1, features: .spoken, host: "south.test", build: "baton-vmm 1.0")

  /// 24 pages: frames 0 to 15 and 8 from 0x100000 on.
  static let manifest = Manifest(
    way: .none, vcpuCount: 2, files: [RAMFile(device: 0x11, inode: 0x1267, byteCount: 24 * 4_096)],
    regions: [
      RAMRegion(guestPhysicalAddress: 0, byteCount: 16 * 4_096, file: 0, fileOffset: 0),
      RAMRegion(
        guestPhysicalAddress: 0x1_0000_0000, byteCount: 8 * 4_096, file: 0, fileOffset: 16 * 4_096),
    ],
    hasVM: false, names: ["console"], format: StateFormat(name: "baton-vmm", version: 3, features: 5),
    details: [1, 2, 3])
  static let frames = Array(UInt64(0)..<16) + Array(0x100000..<0x100008)

  static func offer(_ kind: SEVKind) -> MachineOffer {
    MachineOffer(
      manifest: manifest, kind: kind, policy: kind == .none ? 0 : 5, parties: .all,
      facts: Array("facts".utf8))
  }

  static func target(_ kind: SEVKind) -> TargetFacts {
    guard kind != .none else {
      return TargetFacts(
        api: .zero, apiBuild: 0, hasEncryptedState: false, canReceiveSaveAreas: false, certificates: nil,
        checks: [])
    }
    return TargetFacts(
      api: APIVersion(major: 1, minor: 55), apiBuild: 21, hasEncryptedState: true,
      canReceiveSaveAreas: true,
      certificates: TargetCertificates(
        pdh: Array(repeating: 1, count: 3), platform: Array(repeating: 2, count: 4),
        amd: Array(repeating: 3, count: 5)),
      checks: [
        PreflightCheck(name: "asid", verdict: .warn, detail: "one is free", remedy: "stop a guest")
      ], registryNanoseconds: 1_029_709)
  }

  static let session = SendSession(
    policy: 5, pdh: Array(repeating: 0xAA, count: 4), session: Array(repeating: 0xBB, count: 3))

  static let regions: SharedRegions = {
    var regions = SharedRegions()
    try? regions.markShared(3..<5)
    try? regions.markShared(0x1_0000_0000..<0x1_0000_0002)
    return regions
  }()

  static func saveArea(_ vcpu: UInt32) -> SaveAreaPacket {
    SaveAreaPacket(vcpu: vcpu, header: Array(0..<52), data: Array(repeating: 0xCC, count: 6))
  }

  static let state = Array("all state".utf8)

  // MARK: Pages

  /// Byte *i* is 7 × frame + 3 × *i* + round.
  static func page(_ frame: UInt64, round: UInt32 = 0) -> [UInt8] {
    // 3 × 171 is 1 modulo 256, so every page is a piece of one row.
    let first = Int(UInt8(truncatingIfNeeded: (frame &* 7 &+ UInt64(round)) &* 171))
    return Array(row[first..<(first + 4_096)])
  }

  private static let row = (0..<(256 + 4_096)).map { UInt8(truncatingIfNeeded: $0 * 3) }

  static func packetHeader(_ frame: UInt64) -> [UInt8] {
    (0..<52).map { UInt8(truncatingIfNeeded: frame &+ UInt64($0)) }
  }

  /// A batch with such pages, not sealed.
  static func batch(_ pages: [(UInt64, PageKind)], round: UInt32 = 0) -> PageBatch {
    var batch = PageBatch()
    for (frame, kind) in pages {
      switch kind {
      case .zero: batch.appendZero(frame)
      case .plain: batch.appendPlain(frame) { append(page(frame, round: round), to: &$0) }
      case .encrypted:
        batch.appendEncrypted(frame) { append(packetHeader(frame) + page(frame, round: round), to: &$0) }
      }
    }
    return batch
  }

  static func append(_ bytes: [UInt8], to span: inout OutputSpan<UInt8>) {
    for byte in bytes { span.append(byte) }
  }
}
