import BatonWire
import EncryptionStatus
import MigrationCore
import SEVCertificates

/// An honest source's values, all of them fixed.
enum Samples {
  private static let key = BatchKey(bytes: Array(0x40..<0x60)) ?? BatchKey()
  private static let id = MigrationID(Array(0..<16)) ?? .random()
  private static let receipt = DepartureReceipt(Array(0x80..<0xA0)) ?? .random()

  static let preamble = Preamble(
    intent: .migrate, required: .spoken, id: id, lock: DepartureLock(of: receipt, for: id), epoch: 7,
    key: key,
    guest: "vm1", host: "north.test", build: "b")

  static let manifest = Manifest(
    way: .none, vcpuCount: 1, files: [RAMFile(device: 1, inode: 2, byteCount: 24 * 4_096)],
    regions: [
      RAMRegion(guestPhysicalAddress: 0, byteCount: 24 * 4_096, file: 0, fileOffset: 0)
    ],
    hasVM: false, names: [], format: StateFormat(name: "f", version: 1, features: 0))

  static func offer(_ kind: SEVKind) -> MachineOffer {
    MachineOffer(manifest: manifest, kind: kind, policy: 0, parties: .all, facts: [])
  }

  static func target(_ kind: SEVKind) -> TargetFacts {
    TargetFacts(
      api: .zero, apiBuild: 0, hasEncryptedState: true, canReceiveSaveAreas: true,
      certificates: kind == .none ? nil : TargetCertificates(pdh: [1], platform: [2], amd: [3]), checks: [])
  }

  static let session = SendSession(policy: 0, pdh: [1], session: [2])

  /// The bytes of an honest SEV-ES source's step; the answers to the one before must have been heard.
  static func step(_ number: Int, _ source: inout SourceStream) throws(StreamFault) -> [[UInt8]] {
    switch number {
    case 0: return [try source.send(.preamble(preamble))]
    case 1: return [try source.send(.manifest(offer(.sevES)))]
    case 2: return [try source.send(.session(session))]
    case 3:
      var batch = PageBatch(pages: 24)
      for frame in 0..<UInt64(24) { batch.appendZero(frame) }
      try source.seal(&batch)
      return [batch.bytes]
    case 4:
      var end = source.roundSoFar
      end.isLast = true
      return [try source.send(.roundEnd(end))]
    case 5: return [try source.send(.sharedRegions(SharedRegions()))]
    case 6:
      return [
        try source.send(
          .saveArea(SaveAreaPacket(vcpu: 0, header: Array(repeating: 1, count: 52), data: [2])))
      ]
    case 7: return [try source.send(.state(StateChunk(offset: 0, total: 3, bytes: [1, 2, 3])))]
    case 8: return [try source.send(.end(source.totals))]
    case 9: return [try source.send(.receipt(receipt))]
    default: return []
    }
  }
}
