import LinuxOS
import SEVABI
import SEVDevice
import SEVModel

/// Operations that need nothing of the caller's memory and wait for no other request.
extension ModelServer {
  /// What a call gives.
  struct Outcome {
    var outcome: UInt32 = 0
    var values: [UInt64] = []
    var payload: [UInt8] = []
  }

  /// A call record that makes no sense.
  private struct Nonsense: Error {}

  /// Answers a call.
  func call(_ record: [UInt8], _ descriptors: borrowing DescriptorList, on connection: PeerConnection) {
    guard record.count >= ModelWire.Call.bytes, descriptors.count <= 1,
      let operation = ModelWire.Operation(rawValue: record.span.uint32(at: ModelWire.Call.operation))
    else { return drop(connection) }
    let call = Call(
      operation: operation,
      caller: Caller(
        addressSpace: AddressSpaceID(rawValue: record.span.uint64(at: ModelWire.Call.addressSpace)),
        lockablePages: 0),
      arguments: (0..<ModelWire.Call.argumentCount).map {
        record.span.uint64(at: ModelWire.Call.arguments + 8 * $0)
      },
      payload: Array(record[ModelWire.Call.bytes...]))
    do {
      // A descriptor that is none of the model's is refused; one that is missing or of another kind makes
      // no sense.
      let target = try descriptors.count == 0 ? nil : live.find(descriptors.identity(at: 0))
      guard descriptors.count == 0 || target != nil else { throw KernelError.notSupported }
      reply(try answer(call, on: target), error: 0, on: connection)
    } catch let error as KernelError {
      reply(Outcome(), error: error.rawValue, on: connection)
    } catch {
      drop(connection)
    }
  }

  private struct Call {
    let operation: ModelWire.Operation
    let caller: Caller
    let arguments: [UInt64]
    let payload: [UInt8]
  }

  private func reply(_ outcome: Outcome, error: Int32, on connection: PeerConnection) {
    var record = [UInt8](repeating: 0, count: ModelWire.Result.bytes)
    record.append(contentsOf: outcome.payload)
    let byteCount = record.count
    var span = record.mutableSpan
    ModelWire.storeHeader(.result, byteCount: byteCount, into: &span)
    span.store(UInt32(bitPattern: error), at: ModelWire.Result.error)
    span.store(outcome.outcome, at: ModelWire.Result.outcome)
    for (index, value) in outcome.values.enumerated() {
      span.store(value, at: ModelWire.Result.values + 8 * index)
    }
    send(record, on: connection)
  }

  private func answer(_ call: Call, on target: LiveDescriptors.Kind?) throws -> Outcome {
    switch call.operation {
    case .describe: return describe()
    case .encryptionCPUID:
      let leaf = host.memoryEncryptionCPUID
      return Outcome(values: [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx].map(UInt64.init))
    case .vmsaFeatures: return Outcome(values: [host.supportedVMSAFeatures])
    case .platformCertificates: return Outcome(payload: try certificates())
    case .checkExtension: return try checkExtension(call, on: target)
    case .checkUse:
      switch target {
      case .machine(let machine): try host.checkUse(of: machine, caller: call.caller)
      case .vcpu(let vcpu, of: _): try host.checkUse(of: vcpu, caller: call.caller)
      case .firmware, nil: throw Nonsense()
      }
      return Outcome()
    case .guestAccess: return try guestAccess(call, on: target)
    case .sharedPages:
      guard case .machine(let machine) = target else { throw Nonsense() }
      let ranges = host.sharedPages(of: machine).prefix(Self.maximumSharedRanges)
      return Outcome(payload: SharedPagesList.encode(ranges))
    case .denyMSRs:
      guard case .machine(let machine) = target else { throw Nonsense() }
      try host.checkUse(of: machine, caller: call.caller)
      host.denyMSRs(try Self.ranges(call.payload), on: machine)
      return Outcome()
    case .checkRun, .getVCPUState, .setVCPUState, .hypercall, .readMSR, .writeMSR, .completeHypercall,
      .writeCommunicationMSR, .requestByBlock, .startVCPU:
      guard case .vcpu(let vcpu, of: _) = target else { throw Nonsense() }
      return try answer(call, onVCPU: vcpu)
    }
  }

  private func answer(_ call: Call, onVCPU vcpu: VirtualCPUID) throws -> Outcome {
    let first = call.arguments[0]
    switch call.operation {
    case .checkRun:
      try host.checkRun(vcpu, caller: call.caller)
      return Outcome()
    case .getVCPUState:
      let state = try state(first)
      return Outcome(payload: try host.vcpuState(state, of: vcpu, caller: call.caller))
    case .setVCPUState:
      try host.setVCPUState(state(first), of: vcpu, to: call.payload, caller: call.caller)
      return Outcome()
    case .hypercall:
      let end = try host.hypercall(
        first, Array(call.arguments[1...3]), privilege: UInt8(truncatingIfNeeded: call.arguments[4]),
        on: vcpu, caller: call.caller)
      switch end {
      case .returned(let value): return Outcome(values: [UInt64(bitPattern: value)])
      case .exit(let number, let arguments):
        return Outcome(outcome: 1, values: [number] + arguments.prefix(3))
      }
    case .readMSR:
      return Self.outcome(
        try host.readMSR(UInt32(truncatingIfNeeded: first), on: vcpu, caller: call.caller))
    case .writeMSR:
      return Self.outcome(
        try host.writeMSR(
          UInt32(truncatingIfNeeded: first), call.arguments[1], on: vcpu, caller: call.caller))
    case .completeHypercall:
      try host.checkUse(of: vcpu, caller: call.caller)
      guard let value = host.completeHypercall(on: vcpu, result: first) else { return Outcome(outcome: 1) }
      return Outcome(values: [UInt64(bitPattern: value)])
    case .writeCommunicationMSR:
      return Outcome(values: [try host.writeCommunicationMSR(first, on: vcpu, caller: call.caller)])
    case .requestByBlock:
      let request = try Self.request(first, address: call.arguments[1])
      return Outcome(values: [try host.request(request, on: vcpu, caller: call.caller)])
    case .startVCPU:
      return Outcome(outcome: Self.number(of: try host.start(vcpu, caller: call.caller)))
    case .describe, .checkExtension, .checkUse, .encryptionCPUID, .vmsaFeatures, .guestAccess, .sharedPages,
      .platformCertificates, .denyMSRs:
      throw Nonsense()
    }
  }

  private func state(_ number: UInt64) throws -> VCPUState {
    guard let number = UInt32(exactly: number), let state = VCPUState(rawValue: number) else {
      throw KernelError.invalidArgument
    }
    return state
  }

  private static func ranges(_ payload: [UInt8]) throws -> [ClosedRange<UInt32>] {
    typealias Field = ModelWire.MSRRange
    guard payload.count % Field.byteCount == 0 else { throw Nonsense() }
    return try stride(from: 0, to: payload.count, by: Field.byteCount).map { at in
      let (first, last) = (
        payload.span.uint32(at: at + Field.first), payload.span.uint32(at: at + Field.last)
      )
      guard first <= last else { throw KernelError.invalidArgument }
      return first...last
    }
  }

  private static func request(_ number: UInt64, address: UInt64) throws -> ModelHost.BlockRequest {
    switch UInt32(exactly: number).flatMap(ModelWire.BlockRequest.init(rawValue:)) {
    case .setJumpTable: .setJumpTable(address)
    case .jumpTable: .jumpTable
    case .resetHold: .resetHold
    case nil: throw KernelError.invalidArgument
    }
  }

  private static func number(of outcome: ModelHost.StartOutcome) -> UInt32 {
    let end: SEVSession.StartOutcome =
      switch outcome {
      case .initialState: .initialState
      case .returnsFromExit: .returnsFromExit
      case .returnsFromMSR: .returnsFromMSR
      case .ignored: .ignored
      }
    return end.rawValue
  }

  private static func outcome(_ end: ModelHost.MSROutcome) -> Outcome {
    switch end {
    case .value(let value): Outcome(values: [value])
    case .done: Outcome()
    case .exit(let reason): Outcome(outcome: 1, values: [UInt64(reason)])
    case .generalProtection: Outcome(outcome: 2)
    }
  }

  /// As many ranges of shared pages as one record certainly holds.
  private static let maximumSharedRanges = 2000

  // MARK: What the model is

  private func describe() -> Outcome {
    typealias Feature = ModelWire.Feature
    let configuration = host.configuration
    func has(_ capability: KernelCapability) -> Bool {
      (host.checkExtension(UInt64(capability.rawValue)) ?? 0) != 0
    }
    let features: [(Bool, UInt64)] = [
      (configuration.isEnabled, Feature.enabled),
      (configuration.offersEncryptedState, Feature.encryptedState),
      (configuration.ciphertext, Feature.ciphertext),
      (configuration.firmwareVMSA, Feature.firmwareVMSA),
      (has(.moveEncryptionContext), Feature.move),
      (has(.copyEncryptionContext), Feature.copy),
      (configuration.profile == .rfc, Feature.localMigration),
      (configuration.profile == .mainline611, Feature.initialize2),
      (true, Feature.deathMark),
    ]
    return Outcome(
      values: [features.reduce(0) { $1.0 ? $0 | $1.1 : $0 }],
      payload: Array(configuration.profile.rawValue.utf8))
  }

  private func checkExtension(_ call: Call, on target: LiveDescriptors.Kind?) throws -> Outcome {
    let value: Int32?
    switch target {
    case nil: value = host.checkExtension(call.arguments[0])
    case .machine(let machine):
      value = try host.checkExtension(call.arguments[0], on: machine, caller: call.caller)
    case .vcpu, .firmware: throw Nonsense()
    }
    guard let value else { return Outcome() }
    return Outcome(outcome: 1, values: [UInt64(UInt32(bitPattern: value))])
  }

  private func certificates() throws(KernelError) -> [UInt8] {
    do throws(FirmwareStatus) {
      let all = try host.platformCertificates()
      return [all.pdh, all.pek, all.oca, all.cek, all.ask, all.ark].flatMap { $0 }
    } catch {
      throw .inputOutput
    }
  }

  // MARK: Guest memory

  /// Encrypts or decrypts the pieces of a software vCPU's access.
  private func guestAccess(_ call: Call, on target: LiveDescriptors.Kind?) throws -> Outcome {
    typealias Piece = ModelWire.Piece
    guard case .machine(let machine) = target, call.arguments[0] <= 1 else { throw Nonsense() }
    let access: ModelHost.GuestAccess = call.arguments[0] == 0 ? .read : .write
    var result: [UInt8] = []
    result.reserveCapacity(call.payload.count)
    var at = 0
    for _ in 0..<call.arguments[1] {
      guard call.payload.count - at >= Piece.bytes else { throw Nonsense() }
      let span = call.payload.span
      let count = Int(span.uint32(at: at + Piece.count))
      guard count <= call.payload.count - at - Piece.bytes else { throw Nonsense() }
      let page = PageIdentity(
        inode: span.uint64(at: at + Piece.inode), offset: span.uint64(at: at + Piece.pageOffset))
      let start = at + Piece.bytes
      result += try host.guestAccess(
        access, on: machine, page: page, offset: Int(span.uint32(at: at + Piece.offset)),
        bytes: Array(call.payload[start..<(start + count)]), caller: call.caller)
      at = start + count
    }
    guard at == call.payload.count else { throw Nonsense() }
    return Outcome(payload: result)
  }
}
