import SEVABI

/// SEND_*, RECEIVE_*, LOCAL_SEND, LOCAL_RECEIVE and the two capabilities.
extension NaiveKernel {
  // MARK: To and from other machines

  mutating func sendStart(
    _ command: NaiveCommand, _ request: NaiveRequest
  ) throws(NaiveFirmware.Refusal) -> Outcome {
    if !isGuest(command) { return .failed(.notSupported) }
    if command.structure == .unmapped { return .failed(.badAddress) }
    let arguments = command.arguments
    let handle = machines[command.machine].handle
    if arguments.session.length == 0 {
      return query(command, request, lengths: [128]) { kernel throws(NaiveFirmware.Refusal) in
        try kernel.firmware.sendStart(handle, NaiveArguments())
      }
    }
    if arguments.certificate.address == 0 || arguments.certificate.length == 0
      || arguments.session.address == 0 || arguments.session.length > 0x4000
    {
      return .failed(.invalidArgument)
    }
    if let error = blob(arguments.certificate) ?? blob(arguments.platformCertificates)
      ?? blob(arguments.amdCertificates)
    {
      return .failed(error)
    }
    if !hasFirmware(command, request) { return .failed(.badDescriptor) }
    try firmware.sendStart(handle, arguments)
    if !NaivePlace.isMapped(arguments.session.address, 128) { return .notDelivered }
    guard let guest = firmware.guests[handle],
      let receiver = NaiveFirmware.end(arguments.certificate.content)
    else { return .notDelivered }
    products += 1
    sessions[products] = Session(
      policy: guest.policy, keys: guest.keys, receiver: arguments.certificate.content,
      ends: [.platform(firmware.identity.edition), receiver])
    note(.session(products))
    return command.structure == .readOnly ? .notDelivered : .done([UInt64(guest.policy), 128])
  }

  /// A call with length 0 that asks for lengths. They are written back whatever the firmware said, as 0 where
  /// it did not report them.
  private mutating func query(
    _ command: NaiveCommand, _ request: NaiveRequest, lengths: [UInt64],
    call: (inout NaiveKernel) throws(NaiveFirmware.Refusal) -> Void
  ) -> Outcome {
    if !hasFirmware(command, request) { return .failed(.badDescriptor) }
    do throws(NaiveFirmware.Refusal) {
      try call(&self)
      return .done()
    } catch {
      if command.structure != .readWrite { return Outcome(error: .badAddress, status: error.status) }
      let isReported = error.status == .invalidLength
      return .refused(error.status, fields: isReported ? lengths : lengths.map { _ in 0 })
    }
  }

  mutating func sendUpdate(
    _ command: NaiveCommand, _ request: NaiveRequest
  ) throws(NaiveFirmware.Refusal) -> Outcome {
    if !isGuest(command) { return .failed(.notSupported) }
    if command.structure == .unmapped { return .failed(.badAddress) }
    let arguments = command.arguments
    let handle = machines[command.machine].handle
    if arguments.transport.length == 0 || arguments.header.length == 0 {
      return query(command, request, lengths: [52, 0]) { kernel throws(NaiveFirmware.Refusal) in
        try kernel.firmware.sendUpdate(handle, NaiveArguments())
      }
    }
    if arguments.transport.address == 0 || arguments.guest.address == 0 || arguments.guest.length == 0
      || arguments.header.address == 0
    {
      return .failed(.invalidArgument)
    }
    if let error = checkPage(command, request) { return .failed(error) }
    if !hasFirmware(command, request) { return .failed(.badDescriptor) }
    try firmware.sendUpdate(handle, arguments)
    if !NaivePlace.isMapped(arguments.transport.address, UInt64(arguments.transport.length))
      || !NaivePlace.isMapped(arguments.header.address, UInt64(arguments.header.length))
    {
      return .notDelivered
    }
    guard let keys = firmware.guests[handle]?.keys else { return .notDelivered }
    products += 1
    packets[products] = Packet(keys: keys, length: arguments.guest.length)
    note(.packet(products))
    return .done()
  }

  /// Guest memory of SEND_UPDATE_DATA and RECEIVE_UPDATE_DATA: within one page, and pinned.
  private func checkPage(_ command: NaiveCommand, _ request: NaiveRequest) -> KernelError? {
    let guest = command.arguments.guest
    if guest.address % 4096 + UInt64(guest.length) > 4096 { return .invalidArgument }
    return pin(command.machine, guest.address / 4096 * 4096, 4096, request)
  }

  mutating func receiveStart(
    _ command: NaiveCommand, _ request: NaiveRequest
  ) throws(NaiveFirmware.Refusal) -> Outcome {
    if !isGuest(command) { return .failed(.notSupported) }
    if command.structure == .unmapped { return .failed(.badAddress) }
    if let error = blob(command.arguments.certificate) ?? blob(command.arguments.session) {
      return .failed(error)
    }
    if !hasFirmware(command.descriptor, request) { return .failed(.badDescriptor) }
    let handle = try firmware.receiveStart(command.arguments, sessions: sessions)
    return try bind(handle, command)
  }

  func receiveUpdate(
    _ command: NaiveCommand, _ request: NaiveRequest
  ) throws(NaiveFirmware.Refusal) -> Outcome {
    // The one command that has EINVAL where the others have ENOTTY.
    if !isGuest(command) { return .failed(.invalidArgument) }
    if command.structure == .unmapped { return .failed(.badAddress) }
    let arguments = command.arguments
    for buffer in [arguments.header, arguments.guest, arguments.transport]
    where buffer.address == 0 || buffer.length == 0 {
      return .failed(.invalidArgument)
    }
    if arguments.guest.address % 4096 + UInt64(arguments.guest.length) > 4096 {
      return .failed(.invalidArgument)
    }
    if let error = blob(arguments.header) ?? blob(arguments.transport) ?? checkPage(command, request) {
      return .failed(error)
    }
    if !hasFirmware(command, request) { return .failed(.badDescriptor) }
    try firmware.receiveUpdate(machines[command.machine].handle, arguments, packets: packets)
    return .done()
  }

  // MARK: On this machine, the June 2021 patches

  mutating func localSend(_ command: NaiveCommand, token: UInt64) -> Outcome {
    if !isGuest(command) { return .failed(.notSupported) }
    if command.structure != .readWrite { return .failed(.badAddress) }
    // No kernel gives out 0 or a token that is still in its table; this answer is one that no model gives.
    if token == 0 || nodes[token] != nil { return .failed(.timedOut) }
    let machine = machines[command.machine]
    nodes[token] = Node(
      asid: machine.asid, handle: machine.handle, lockedPages: machine.lockedPages,
      regions: machine.regions, isES: machine.isES, vcpus: machine.vcpus)
    machines[command.machine].regions = []
    machines[command.machine].token = token
    return Outcome()
  }

  mutating func localReceive(_ command: NaiveCommand) -> Outcome {
    if !isGuest(command) { return .failed(.notSupported) }
    let machine = machines[command.machine]
    if machine.handle != 0 { return .failed(.notPermitted) }
    if !machine.regions.isEmpty { return .failed(.notPermitted) }
    if command.structure == .unmapped { return .failed(.badAddress) }
    let token = command.arguments.token
    guard let node = nodes[token], node.isValid else { return .failed(.badAddress) }
    if node.isES != machine.isES { return .failed(.notPermitted) }
    if node.isES {
      for vcpu in node.vcpus where !machine.vcpus.contains(where: { $0.number == vcpu.number }) {
        return .failed(.badAddress)
      }
    }
    if command.structure == .readOnly { return .failed(.badAddress) }
    nodes[token]?.isValid = false
    release(machine.asid)
    machines[command.machine].asid = node.asid
    machines[command.machine].handle = node.handle
    machines[command.machine].lockedPages = node.lockedPages
    machines[command.machine].regions = node.regions
    for vcpu in node.vcpus {
      for index in machine.vcpus.indices where machine.vcpus[index].number == vcpu.number {
        machines[command.machine].vcpus[index].isProtected = vcpu.isProtected
      }
    }
    return Outcome(fields: [UInt64(node.handle)])
  }

  // MARK: Mainline's MOVE and COPY

  mutating func enableCapability(
    _ number: Int, _ capability: UInt32, _ flags: UInt32, _ source: Int?, _ request: NaiveRequest
  ) -> KernelError? {
    if isForeignOrDead(number, request) { return .inputOutput }
    if flags != 0 { return .invalidArgument }
    if profile == .v10 || capability != 197 && capability != 206 { return .invalidArgument }
    guard let source else { return .badDescriptor }
    if source == number { return .invalidArgument }
    return capability == 206 ? move(number, source) : copy(number, source)
  }

  private mutating func move(_ number: Int, _ source: Int) -> KernelError? {
    let from = machines[source]
    let to = machines[number]
    if from.type != to.type || to.isActive || !from.isActive { return .invalidArgument }
    if from.token != nil { return .notPermitted }
    if profile != .mainline611, !from.mirrors.isEmpty { return .busy }
    if from.isES {
      if from.vcpus.count != to.vcpus.count { return .invalidArgument }
      if from.vcpus.contains(where: { !$0.isProtected }) { return .invalidArgument }
      for index in to.vcpus.indices {
        machines[number].vcpus[index].isProtected = true
        machines[source].vcpus[index].isProtected = false
      }
    }
    machines[number].isActive = true
    machines[number].isES = from.isES
    machines[number].asid = from.asid
    machines[number].handle = from.handle
    machines[number].lockedPages = from.lockedPages
    machines[number].regions = from.regions
    machines[number].owner = from.owner
    machines[number].mirrors = from.mirrors
    for mirror in from.mirrors { machines[mirror].owner = number }
    if let owner = from.owner {
      machines[owner].mirrors.removeAll { $0 == source }
      machines[owner].mirrors.append(number)
    }
    machines[source].isActive = false
    machines[source].isES = false
    machines[source].asid = nil
    machines[source].handle = 0
    machines[source].lockedPages = 0
    machines[source].regions = []
    machines[source].owner = nil
    machines[source].mirrors = []
    machines[source].isDead = true
    return nil
  }

  private mutating func copy(_ number: Int, _ source: Int) -> KernelError? {
    let from = machines[source]
    let to = machines[number]
    if to.isActive || !from.isActive || from.owner != nil || !to.vcpus.isEmpty { return .invalidArgument }
    if from.token != nil { return .notPermitted }
    machines[number].isActive = true
    machines[number].isES = from.isES
    machines[number].asid = from.asid
    machines[number].handle = from.handle
    machines[number].descriptor = from.descriptor
    machines[number].needsInit = false
    machines[number].owner = source
    machines[source].mirrors.append(number)
    return nil
  }
}
