import SEVABI

/// LAUNCH_START, LAUNCH_UPDATE_DATA, LAUNCH_MEASURE, LAUNCH_FINISH and GUEST_STATUS.
extension ModelHost {
  /// How much plaintext is asked of the caller at a time: whole pages, and small enough for one record.
  private static let chunkByteCount: UInt64 = 8 * SEVLimit.pageByteCount

  func launchStart(_ command: Command) -> Step {
    guard guest(command) != nil else { return finish(command, .notSupported) }
    return readParameters(command, as: LaunchStartParameters.self) { host, parameters in
      host.readBlob(
        command, address: parameters.certificateAddress, count: parameters.certificateByteCount
      ) { host, certificate in
        host.readBlob(command, address: parameters.sessionAddress, count: parameters.sessionByteCount) {
          host, session in
          host.withFirmware(command, descriptor: command.block.firmwareDescriptor) { host in
            host.launchStart(command, parameters, certificate: certificate, session: session)
          }
        }
      }
    }
  }

  /// Copies a certificate or session in; an address of 0 is an absent one.
  private func readBlob(
    _ command: Command, address: UInt64, count: UInt32,
    then: @escaping @Sendable (inout ModelHost, [UInt8]?) -> Step
  ) -> Step {
    // The closure needs the host as inout, so that an absent blob takes the same way as one that was read.
    guard address != 0 else { return .resume { host in then(&host, nil) } }
    guard count != 0, count <= SEVLimit.blobByteCount else { return finish(command, .invalidArgument) }
    return .read(address: address, count: Int(count)) { host, bytes in
      guard let bytes else { return host.finish(command, .badAddress) }
      return then(&host, bytes)
    }
  }

  private mutating func launchStart(
    _ command: Command, _ parameters: LaunchStartParameters, certificate: [UInt8]?, session: [UInt8]?
  ) -> Step {
    guard let machine = guest(command) else { return finish(command, .notSupported) }
    var command = command
    let handle: UInt32
    do throws(FirmwareStatus) {
      handle = try firmware.launchStart(
        policy: GuestPolicy(rawValue: parameters.policy), sharing: parameters.handle,
        session: certificate.map { Firmware.LaunchSession(certificate: $0, session: session ?? []) },
        random: &random)
    } catch {
      return finish(command, refusedBy: error)
    }
    do throws(FirmwareStatus) {
      try firmware.activate(handle, asid: machine.asid)
    } catch {
      discard(handle)
      return finish(command, refusedBy: error)
    }
    command.block.error = FirmwareStatus.success.rawValue
    var answer = parameters
    answer.handle = handle
    return .write(address: command.block.data, bytes: answer.bytes) { [command] host, written in
      guard written else {
        host.discard(handle)
        return host.finish(command, .badAddress)
      }
      return host.completeLaunchStart(command, handle: handle)
    }
  }

  private mutating func completeLaunchStart(_ command: Command, handle: UInt32) -> Step {
    guard var machine = guest(command) else { return finish(command, .notSupported) }
    let undo = Undo.launchStart(
      command.machine, handle: handle, previousHandle: machine.handle,
      previousDescriptor: machine.firmwareDescriptor)
    machine.handle = handle
    machine.firmwareDescriptor = command.block.firmwareDescriptor
    machines[command.machine] = machine
    return finish(command, undo: undo)
  }

  /// Unbinds and forgets a guest context. KVM ignores what the firmware says to that.
  mutating func discard(_ handle: UInt32) {
    try? firmware.deactivate(handle)
    try? firmware.decommission(handle)
  }

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
      do throws(FirmwareStatus) {
        try host.measurePages(command, address: address, plaintext: plaintext)
      } catch {
        return host.finish(command, refusedBy: error)
      }
      return host.measure(command, address: address + count, remaining: remaining - count)
    }
  }

  private mutating func measurePages(
    _ command: Command, address: UInt64, plaintext: [UInt8]
  ) throws(FirmwareStatus) {
    guard let handle = guest(command)?.handle else { throw .invalidGuest }
    var offset = 0
    while offset < plaintext.count {
      let start = address + UInt64(offset)
      let toBoundary = Int(SEVLimit.pageByteCount - start % SEVLimit.pageByteCount)
      let end = min(plaintext.count, offset + toBoundary)
      try firmware.launchUpdateData(handle, address: start, plaintext: plaintext[offset..<end])
      offset = end
    }
  }

  /// The model has no vCPUs, so that there are no registers to measure: for a SEV-ES guest it answers like a
  /// kernel without the command.
  func launchUpdateVMSA(_ command: Command) -> Step {
    guard let machine = guest(command), machine.hasEncryptedState else {
      return finish(command, .notSupported)
    }
    return .finished(.invalidArgument)
  }

  func launchMeasure(_ command: Command) -> Step {
    guard let machine = guest(command) else { return finish(command, .notSupported) }
    return readParameters(command, as: LaunchMeasureParameters.self) { host, parameters in
      let hasBuffer = parameters.length != 0 && parameters.address != 0
      if hasBuffer, parameters.length > SEVLimit.blobByteCount {
        return host.finish(command, .invalidArgument)
      }
      return host.withFirmware(command, descriptor: machine.firmwareDescriptor) { host in
        host.launchMeasure(command, parameters, room: hasBuffer ? parameters.length : 0)
      }
    }
  }

  private mutating func launchMeasure(
    _ command: Command, _ parameters: LaunchMeasureParameters, room: UInt32
  ) -> Step {
    guard let handle = guest(command)?.handle else { return finish(command, .notSupported) }
    var command = command
    var answer = parameters
    let measurement: [UInt8]
    do throws(FirmwareStatus) {
      measurement = try firmware.launchMeasure(handle, room: room, random: &random)
    } catch {
      command.block.error = error.rawValue
      // Only a query (length 0) reports the length; the firmware fills it in with INVALID_LENGTH alone.
      guard parameters.length == 0 else { return finish(command, .inputOutput) }
      answer.length = error == .invalidLength ? UInt32(LaunchMeasureParameters.measurementByteCount) : 0
      return writeParameters(command, answer, outcome: .inputOutput)
    }
    command.block.error = FirmwareStatus.success.rawValue
    answer.length = UInt32(measurement.count)
    let padding = [UInt8](repeating: 0, count: Int(parameters.length) - measurement.count)
    return .write(address: parameters.address, bytes: measurement + padding) {
      [command, answer] host, written in
      guard written else { return host.finish(command, .badAddress) }
      return host.writeParameters(command, answer, outcome: nil)
    }
  }

  /// Copies a command's own struct out and ends the command; a failed copy ends it with EFAULT.
  private func writeParameters(
    _ command: Command, _ parameters: some KernelStructure, outcome: KernelError?
  ) -> Step {
    .write(address: command.block.data, bytes: parameters.bytes) { host, written in
      host.finish(command, written ? outcome : .badAddress)
    }
  }

  func launchFinish(_ command: Command) -> Step {
    guard let machine = guest(command) else { return finish(command, .notSupported) }
    return withFirmware(command, descriptor: machine.firmwareDescriptor) { host in
      var command = command
      do throws(FirmwareStatus) {
        try host.firmware.launchFinish(machine.handle)
      } catch {
        return host.finish(command, refusedBy: error)
      }
      command.block.error = FirmwareStatus.success.rawValue
      return host.finish(command)
    }
  }

  func guestStatus(_ command: Command) -> Step {
    guard let machine = guest(command) else { return finish(command, .notSupported) }
    return withFirmware(command, descriptor: machine.firmwareDescriptor) { host in
      var command = command
      do throws(FirmwareStatus) {
        let status = try host.firmware.guestStatus(machine.handle)
        command.block.error = FirmwareStatus.success.rawValue
        return host.writeParameters(
          command,
          GuestStatusParameters(
            handle: machine.handle, policy: status.policy.rawValue, state: status.state.rawValue),
          outcome: nil)
      } catch {
        return host.finish(command, refusedBy: error)
      }
    }
  }
}
