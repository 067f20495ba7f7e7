import SEVABI

/// KVM_MEMORY_ENCRYPT_OP and the commands of a launch.
extension NaiveKernel {
  /// How a handler ended: its errno, what the firmware said if it was called, and what was written out.
  struct Outcome {
    var error: KernelError?
    var status: FirmwareStatus?
    var fields: [UInt64] = []

    static func failed(_ error: KernelError) -> Outcome { Outcome(error: error) }
    static func refused(_ status: FirmwareStatus, fields: [UInt64] = []) -> Outcome {
      Outcome(error: .inputOutput, status: status, fields: fields)
    }
    static func done(_ fields: [UInt64] = []) -> Outcome { Outcome(status: .success, fields: fields) }
    /// The firmware had its way, and then a copy out failed.
    static let notDelivered = Outcome(error: .badAddress, status: .success)
  }

  mutating func operation(
    _ command: NaiveCommand, _ request: NaiveRequest, token: UInt64
  ) -> NaiveAnswer {
    if isForeignOrDead(command.machine, request) { return NaiveAnswer(error: .inputOutput) }
    if command.block == .unmapped { return NaiveAnswer(error: .badAddress) }
    let machine = machines[command.machine]
    if machine.owner != nil {
      let allowed: [UInt32] = profile == .rfc ? [] : [4, 16, 17, 18]
      if !allowed.contains(command.id) { return NaiveAnswer(error: .invalidArgument) }
    }
    if machine.token != nil, command.id != 17, command.id != 18 {
      return NaiveAnswer(error: .notPermitted)
    }
    guard let outcome = dispatch(command, request, token: token) else {
      return NaiveAnswer(error: .invalidArgument)
    }
    if command.block == .readOnly { return NaiveAnswer(error: .badAddress) }
    return NaiveAnswer(
      error: outcome.error, firmware: outcome.status?.rawValue ?? NaiveAnswer.untouched,
      fields: outcome.fields)
  }

  /// - Returns: Nothing for a number that this kernel does not know.
  private mutating func dispatch(
    _ command: NaiveCommand, _ request: NaiveRequest, token: UInt64
  ) -> Outcome? {
    do throws(NaiveFirmware.Refusal) {
      switch (command.id, profile) {
      case (0, _): return Outcome(error: initialize(command.machine, encryptedState: false))
      case (1, _): return Outcome(error: initialize(command.machine, encryptedState: true))
      case (2, _): return try launchStart(command, request)
      case (3, _): return try launchUpdateData(command, request)
      case (4, _): return try launchUpdateVMSA(command, request)
      case (5, _): return try launchSecret(command, request)
      case (6, _): return try measureOrAttest(command, request, size: 48)
      case (7, _): return try change(command, request, NaiveFirmware.State.measured)
      case (8, _): return try sendStart(command, request)
      case (9, _): return try sendUpdate(command, request)
      case (11, _): return try change(command, request, NaiveFirmware.State.sending, to: .sent)
      case (12, _): return try receiveStart(command, request)
      case (13, _): return try receiveUpdate(command, request)
      case (15, _): return try change(command, request, NaiveFirmware.State.receiving)
      case (16, _): return try guestStatus(command, request)
      case (17, _), (18, _): return try debug(command, request)
      case (20, _): return try measureOrAttest(command, request, size: 208)
      case (21, .rfc), (21, .mainline516), (21, .mainline611):
        return try change(command, request, NaiveFirmware.State.sending)
      case (22, .rfc): return localSend(command, token: token)
      case (22, .mainline611): return Outcome(error: initialize2(command))
      case (23, .rfc): return localReceive(command)
      default: return nil
      }
    } catch {
      return .refused(error.status)
    }
  }

  // MARK: What many commands check

  func isGuest(_ command: NaiveCommand) -> Bool { machines[command.machine].isActive }

  func hasFirmware(_ descriptor: Int32, _ request: NaiveRequest) -> Bool {
    descriptor == Address.firmware || descriptor == 0 && request.hasFirmwareAtZero
  }

  /// The descriptor that the VM stored.
  func hasFirmware(_ command: NaiveCommand, _ request: NaiveRequest) -> Bool {
    hasFirmware(machines[command.machine].descriptor, request)
  }

  /// The helper that copies certificates, sessions and headers in.
  func blob(_ buffer: NaiveBuffer) -> KernelError? {
    if buffer.address == 0 || buffer.length == 0 || buffer.length > 0x4000 { return .invalidArgument }
    return NaivePlace.isMapped(buffer.address, UInt64(buffer.length)) ? nil : .badAddress
  }

  // MARK: Launch

  private mutating func launchStart(
    _ command: NaiveCommand, _ request: NaiveRequest
  ) throws(NaiveFirmware.Refusal) -> Outcome {
    if !isGuest(command) { return .failed(.notSupported) }
    if command.structure == .unmapped { return .failed(.badAddress) }
    let arguments = command.arguments
    if arguments.certificate.address != 0, let error = blob(arguments.certificate) { return .failed(error) }
    if arguments.session.address != 0, let error = blob(arguments.session) { return .failed(error) }
    if !hasFirmware(command.descriptor, request) { return .failed(.badDescriptor) }
    let handle = try firmware.launchStart(arguments, sessions: sessions)
    return try bind(handle, command)
  }

  /// What LAUNCH_START and RECEIVE_START do with the new handle.
  mutating func bind(_ handle: UInt32, _ command: NaiveCommand) throws(NaiveFirmware.Refusal) -> Outcome {
    if let asid = machines[command.machine].asid {
      do throws(NaiveFirmware.Refusal) {
        try firmware.activate(handle, asid)
      } catch {
        firmware.discard(handle)
        throw error
      }
    }
    if command.structure == .readOnly {
      firmware.discard(handle)
      return .notDelivered
    }
    machines[command.machine].handle = handle
    machines[command.machine].descriptor = command.descriptor
    return .done([UInt64(handle)])
  }

  private mutating func launchUpdateData(
    _ command: NaiveCommand, _ request: NaiveRequest
  ) throws(NaiveFirmware.Refusal) -> Outcome {
    if !isGuest(command) { return .failed(.notSupported) }
    if command.structure == .unmapped { return .failed(.badAddress) }
    let guest = command.arguments.guest
    if let error = pin(command.machine, guest.address, UInt64(guest.length), request) {
      return .failed(error)
    }
    if !hasFirmware(command, request) { return .failed(.badDescriptor) }
    var address = guest.address
    let end = guest.address + UInt64(guest.length)
    while address < end {
      let next = min(end, (address / 4096 + 1) * 4096)
      try firmware.launchUpdateData(
        machines[command.machine].handle, address: address, length: next - address)
      address = next
    }
    return .done()
  }

  private mutating func launchUpdateVMSA(
    _ command: NaiveCommand, _ request: NaiveRequest
  ) throws(NaiveFirmware.Refusal) -> Outcome {
    let machine = machines[command.machine]
    if !machine.isActive || !machine.isES { return .failed(.notSupported) }
    var outcome = Outcome()
    for index in machine.vcpus.indices {
      if machine.vcpus[index].isDebugged {
        outcome.error = .invalidArgument
        return outcome
      }
      if !hasFirmware(command, request) { return .failed(.badDescriptor) }
      try firmware.launchUpdateVMSA(machine.handle)
      outcome.status = .success
      machines[command.machine].vcpus[index].isProtected = true
    }
    return outcome
  }

  private mutating func launchSecret(
    _ command: NaiveCommand, _ request: NaiveRequest
  ) throws(NaiveFirmware.Refusal) -> Outcome {
    if !isGuest(command) { return .failed(.notSupported) }
    if command.structure == .unmapped { return .failed(.badAddress) }
    let arguments = command.arguments
    let guest = arguments.guest
    if let error = pin(command.machine, guest.address, UInt64(guest.length), request) {
      return .failed(error)
    }
    // Two pages are never next to each other in physical memory.
    if guest.address % 4096 + UInt64(guest.length) > 4096 { return .failed(.invalidArgument) }
    if let error = blob(arguments.transport) ?? blob(arguments.header) { return .failed(error) }
    if !hasFirmware(command, request) { return .failed(.badDescriptor) }
    try firmware.launchSecret(machines[command.machine].handle, arguments)
    return .done()
  }

  /// LAUNCH_MEASURE and GET_ATTESTATION_REPORT: a buffer of `transport` is filled with `size` bytes.
  private mutating func measureOrAttest(
    _ command: NaiveCommand, _ request: NaiveRequest, size: UInt32
  ) throws(NaiveFirmware.Refusal) -> Outcome {
    if !isGuest(command) { return .failed(.notSupported) }
    if command.structure == .unmapped { return .failed(.badAddress) }
    let buffer = command.arguments.transport
    let isQuery = buffer.length == 0
    if !isQuery, buffer.address != 0, buffer.length > 0x4000 { return .failed(.invalidArgument) }
    if !hasFirmware(command, request) { return .failed(.badDescriptor) }
    let room = buffer.address == 0 ? 0 : buffer.length
    let handle = machines[command.machine].handle
    do throws(NaiveFirmware.Refusal) {
      if size == 48 {
        try firmware.launchMeasure(handle, room: room, number: measurements + 1)
        measurements += 1
      } else {
        try firmware.attest(handle, room: room)
      }
    } catch {
      if !isQuery { throw error }
      if command.structure == .readOnly { return Outcome(error: .badAddress, status: error.status) }
      return .refused(error.status, fields: [error.status == .invalidLength ? UInt64(size) : 0])
    }
    if !NaivePlace.isMapped(buffer.address, UInt64(buffer.length)) {
      // Nobody knows the measurement, so that nobody can make a secret for it.
      if size == 48 { firmware.guests[handle]?.measurement = nil }
      return .notDelivered
    }
    if size == 48 { note(.measurement(measurements)) }
    return command.structure == .readOnly ? .notDelivered : .done([UInt64(size)])
  }

  /// The commands that only move a guest from one state to the next.
  private mutating func change(
    _ command: NaiveCommand, _ request: NaiveRequest, _ from: Int, to next: GuestState = .running
  ) throws(NaiveFirmware.Refusal) -> Outcome {
    if !isGuest(command) { return .failed(.notSupported) }
    if !hasFirmware(command, request) { return .failed(.badDescriptor) }
    try firmware.change(machines[command.machine].handle, from: from, to: Int(next.rawValue))
    return .done()
  }

  private func guestStatus(
    _ command: NaiveCommand, _ request: NaiveRequest
  ) throws(NaiveFirmware.Refusal) -> Outcome {
    if !isGuest(command) { return .failed(.notSupported) }
    if !hasFirmware(command, request) { return .failed(.badDescriptor) }
    let handle = machines[command.machine].handle
    let guest = try firmware.status(handle)
    if command.structure != .readWrite { return .notDelivered }
    return .done([UInt64(handle), UInt64(guest?.policy ?? 0), UInt64(guest?.state ?? 0)])
  }

  private func debug(
    _ command: NaiveCommand, _ request: NaiveRequest
  ) throws(NaiveFirmware.Refusal) -> Outcome {
    if !isGuest(command) { return .failed(.notSupported) }
    if command.structure == .unmapped { return .failed(.badAddress) }
    let source = command.arguments.guest
    let (end, wraps) = source.address.addingReportingOverflow(UInt64(source.length))
    if source.length == 0 || wraps || command.arguments.destination == 0 {
      return .failed(.invalidArgument)
    }
    var outcome = Outcome()
    var from = source.address
    var to = command.arguments.destination
    while from < end {
      let count = min(end, (from / 4096 + 1) * 4096) - from
      if let error = pin(command.machine, from / 4096 * 4096, 4096, request)
        ?? pin(command.machine, to / 4096 * 4096, 4096, request)
      {
        outcome.error = error
        return outcome
      }
      if !hasFirmware(command, request) { return .failed(.badDescriptor) }
      try firmware.debug(machines[command.machine].handle)
      outcome.status = .success
      from += count
      to += count
    }
    return outcome
  }
}
