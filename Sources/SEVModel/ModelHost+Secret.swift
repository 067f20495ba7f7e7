import SEVABI

/// LAUNCH_SECRET: puts what the owner encrypted for the guest into its memory.
extension ModelHost {
  func launchSecret(_ command: Command) -> Step {
    guard guest(command) != nil else { return finish(command, .notSupported) }
    return readParameters(command, as: PacketParameters.self) { host, parameters in
      let address = parameters.guestAddress
      let count = UInt64(parameters.guestByteCount)
      return host.pin(command, address: address, count: count, forWriting: true) { host in
        // The range must be contiguous in physical memory. Pages of this model never are.
        guard address % SEVLimit.pageByteCount + count <= SEVLimit.pageByteCount else {
          return host.finish(command, .invalidArgument)
        }
        return host.readBlob(
          command, address: parameters.transportAddress, count: parameters.transportByteCount
        ) { host, transport in
          host.readBlob(command, address: parameters.headerAddress, count: parameters.headerByteCount) {
            host, header in
            host.inject(command, parameters, header: header, transport: transport)
          }
        }
      }
    }
  }

  private func inject(
    _ command: Command, _ parameters: PacketParameters, header: [UInt8], transport: [UInt8]
  ) -> Step {
    callFirmware(command) { host, handle throws(FirmwareStatus) in
      let secret = try host.firmware.launchSecret(
        handle, header: header, transport: transport, guestAddress: parameters.guestAddress,
        guestByteCount: parameters.guestByteCount)
      return (handle, secret)
    } then: { host, command, result in
      host.writeGuestMemory(
        command, handle: result.0, address: parameters.guestAddress, bytes: result.1
      ) { host in host.finish(command) }
    }
  }
}
