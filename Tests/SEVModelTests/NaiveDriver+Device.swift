import Crypto
import SEVABI
import SEVCertificates
import SEVModel

/// `/dev/sev`, the list of shared pages, and what guests' instructions end in.
extension NaiveDriver {
  mutating func run(_ command: NaiveDeviceCommand) -> NaiveAnswer {
    memory.store([UInt8](repeating: 0, count: 128), at: NaivePlace.structure)
    memory.store(structure(command), at: NaivePlace.structure)
    for buffer in [command.first, command.second] where NaivePlace.isMapped(buffer.address, 4096) {
      memory.store(bytes(of: buffer, NaiveArguments()), at: buffer.address)
    }
    memory.store(
      DeviceCommandBlock(id: command.id, data: NaivePlace.structure, error: NaiveAnswer.untouched).bytes,
      at: NaivePlace.block)
    allow(command.structure, at: NaivePlace.structure)
    allow(command.block, at: NaivePlace.block)
    let step = host.issueDeviceCommand(argument: NaivePlace.block, isWritable: command.isWritable)
    var answer = finish(step)
    memory.map(NaivePlace.structure, count: 4096)
    memory.map(NaivePlace.block, count: 4096)
    if command.block != .unmapped { answer.firmware = memory.load32(at: NaivePlace.block + 12) }
    let place = NaivePlace.structure
    switch command.id {
    case 1:
      answer.fields = [
        UInt64(memory.load32(at: place) >> 16 & 0xFF), UInt64(memory.load32(at: place + 3)),
        UInt64(memory.load32(at: place + 8)),
      ]
    case 3, 8: answer.fields = [UInt64(memory.load32(at: place + 8))]
    case 5: answer.fields = [UInt64(memory.load32(at: place + 8)), UInt64(memory.load32(at: place + 20))]
    default: break
    }
    allow(.readWrite, at: NaivePlace.structure)
    allow(.readWrite, at: NaivePlace.block)
    return answer
  }

  private func structure(_ command: NaiveDeviceCommand) -> [UInt8] {
    let (first, second) = (command.first, command.second)
    switch command.id {
    case 3, 8: return SigningRequestParameters(address: first.address, length: first.length).bytes
    case 5:
      return ExportParameters(
        diffieHellmanAddress: first.address, diffieHellmanByteCount: first.length,
        chainAddress: second.address, chainByteCount: second.length
      ).bytes
    case 6:
      return ImportParameters(
        certificateAddress: first.address, certificateByteCount: first.length,
        ownerAddress: second.address, ownerByteCount: second.length
      ).bytes
    default: return []
    }
  }

  // MARK: Pages and MSRs

  mutating func run(
    _ list: NaiveList, sets: Bool, on machine: VirtualMachineID, _ caller: Caller
  ) -> NaiveAnswer {
    let (structure, count, buffer) = (NaivePlace.structure, NaivePlace.header, NaivePlace.output)
    memory.store(
      SharedPagesList(
        countAddress: count, bufferAddress: list.hasBuffer ? buffer : 0, size: list.size
      ).bytes, at: structure)
    var entries: [UInt8] = []
    for word in list.entries.joined() {
      entries += littleEndianBytes(UInt32(truncatingIfNeeded: word))
      entries += littleEndianBytes(UInt32(truncatingIfNeeded: word >> 32))
    }
    memory.store(littleEndianBytes(UInt32(list.entries.count)), at: count)
    memory.store(entries, at: buffer)
    allow(list.structure, at: structure)
    allow(list.count, at: count)
    allow(list.entriesAccess, at: buffer)
    var answer = finish(
      sets
        ? host.setSharedPages(on: machine, argument: structure, caller: caller)
        : host.getSharedPages(on: machine, argument: structure, caller: caller))
    for address in [structure, count, buffer] {
      memory.map(address, count: 4096)
      allow(.readWrite, at: address)
    }
    if !sets, answer.error == nil {
      let entryCount = UInt64(memory.load32(at: count))
      answer.fields = [entryCount]
      for word in 0..<2 * min(entryCount, 256) { answer.fields.append(memory.load64(at: buffer + 8 * word)) }
    }
    return answer
  }

  func answer(_ outcome: ModelHost.HypercallOutcome) -> NaiveAnswer {
    switch outcome {
    case .returned(let value): NaiveAnswer(fields: [0, UInt64(bitPattern: value)])
    case .exit(let number, let arguments): NaiveAnswer(fields: [1, number] + arguments)
    }
  }

  func answer(_ outcome: ModelHost.MSROutcome) -> NaiveAnswer {
    switch outcome {
    case .exit(let reason): NaiveAnswer(fields: [1, UInt64(reason)])
    case .generalProtection: NaiveAnswer(fields: [2])
    case .done: NaiveAnswer(fields: [3])
    case .value(let value): NaiveAnswer(fields: [4, value])
    }
  }
}

/// An owner with a certificate authority who takes platforms over.
struct PlatformOwner {
  private let key: P384.Signing.PrivateKey
  /// OCA, signed by itself.
  let certificate: [UInt8]

  init() {
    let key = P384.Signing.PrivateKey()
    var made = SEVCertificate(
      usage: .owner, algorithm: .ecdsaSHA256, point: Array(key.publicKey.x963Representation),
      version: APIVersion(major: 1, minor: 0))
    do throws(FirmwareStatus) {
      try made.sign(.first, as: .owner, with: key)
    } catch {
      preconditionFailure("the owner cannot sign: \(error)")
    }
    self.key = key
    certificate = made.bytes
  }

  /// A platform's endorsement key as this owner signs it.
  func signed(_ pek: [UInt8]) -> [UInt8] {
    guard var certificate = SEVCertificate(pek)?.withoutSignatures else {
      preconditionFailure("not a certificate")
    }
    do throws(FirmwareStatus) {
      try certificate.sign(.first, as: .owner, with: key)
    } catch {
      preconditionFailure("the owner cannot sign: \(error)")
    }
    return certificate.bytes
  }
}
