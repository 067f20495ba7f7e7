import Glibc
import LinuxOS
import SEVABI
import SEVDevice
import SEVModel

/// Ioctls, from the first record to the last.
extension ModelServer {
  /// Starts a request, or lets it wait for unfinished ones on the same VM.
  func start(
    _ kind: ModelWire.Request, _ record: [UInt8], _ descriptors: consuming DescriptorList,
    on connection: PeerConnection
  ) {
    connection.undo = nil
    guard let fields = PendingRequest.decode(kind, from: record.span),
      descriptors.count == (fields.attachedNumber == nil ? 1 : 2)
    else { return drop(connection) }
    guard let target = target(of: kind, descriptors) else {
      // As an ioctl that the file does not know.
      return finish(connection, error: KernelError.notSupported.rawValue)
    }
    var attached: PendingRequest.Attached?
    if let number = fields.attachedNumber {
      attached = PendingRequest.Attached(number: number, machine: machine(at: 1, of: descriptors))
    }
    var caller = fields.caller
    if !options.mindsMemoryLockLimit { caller.lockablePages = nil }
    let request = PendingRequest(
      kind: kind, target: target, caller: caller, argument: fields.argument,
      parameters: fields.parameters, attached: attached, holding: descriptors)
    for machine in request.machines { using[machine, default: 0] += 1 }
    // A move takes its two VMs late, and commands of the firmware device take none.
    guard kind.takesMachine, case .machine(let machine) = target else {
      return begin(request, on: connection)
    }
    take([machine], for: request, on: connection, .begin)
  }

  private func target(
    of kind: ModelWire.Request, _ descriptors: borrowing DescriptorList
  ) -> PendingRequest.Target? {
    guard let identity = try? descriptors.identity(at: 0) else { return nil }
    switch (live.find(identity), kind) {
    case (.machine(let machine), .memoryEncryptOperation), (.machine(let machine), .registerRegion),
      (.machine(let machine), .unregisterRegion), (.machine(let machine), .enableCapability),
      (.machine(let machine), .getSharedPages), (.machine(let machine), .setSharedPages):
      return .machine(machine)
    case (.firmware(let isWritable), .firmwareCommand): return .firmware(isWritable: isWritable)
    case (.machine, .firmwareCommand), (.firmware, _), (.vcpu, _), (nil, _): return nil
    }
  }

  /// The VM that a received descriptor stands for.
  func machine(at index: Int, of descriptors: borrowing DescriptorList) -> VirtualMachineID? {
    guard index < descriptors.count, let identity = try? descriptors.identity(at: index),
      case .machine(let machine) = live.find(identity)
    else { return nil }
    return machine
  }

  func begin(_ request: PendingRequest, on connection: PeerConnection) {
    let (argument, caller) = (request.argument.address, request.caller)
    let step =
      switch (request.target, request.kind) {
      case (.firmware(let isWritable), _):
        host.issueDeviceCommand(argument: argument, isWritable: isWritable)
      case (.machine(let machine), .memoryEncryptOperation):
        host.memoryEncryptOperation(on: machine, argument: argument, caller: caller)
      case (.machine(let machine), .registerRegion):
        host.registerRegion(on: machine, argument: argument, caller: caller)
      case (.machine(let machine), .unregisterRegion):
        host.unregisterRegion(on: machine, argument: argument, caller: caller)
      case (.machine(let machine), .enableCapability):
        host.enableCapability(on: machine, argument: argument, caller: caller)
      case (.machine(let machine), .getSharedPages):
        host.getSharedPages(on: machine, argument: argument, caller: caller)
      case (.machine(let machine), .setSharedPages):
        host.setSharedPages(on: machine, argument: argument, caller: caller)
      case (.machine, .firmwareCommand):
        // Not made by `target(of:_:)`.
        Step.finished(.notSupported)
      }
    advance(step, of: request, on: connection)
  }

  /// Takes a request as far as it goes without asking its caller.
  func advance(_ first: Step, of request: PendingRequest, on connection: PeerConnection) {
    var step = first
    while true {
      switch step {
      case .finished(let outcome, let undo):
        return end(request, outcome: outcome, undo: undo, on: connection)
      case .resume(let then):
        step = then(&host)
      case .read(let address, let count, let then):
        guard let bytes = request.readAhead(address: address, count: count) else {
          return ask(step, of: request, on: connection)
        }
        step = then(&host, bytes)
      case .write(let address, let bytes, let then):
        guard request.deliverLater(bytes, at: address) else {
          return ask(step, of: request, on: connection)
        }
        step = then(&host, true)
      case .findMachine(let descriptor, let then):
        guard let attached = request.attached, attached.number == descriptor else {
          return ask(step, of: request, on: connection)
        }
        step = then(&host, attached.machine)
      case .lock(let machines, let then):
        return take(machines, for: request, on: connection, .goOn(.resume(then)))
      case .pin, .findFirmware, .identifyPages:
        return ask(step, of: request, on: connection)
      }
    }
  }

  // MARK: Questions

  /// Sends a step's question to the caller. Results that still wait for the end go first, so that the
  /// caller's memory is as the request left it.
  private func ask(_ step: Step, of request: PendingRequest, on connection: PeerConnection) {
    var step = step.inChunks()
    if let bytes = request.parameterBytes {
      request.parameterBytes = nil
      step = .write(address: request.parameters.address, bytes: bytes) { [step] _, _ in step }
    }
    // A connection that is gone gets no question; its memory counts as gone.
    guard connections[connection.key] != nil, let question = PendingRequest.question(for: step) else {
      return advance(refuse(step), of: request, on: connection)
    }
    connection.state = .asking(request, step)
    send(question, on: connection)
  }

  /// Goes on with a step whose question nobody can answer.
  func refuse(_ step: Step) -> Step {
    switch step {
    case .finished, .resume, .lock: step
    case .read(address: _, count: _, let then): then(&host, nil)
    case .write(address: _, bytes: _, let then): then(&host, false)
    case .pin(address: _, count: _, forWriting: _, let then): then(&host, false)
    case .findFirmware(descriptor: _, let then): then(&host, false)
    case .findMachine(descriptor: _, let then): then(&host, nil)
    case .identifyPages(address: _, count: _, let then): then(&host, nil)
    }
  }

  /// Goes on with a step by the caller's answer; nothing if the answer makes no sense.
  func answer(
    _ step: Step, of request: PendingRequest, _ record: [UInt8], _ descriptors: consuming DescriptorList
  ) -> Step? {
    guard record.count >= ModelWire.Answer.bytes, descriptors.count <= 1 else { return nil }
    let succeeded = record.span.uint32(at: ModelWire.Answer.succeeded) == 1
    let bytes = Array(record[ModelWire.Answer.bytes...])
    switch step {
    case .finished, .resume, .lock: return nil
    case .read(address: _, let count, let then):
      guard bytes.count == (succeeded ? count : 0) else { return nil }
      return then(&host, succeeded ? bytes : nil)
    case .write(address: _, bytes: _, let then):
      return then(&host, succeeded)
    case .pin(address: _, count: _, forWriting: _, let then):
      return then(&host, succeeded)
    case .findFirmware(descriptor: _, let then):
      guard succeeded, descriptors.count == 1, let identity = try? descriptors.identity(at: 0),
        case .firmware = live.find(identity)
      else { return then(&host, false) }
      return then(&host, true)
    case .findMachine(descriptor: _, let then):
      guard succeeded, let machine = machine(at: 0, of: descriptors) else { return then(&host, nil) }
      if !request.machines.contains(machine) { using[machine, default: 0] += 1 }
      request.hold(descriptors, of: machine)
      return then(&host, machine)
    case .identifyPages(let address, let count, let then):
      guard succeeded else { return bytes.isEmpty ? then(&host, nil) : nil }
      guard let pages = Self.pages(bytes, holding: address, count) else { return nil }
      return then(&host, pages)
    }
  }

  /// The pages of an answer; nothing if they are not as many as hold the range.
  private static func pages(_ bytes: [UInt8], holding address: UInt64, _ count: UInt64) -> [PageIdentity]? {
    let (end, wraps) = address.addingReportingOverflow(count)
    guard count > 0, !wraps else { return nil }
    let expected = (end - 1) / SEVLimit.pageByteCount - address / SEVLimit.pageByteCount + 1
    guard UInt64(bytes.count) == expected * UInt64(ModelWire.PageField.byteCount) else { return nil }
    return stride(from: 0, to: bytes.count, by: ModelWire.PageField.byteCount).map { at in
      PageIdentity(
        inode: bytes.span.uint64(at: at + ModelWire.PageField.inode),
        offset: bytes.span.uint64(at: at + ModelWire.PageField.offset))
    }
  }

  // MARK: The end

  /// Ends a request and lets those that wait for its VMs go on.
  private func end(
    _ request: PendingRequest, outcome: KernelError?, undo: Undo?, on connection: PeerConnection
  ) {
    pace.work(at: request)
    connection.undo = undo
    if request.kind == .enableCapability, outcome == nil {
      for machine in request.machines where host.isDead(machine) { live.markDead(machine) }
    }
    // The descriptors are let go before the answer: a caller that closes its own ones afterwards closes the
    // last.
    request.releaseDescriptors()
    release(request)
    if connections[connection.key] != nil {
      var record = PendingRequest.finished(
        error: outcome?.rawValue ?? 0, argument: request.argumentBytes, parameters: request.parameterBytes)
      send(record, on: connection)
      // It may hold a token.
      ServerSupport.wipe(&record)
    }
  }
}

extension ModelWire.Request {
  /// Whether the request has its VM to itself from the start, as under KVM's lock of the VM.
  fileprivate var takesMachine: Bool {
    switch self {
    case .memoryEncryptOperation, .registerRegion, .unregisterRegion, .getSharedPages, .setSharedPages: true
    case .enableCapability, .firmwareCommand: false
    }
  }
}
