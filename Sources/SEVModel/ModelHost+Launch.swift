import SEVABI

/// LAUNCH_START, LAUNCH_UPDATE_DATA and GUEST_STATUS.
extension ModelHost {
  func launchStart(_ command: Command) -> Step {
    guard guest(command) != nil else { return finish(command, .notSupported) }
    return readParameters(command, as: LaunchStartParameters.self) { host, parameters in
      host.readOptionalBlob(
        command, address: parameters.certificateAddress, count: parameters.certificateByteCount
      ) { host, certificate in
        host.readOptionalBlob(
          command, address: parameters.sessionAddress, count: parameters.sessionByteCount
        ) { host, session in
          host.withFirmware(command, descriptor: command.block.firmwareDescriptor) { host in
            host.launchStart(command, parameters, certificate: certificate, session: session)
          }
        }
      }
    }
  }

  private mutating func launchStart(
    _ command: Command, _ parameters: LaunchStartParameters, certificate: [UInt8]?, session: [UInt8]?
  ) -> Step {
    let handle: UInt32
    do throws(FirmwareStatus) {
      handle = try firmware.launchStart(
        policy: GuestPolicy(rawValue: parameters.policy), sharing: parameters.handle,
        session: certificate.map { Firmware.LaunchSession(certificate: $0, session: session ?? []) },
        random: &random)
    } catch {
      return finish(command, refusedBy: error)
    }
    var answer = parameters
    answer.handle = handle
    return bind(command, handle: handle, answer: answer.bytes) { [id = command.machine] machine in
      .launchStart(
        id, handle: handle, previousHandle: machine.handle, previousDescriptor: machine.firmwareDescriptor)
    }
  }

  /// Binds a context that LAUNCH_START or RECEIVE_START made to the VM's ASID, copies the answer out and keeps
  /// the handle and the number of the firmware device. A failure unbinds and forgets the context.
  mutating func bind(
    _ command: Command, handle: UInt32, answer: [UInt8],
    undo: @escaping @Sendable (VirtualMachine) -> Undo
  ) -> Step {
    guard let machine = guest(command) else {
      discard(handle)
      return finish(command, .notSupported)
    }
    do throws(FirmwareStatus) {
      try firmware.activate(handle, asid: machine.asid)
    } catch {
      let ending = finish(command, refusedBy: error)
      discard(handle)
      return ending
    }
    var command = command
    command.block.error = FirmwareStatus.success.rawValue
    return .write(address: command.block.data, bytes: answer) { [command] host, written in
      guard written, var machine = host.guest(command) else {
        host.discard(handle)
        return host.finish(command, .badAddress)
      }
      let undo = undo(machine)
      machine.handle = handle
      machine.firmwareDescriptor = command.block.firmwareDescriptor
      host.machines[command.machine] = machine
      return host.finish(command, undo: undo)
    }
  }

  /// Unbinds and forgets a guest context. KVM ignores what the firmware says to that.
  mutating func discard(_ handle: UInt32) {
    try? firmware.deactivate(handle)
    try? firmware.decommission(handle)
  }

  // MARK: LAUNCH_UPDATE_DATA

  func launchUpdateData(_ command: Command) -> Step {
    guard guest(command) != nil else { return finish(command, .notSupported) }
    return readParameters(command, as: LaunchUpdateDataParameters.self) { host, parameters in
      let length = UInt64(parameters.length)
      return host.pin(command, address: parameters.address, count: length, forWriting: true) { host in
        guard let machine = host.guest(command) else { return host.finish(command, .notSupported) }
        return host.withFirmware(command, descriptor: machine.firmwareDescriptor) { host in
          host.measure(command, address: parameters.address, remaining: length)
        }
      }
    }
  }

  /// Reads and measures one chunk after the other, page by page: the pages count as not contiguous in
  /// physical memory, so that each is one call of the firmware.
  private func measure(_ command: Command, address: UInt64, remaining: UInt64) -> Step {
    guard remaining > 0 else {
      var command = command
      command.block.error = FirmwareStatus.success.rawValue
      return finish(command)
    }
    let toBoundary = Self.chunkByteCount - address % SEVLimit.pageByteCount
    let count = min(remaining, toBoundary)
    return .read(address: address, count: Int(count)) { host, plaintext in
      guard let plaintext else { return host.finish(command, .badAddress) }
      let (measured, refusal) = host.measurePages(command, address: address, plaintext: plaintext)
      let ending = refusal.map { host.finish(command, refusedBy: $0) }
      return host.encryptInPlace(command, address: address, plaintext: plaintext[..<measured]) { host in
        ending ?? host.measure(command, address: address + count, remaining: remaining - count)
      }
    }
  }

  /// Measures pages up to the first that the firmware refuses.
  ///
  /// - Returns: How many bytes were measured, and why no more.
  private mutating func measurePages(
    _ command: Command, address: UInt64, plaintext: [UInt8]
  ) -> (byteCount: Int, refusal: FirmwareStatus?) {
    guard let handle = guest(command)?.handle else { return (0, .invalidGuest) }
    var offset = 0
    while offset < plaintext.count {
      let start = address + UInt64(offset)
      let toBoundary = Int(SEVLimit.pageByteCount - start % SEVLimit.pageByteCount)
      let end = min(plaintext.count, offset + toBoundary)
      do throws(FirmwareStatus) {
        try firmware.launchUpdateData(handle, address: start, plaintext: plaintext[offset..<end])
      } catch {
        return (offset, error)
      }
      offset = end
    }
    return (offset, nil)
  }

  /// Encrypts measured memory where it is, if the model encrypts memory.
  private func encryptInPlace(
    _ command: Command, address: UInt64, plaintext: ArraySlice<UInt8>,
    then: @escaping @Sendable (inout ModelHost) -> Step
  ) -> Step {
    guard configuration.ciphertext, !plaintext.isEmpty, let handle = guest(command)?.handle else {
      return .resume(then)
    }
    return writeGuestMemory(
      command, handle: handle, address: address, bytes: Array(plaintext), then: then)
  }

  // MARK: GUEST_STATUS

  func guestStatus(_ command: Command) -> Step {
    callFirmware(command) { host, handle throws(FirmwareStatus) in
      let status = try host.firmware.guestStatus(handle)
      return GuestStatusParameters(
        handle: handle, policy: status.policy.rawValue, state: status.state.rawValue)
    } then: { host, command, status in
      host.writeAnswer(command, status.bytes, outcome: nil)
    }
  }
}
