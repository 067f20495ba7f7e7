import SEVABI

/// DBG_DECRYPT and DBG_ENCRYPT: from guest memory to a buffer, and from a buffer to guest memory.
extension ModelHost {
  func debug(_ command: Command, decrypts: Bool) -> Step {
    guard guest(command) != nil else { return finish(command, .notSupported) }
    return readParameters(command, as: DebugParameters.self) { host, parameters in
      let length = UInt64(parameters.length)
      let wraps = parameters.sourceAddress.addingReportingOverflow(length).overflow
      guard length > 0, !wraps, parameters.destinationAddress != 0 else {
        return host.finish(command, .invalidArgument)
      }
      return host.debug(
        command,
        DebugRange(
          source: parameters.sourceAddress, destination: parameters.destinationAddress, remaining: length,
          decrypts: decrypts))
    }
  }

  /// What is still to be copied.
  private struct DebugRange: Sendable {
    var source: UInt64
    var destination: UInt64
    var remaining: UInt64
    let decrypts: Bool

    /// Up to the end of the source's page.
    var nextCount: UInt64 { min(remaining, SEVLimit.pageByteCount - source % SEVLimit.pageByteCount) }

    var afterNext: DebugRange {
      let count = nextCount
      return DebugRange(
        source: source &+ count, destination: destination &+ count, remaining: remaining - count,
        decrypts: decrypts)
    }
  }

  /// Copies up to the end of the source's page, then goes on with the next page. One page of the source and one
  /// of the destination are pinned at a time, and the firmware is asked for each.
  private func debug(_ command: Command, _ range: DebugRange) -> Step {
    guard range.remaining > 0 else { return finish(command) }
    let sourcePage = range.source - range.source % SEVLimit.pageByteCount
    let destinationPage = range.destination - range.destination % SEVLimit.pageByteCount
    return pin(command, address: sourcePage, count: SEVLimit.pageByteCount, forWriting: false) { host in
      host.pin(command, address: destinationPage, count: SEVLimit.pageByteCount, forWriting: true) { host in
        host.callFirmware(command) { host, handle throws(FirmwareStatus) in
          try host.firmware.checkDebugging(handle)
          return handle
        } then: { host, command, handle in
          range.decrypts
            ? host.decrypt(command, range, handle: handle) : host.encrypt(command, range, handle: handle)
        }
      }
    }
  }

  private func decrypt(_ command: Command, _ range: DebugRange, handle: UInt32) -> Step {
    readGuestMemory(command, handle: handle, address: range.source, count: range.nextCount) { host, bytes in
      .write(address: range.destination, bytes: bytes) { host, written in
        written ? host.debug(command, range.afterNext) : host.finish(command, .badAddress)
      }
    }
  }

  /// A part of the destination that is not of whole cipher blocks is read, changed and written.
  private func encrypt(_ command: Command, _ range: DebugRange, handle: UInt32) -> Step {
    .read(address: range.source, count: Int(range.nextCount)) { host, bytes in
      guard let bytes else { return host.finish(command, .badAddress) }
      return host.writeGuestMemory(command, handle: handle, address: range.destination, bytes: bytes) {
        host in
        host.debug(command, range.afterNext)
      }
    }
  }
}
