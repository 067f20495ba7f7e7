import SEVABI

/// DBG_DECRYPT and DBG_ENCRYPT.
///
/// Guest memory is readable in this model (real vCPUs execute it), so both are copies: DBG_DECRYPT from guest
/// memory to a buffer, DBG_ENCRYPT from a buffer to guest memory.
extension ModelHost {
  func debug(_ command: Command) -> Step {
    guard guest(command) != nil else { return finish(command, .notSupported) }
    return readParameters(command, as: DebugParameters.self) { host, parameters in
      let length = UInt64(parameters.length)
      let wraps = parameters.sourceAddress.addingReportingOverflow(length).overflow
      guard length > 0, !wraps, parameters.destinationAddress != 0 else {
        return host.finish(command, .invalidArgument)
      }
      return host.debug(
        command, source: parameters.sourceAddress, destination: parameters.destinationAddress,
        remaining: length)
    }
  }

  /// Copies up to the end of the source's page, then goes on with the next page.
  private func debug(
    _ command: Command, source: UInt64, destination: UInt64, remaining: UInt64
  ) -> Step {
    guard remaining > 0 else { return finish(command) }
    let count = min(remaining, SEVLimit.pageByteCount - source % SEVLimit.pageByteCount)
    return pin(command, address: source, count: count, forWriting: false) { host in
      host.pin(command, address: destination, count: count, forWriting: true) { host in
        guard let machine = host.guest(command) else { return host.finish(command, .notSupported) }
        return host.withFirmware(command, descriptor: machine.firmwareDescriptor) { host in
          do throws(FirmwareStatus) {
            try host.firmware.checkDebugging(machine.handle)
          } catch {
            return host.finish(command, refusedBy: error)
          }
          var command = command
          command.block.error = FirmwareStatus.success.rawValue
          return host.copy(
            command, source: source, destination: destination, count: count, remaining: remaining)
        }
      }
    }
  }

  private func copy(
    _ command: Command, source: UInt64, destination: UInt64, count: UInt64, remaining: UInt64
  ) -> Step {
    .read(address: source, count: Int(count)) { host, bytes in
      guard let bytes else { return host.finish(command, .badAddress) }
      return .write(address: destination, bytes: bytes) { host, written in
        guard written else { return host.finish(command, .badAddress) }
        return host.debug(
          command, source: source + count, destination: destination &+ count,
          remaining: remaining - count)
      }
    }
  }
}
