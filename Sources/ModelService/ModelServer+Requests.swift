import Glibc
import LinuxOS
import SEVABI
import SEVDevice
import SEVModel

/// What callers ask for, from the first record to the last.
extension ModelServer {
  // MARK: Descriptors

  enum Made {
    case machine, firmware
  }

  /// Makes a VM or opens the firmware, and sends the descriptor.
  func make(_ made: Made, _ record: [UInt8], on connection: PeerConnection) {
    guard record.count == ModelWire.MakeMachine.byteCount else { return drop(connection) }
    // 0 is what a process has that could not get a name for its address space.
    guard record.span.uint64(at: ModelWire.MakeMachine.addressSpace) != 0 else {
      return finish(connection, error: ENOMEM)
    }
    guard live.count < options.maximumDescriptors else { return finish(connection, error: ENFILE) }
    let creator = AddressSpaceID(rawValue: record.span.uint64(at: ModelWire.MakeMachine.addressSpace))
    do throws(SystemError) {
      let descriptor: OwnedDescriptor
      switch made {
      case .machine:
        let id = host.makeMachine(creator: creator)
        do throws(SystemError) {
          descriptor = try live.make(.machine(id))
        } catch {
          host.destroy(id)
          throw error
        }
      case .firmware: descriptor = try live.make(.firmware)
      }
      var reply = [UInt8](repeating: 0, count: ModelWire.headerByteCount)
      var span = reply.mutableSpan
      ModelWire.storeHeader(.made, byteCount: ModelWire.headerByteCount, into: &span)
      send(reply, descriptors: [descriptor.number], on: connection)
    } catch {
      finish(connection, error: error.code)
    }
  }

  /// Destroys every VM whose last descriptor is closed.
  func destroyHungUp() throws(SystemError) {
    for kind in try live.removeHungUp() {
      switch kind {
      case .firmware: break
      case .machine(let id):
        // A caller that shut the socket down while a request was under way: the request ends first.
        if busy[id] == nil { host.destroy(id) } else { doomed.insert(id) }
      }
    }
  }

  // MARK: Requests on a VM

  /// Starts a request, or lets it wait for an unfinished one on the same VM.
  func start(
    _ kind: PendingRequest.Kind, _ record: [UInt8], _ descriptors: consuming DescriptorList,
    on connection: PeerConnection
  ) {
    connection.undo = nil
    guard descriptors.count == 1, let decoded = PendingRequest.decode(kind, from: record.span) else {
      return drop(connection)
    }
    guard let identity = try? descriptors.identity(at: 0), case .machine(let machine) = live.find(identity)
    else {
      // As an ioctl that the file does not know.
      return finish(connection, error: KernelError.notSupported.rawValue)
    }
    let request = PendingRequest(
      kind: kind, machine: machine, caller: decoded.caller, argument: decoded.argument,
      parameters: decoded.parameters, holding: descriptors)
    if busy[machine] != nil {
      busy[machine]?.append(connection)
      connection.state = .queued(request)
    } else {
      busy[machine] = []
      begin(request, on: connection)
    }
  }

  private func begin(_ request: PendingRequest, on connection: PeerConnection) {
    let argument = request.argument.address
    let step =
      switch request.kind {
      case .memoryEncryptOperation:
        host.memoryEncryptOperation(on: request.machine, argument: argument, caller: request.caller)
      case .registerRegion:
        host.registerRegion(on: request.machine, argument: argument, caller: request.caller)
      case .unregisterRegion:
        host.unregisterRegion(on: request.machine, argument: argument, caller: request.caller)
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
        guard let window = request.window(address: address, count: count) else {
          return ask(step, of: request, on: connection)
        }
        step = then(&host, window.bytes)
      case .write(let address, let bytes, let then):
        guard let isWritten = request.deliverLater(bytes, at: address) else {
          return ask(step, of: request, on: connection)
        }
        step = then(&host, isWritten)
      case .pin, .findFirmware:
        return ask(step, of: request, on: connection)
      }
    }
  }

  /// Sends a step's question to the caller. Results that still wait for the end go first, so that the
  /// caller's memory is as the request left it.
  private func ask(_ step: Step, of request: PendingRequest, on connection: PeerConnection) {
    var step = step
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
    case .finished, .resume: step
    case .read(address: _, count: _, let then): then(&host, nil)
    case .write(address: _, bytes: _, let then): then(&host, false)
    case .pin(address: _, count: _, forWriting: _, let then): then(&host, false)
    case .findFirmware(descriptor: _, let then): then(&host, false)
    }
  }

  /// Goes on with a step by the caller's answer; nothing if the answer makes no sense.
  func answer(_ step: Step, _ record: [UInt8], _ descriptors: borrowing DescriptorList) -> Step? {
    guard record.count >= ModelWire.Answer.bytes else { return nil }
    let succeeded = record.span.uint32(at: ModelWire.Answer.succeeded) == 1
    let bytes = Array(record[ModelWire.Answer.bytes...])
    switch step {
    case .finished, .resume: return nil
    case .read(address: _, let count, let then):
      guard bytes.count == (succeeded ? count : 0) else { return nil }
      return then(&host, succeeded ? bytes : nil)
    case .write(address: _, bytes: _, let then):
      return then(&host, succeeded)
    case .pin(address: _, count: _, forWriting: _, let then):
      return then(&host, succeeded)
    case .findFirmware(descriptor: _, let then):
      var isFirmware = false
      if succeeded, descriptors.count == 1, let identity = try? descriptors.identity(at: 0) {
        isFirmware = live.find(identity) == .firmware
      }
      return then(&host, isFirmware)
    }
  }

  /// Ends a request and starts the next one that waits for the VM.
  private func end(
    _ request: PendingRequest, outcome: KernelError?, undo: Undo?, on connection: PeerConnection
  ) {
    let machine = request.machine
    connection.undo = undo
    // The VM's descriptor is let go before the answer: a caller that closes its own one afterwards closes the
    // last.
    request.releaseDescriptors()
    if connections[connection.key] != nil {
      var record = PendingRequest.finished(
        error: outcome?.rawValue ?? 0, argument: request.argumentBytes, parameters: request.parameterBytes)
      send(record, on: connection)
      // It may hold a token.
      ServerSupport.wipe(&record)
    }
    unlock(machine)
  }

  /// Lets the request that waits longest for the VM go on.
  private func unlock(_ machine: VirtualMachineID) {
    if let next = busy[machine]?.first {
      busy[machine]?.removeFirst()
      unlocked.append((next, machine))
      return
    }
    busy[machine] = nil
    if doomed.remove(machine) != nil { host.destroy(machine) }
  }

  /// Begins the requests whose turn it is.
  func beginUnlocked() {
    while let (connection, machine) = unlocked.popLast() {
      if case .queued(let request) = connection.state {
        connection.state = .idle
        begin(request, on: connection)
      } else {
        // The caller went away while it waited.
        unlock(machine)
      }
    }
  }
}
