public import SEVABI

/// `/dev/sev`: the driver's checks and copies around the platform's commands.
extension ModelHost {
  /// A command of the device whose block was read.
  struct DeviceCommand: Sendable {
    /// The user address of the command block.
    let address: UInt64
    var block: DeviceCommandBlock
    /// The device was opened for writing.
    let isWritable: Bool
  }

  /// All certificates of the platform, with those that AMD's server has on hardware.
  ///
  /// - Throws: HWERROR_PLATFORM if the cryptography library fails, which has no known cause.
  public mutating func platformCertificates() throws(FirmwareStatus) -> PlatformCertificates {
    try firmware.platformCertificates()
  }

  /// `SEV_ISSUE_CMD` on `/dev/sev`.
  ///
  /// Commands finish in any order, and need none among each other or with those of VMs: each asks for what
  /// it needs of the caller first, and then has the firmware do all at once.
  ///
  /// - Parameters:
  ///   - argument: The ioctl's argument, the user address of a ``DeviceCommandBlock``.
  ///   - isWritable: Whether the descriptor was opened for writing.
  public func issueDeviceCommand(argument: UInt64, isWritable: Bool) -> Step {
    .read(address: argument, count: DeviceCommandBlock.byteCount) { host, bytes in
      guard let bytes, let block = DeviceCommandBlock(bytes: bytes) else { return .finished(.badAddress) }
      guard let id = DeviceCommandID(rawValue: block.id) else { return .finished(.invalidArgument) }
      return host.dispatch(id, DeviceCommand(address: argument, block: block, isWritable: isWritable))
    }
  }

  private mutating func dispatch(_ id: DeviceCommandID, _ command: DeviceCommand) -> Step {
    if id.changesPlatform, !command.isWritable { return finish(command, .notPermitted) }
    switch id {
    case .factoryReset: return factoryReset(command)
    case .platformStatus: return platformStatus(command)
    case .generatePEK:
      return perform(command) { firmware throws(FirmwareStatus) in
        try firmware.initializeIfNeeded()
        try firmware.generatePEK()
      }
    case .certificateSigningRequest: return certificateSigningRequest(command)
    case .generatePDH:
      return perform(command) { firmware throws(FirmwareStatus) in
        try firmware.initializeIfNeeded()
        try firmware.generatePDH()
      }
    case .exportPDH: return exportPDH(command)
    case .importPEK: return importPEK(command)
    case .getID: return platformIdentifier(command)
    case .getID2: return sizedPlatformIdentifier(command)
    }
  }

  // MARK: Endings

  /// The block is written back whether the command failed or not.
  private func finish(_ command: DeviceCommand, _ outcome: KernelError? = nil) -> Step {
    .write(address: command.address, bytes: command.block.bytes) { _, written in
      .finished(written ? outcome : .badAddress)
    }
  }

  /// Ends a command that the firmware refused, or did not answer.
  private func finish(_ command: DeviceCommand, refusedBy status: FirmwareStatus) -> Step {
    deliver(command, status: status, [])
  }

  /// Copies results out, in order, and ends the command; a failed copy ends it with EFAULT.
  private func deliver(
    _ command: DeviceCommand, status: FirmwareStatus, _ results: ArraySlice<Result>
  ) -> Step {
    var command = command
    guard status != .success else {
      command.block.error = status.rawValue
      return deliver(command, outcome: nil, results)
    }
    let outcome = firmware.mailbox.outcome(of: status, error: &command.block.error)
    return deliver(command, outcome: outcome, results)
  }

  private func deliver(
    _ command: DeviceCommand, outcome: KernelError?, _ results: ArraySlice<Result>
  ) -> Step {
    guard let next = results.first else { return finish(command, outcome) }
    return .write(address: next.address, bytes: next.bytes) { host, written in
      guard written else { return host.finish(command, .badAddress) }
      return host.deliver(command, outcome: outcome, results.dropFirst())
    }
  }

  /// Bytes for the caller.
  private struct Result: Sendable {
    let address: UInt64
    let bytes: [UInt8]
  }

  /// Has the firmware do something that has no results.
  private mutating func perform(
    _ command: DeviceCommand, _ work: (inout Firmware) throws(FirmwareStatus) -> Void
  ) -> Step {
    do throws(FirmwareStatus) {
      try work(&firmware)
    } catch {
      return finish(command, refusedBy: error)
    }
    return deliver(command, status: .success, [])
  }

  // MARK: Copies in

  private func readParameters<Parameters: KernelStructure>(
    _ command: DeviceCommand, as type: Parameters.Type,
    then: @escaping @Sendable (inout ModelHost, Parameters) -> Step
  ) -> Step {
    .read(address: command.block.data, count: Parameters.byteCount) { host, bytes in
      guard let bytes, let parameters = Parameters(bytes: bytes) else {
        return host.finish(command, .badAddress)
      }
      return then(&host, parameters)
    }
  }

  private func readBlob(
    _ command: DeviceCommand, address: UInt64, count: UInt32,
    then: @escaping @Sendable (inout ModelHost, [UInt8]) -> Step
  ) -> Step {
    guard address != 0, count != 0, count <= SEVLimit.blobByteCount else {
      return finish(command, .invalidArgument)
    }
    return .read(address: address, count: Int(count)) { host, bytes in
      guard let bytes else { return host.finish(command, .badAddress) }
      return then(&host, bytes)
    }
  }

  // MARK: Commands

  private mutating func platformStatus(_ command: DeviceCommand) -> Step {
    do throws(FirmwareStatus) {
      let status = try firmware.platformStatus()
      return deliver(
        command, status: .success, [Result(address: command.block.data, bytes: status.bytes)])
    } catch {
      return finish(command, refusedBy: error)
    }
  }

  /// The driver asks for the platform's state first, so that the firmware was called also where it is busy.
  private mutating func factoryReset(_ command: DeviceCommand) -> Step {
    var command = command
    do throws(FirmwareStatus) {
      _ = try firmware.platformStatus()
    } catch {
      return finish(command, refusedBy: error)
    }
    guard firmware.platform != .working else {
      command.block.error = FirmwareStatus.success.rawValue
      return finish(command, .busy)
    }
    return perform(command) { firmware throws(FirmwareStatus) in
      if firmware.platform == .initialized { try firmware.shutdown() }
      try firmware.resetPlatform()
    }
  }

  private func certificateSigningRequest(_ command: DeviceCommand) -> Step {
    readParameters(command, as: SigningRequestParameters.self) { host, parameters in
      let isQuery = parameters.address == 0 || parameters.length == 0
      guard isQuery || parameters.length <= SEVLimit.blobByteCount else {
        return host.finish(command, .badAddress)
      }
      do throws(FirmwareStatus) {
        try host.firmware.initializeIfNeeded()
      } catch {
        return host.finish(command, refusedBy: error)
      }
      return host.deliver(
        command, parameters, room: isQuery ? 0 : parameters.length, needed: Firmware.Length.certificate
      ) { firmware, room throws(FirmwareStatus) in
        try firmware.certificateSigningRequest(room: room)
      }
    }
  }

  /// GET_ID2, which does not care whether the platform is initialised.
  private func sizedPlatformIdentifier(_ command: DeviceCommand) -> Step {
    readParameters(command, as: IdentifierParameters.self) { host, parameters in
      let isQuery = parameters.address == 0 || parameters.length == 0
      guard isQuery || parameters.length <= SEVLimit.blobByteCount else {
        return host.finish(command, .badAddress)
      }
      return host.deliver(
        command, parameters, room: isQuery ? 0 : parameters.length,
        needed: Firmware.Length.platformIdentifier
      ) { firmware, room throws(FirmwareStatus) in
        try firmware.platformIdentifier(room: room)
      }
    }
  }

  /// Has the firmware make a blob, and copies out its length and then the blob. The length goes out also
  /// with a failure: what the firmware needs if it said so, else the length that it was given.
  private mutating func deliver(
    _ command: DeviceCommand, _ parameters: SigningRequestParameters, room: UInt32, needed: UInt32,
    _ make: (inout Firmware, UInt32) throws(FirmwareStatus) -> [UInt8]
  ) -> Step {
    var answer = parameters
    do throws(FirmwareStatus) {
      let blob = try make(&firmware, room)
      answer.length = needed
      return deliver(
        command, status: .success,
        [
          Result(address: command.block.data, bytes: answer.bytes),
          Result(address: parameters.address, bytes: blob),
        ])
    } catch {
      answer.length = error == .invalidLength ? needed : room
      return deliver(
        command, status: error, [Result(address: command.block.data, bytes: answer.bytes)])
    }
  }

  /// GET_ID writes its 128 bytes at once.
  private mutating func platformIdentifier(_ command: DeviceCommand) -> Step {
    do throws(FirmwareStatus) {
      let identifier = try firmware.platformIdentifier(room: Firmware.Length.platformIdentifier)
      return deliver(
        command, status: .success, [Result(address: command.block.data, bytes: identifier)])
    } catch {
      return finish(command, refusedBy: error)
    }
  }

  private func importPEK(_ command: DeviceCommand) -> Step {
    readParameters(command, as: ImportParameters.self) { host, parameters in
      host.readBlob(
        command, address: parameters.certificateAddress, count: parameters.certificateByteCount
      ) { host, pek in
        host.readBlob(command, address: parameters.ownerAddress, count: parameters.ownerByteCount) {
          host, oca in
          host.perform(command) { firmware throws(FirmwareStatus) in
            try firmware.initializeIfNeeded()
            try firmware.importPEK(pek, oca: oca)
          }
        }
      }
    }
  }

  /// PDH_CERT_EXPORT: the platform is initialised before anything is read, and only that needs a descriptor
  /// for writing.
  private mutating func exportPDH(_ command: DeviceCommand) -> Step {
    if firmware.platform == .uninitialized {
      guard command.isWritable else { return finish(command, .notPermitted) }
      do throws(FirmwareStatus) {
        try firmware.initializeIfNeeded()
      } catch {
        return finish(command, refusedBy: error)
      }
    }
    return readParameters(command, as: ExportParameters.self) { host, parameters in
      host.exportPDH(command, parameters)
    }
  }

  private mutating func exportPDH(_ command: DeviceCommand, _ parameters: ExportParameters) -> Step {
    let isQuery =
      parameters.diffieHellmanAddress == 0 || parameters.diffieHellmanByteCount == 0
      || parameters.chainAddress == 0
    let longest = max(parameters.diffieHellmanByteCount, parameters.chainByteCount)
    guard isQuery || longest <= SEVLimit.blobByteCount else { return finish(command, .badAddress) }
    var answer = parameters
    if isQuery {
      answer.diffieHellmanByteCount = 0
      answer.chainByteCount = 0
    }
    do throws(FirmwareStatus) {
      let (pdh, chain) = try firmware.exportPDH(
        room: answer.diffieHellmanByteCount, chainRoom: answer.chainByteCount)
      answer.diffieHellmanByteCount = Firmware.Length.certificate
      answer.chainByteCount = Firmware.Length.certificateChain
      return deliver(
        command, status: .success,
        [
          Result(address: command.block.data, bytes: answer.bytes),
          Result(address: parameters.diffieHellmanAddress, bytes: pdh),
          Result(address: parameters.chainAddress, bytes: chain),
        ])
    } catch {
      if error == .invalidLength {
        answer.diffieHellmanByteCount = Firmware.Length.certificate
        answer.chainByteCount = Firmware.Length.certificateChain
      }
      return deliver(
        command, status: error, [Result(address: command.block.data, bytes: answer.bytes)])
    }
  }
}

extension DeviceCommandID {
  /// Whether the driver wants a descriptor that was opened for writing. PDH_CERT_EXPORT is apart: it needs
  /// one only where it has to initialise the platform.
  fileprivate var changesPlatform: Bool {
    switch self {
    case .factoryReset, .generatePEK, .certificateSigningRequest, .generatePDH, .importPEK: true
    case .platformStatus, .exportPDH, .getID, .getID2: false
    }
  }
}
