import SEVABI

/// LAUNCH_MEASURE and GET_ATTESTATION_REPORT: what the firmware says of a guest, in a buffer whose size the
/// caller may ask for first.
extension ModelHost {
  func launchMeasure(_ command: Command) -> Step {
    guard guest(command) != nil else { return finish(command, .notSupported) }
    return readParameters(command, as: LaunchMeasureParameters.self) { host, parameters in
      let report = Report(
        address: parameters.address, length: parameters.length, needed: Firmware.Length.measurement)
      return host.fetch(command, report) { host, handle, room throws(FirmwareStatus) in
        try host.firmware.launchMeasure(handle, room: room, random: &host.random)
      } answer: { length in
        LaunchMeasureParameters(address: parameters.address, length: length).bytes
      }
    }
  }

  func attestationReport(_ command: Command) -> Step {
    guard guest(command) != nil else { return finish(command, .notSupported) }
    return readParameters(command, as: AttestationReportParameters.self) { host, parameters in
      let report = Report(
        address: parameters.address, length: parameters.length, needed: Firmware.Length.attestationReport)
      let nonce = Array(parameters.bytes[..<16])
      return host.fetch(command, report) { host, handle, room throws(FirmwareStatus) in
        try host.firmware.attest(handle, nonce: nonce, room: room)
      } answer: { length in
        var answer = parameters
        answer.length = length
        return answer.bytes
      }
    }
  }

  /// A buffer that a report is for.
  private struct Report: Sendable {
    let address: UInt64
    let length: UInt32
    /// What the firmware says that it needs.
    let needed: UInt32

    var isQuery: Bool { length == 0 }
    var hasBuffer: Bool { length != 0 && address != 0 }
    /// What the firmware is told. A length without an address is not passed on.
    var room: UInt32 { hasBuffer ? length : 0 }
  }

  /// Fetches a report from the firmware and copies it out, then the command's struct with the length.
  ///
  /// Only a query (length 0) reports the length after a failure; the firmware fills it in with INVALID_LENGTH
  /// alone.
  private func fetch(
    _ command: Command, _ report: Report,
    _ call: @escaping @Sendable (inout ModelHost, UInt32, UInt32) throws(FirmwareStatus) -> [UInt8],
    answer: @escaping @Sendable (UInt32) -> [UInt8]
  ) -> Step {
    if report.hasBuffer, report.length > SEVLimit.blobByteCount { return finish(command, .invalidArgument) }
    guard let machine = guest(command) else { return finish(command, .notSupported) }
    return withFirmware(command, descriptor: machine.firmwareDescriptor) { host in
      var command = command
      let bytes: [UInt8]
      do throws(FirmwareStatus) {
        bytes = try call(&host, machine.handle, report.room)
      } catch {
        let outcome = host.firmware.mailbox.outcome(of: error, error: &command.block.error)
        guard report.isQuery else { return host.finish(command, outcome) }
        let length = error == .invalidLength ? report.needed : 0
        return host.writeAnswer(command, answer(length), outcome: outcome)
      }
      command.block.error = FirmwareStatus.success.rawValue
      return host.writeBlob(command, bytes, address: report.address, count: report.length) {
        [command] host in
        host.writeAnswer(command, answer(UInt32(bytes.count)), outcome: nil)
      }
    }
  }
}
