import SEVABI

/// RECEIVE_START, RECEIVE_UPDATE_DATA and, as an extension, RECEIVE_UPDATE_VMSA.
extension ModelHost {
  func receiveStart(_ command: Command) -> Step {
    guard guest(command) != nil else { return finish(command, .notSupported) }
    return readParameters(command, as: ReceiveStartParameters.self) { host, parameters in
      guard parameters.diffieHellmanAddress != 0, parameters.diffieHellmanByteCount != 0,
        parameters.sessionAddress != 0, parameters.sessionByteCount != 0
      else { return host.finish(command, .invalidArgument) }
      return host.readBlob(
        command, address: parameters.diffieHellmanAddress, count: parameters.diffieHellmanByteCount
      ) { host, certificate in
        host.readBlob(command, address: parameters.sessionAddress, count: parameters.sessionByteCount) {
          host, session in
          host.withFirmware(command, descriptor: command.block.firmwareDescriptor) { host in
            host.receiveStart(
              command, parameters,
              session: Firmware.LaunchSession(certificate: certificate, session: session))
          }
        }
      }
    }
  }

  private mutating func receiveStart(
    _ command: Command, _ parameters: ReceiveStartParameters, session: Firmware.LaunchSession
  ) -> Step {
    let handle: UInt32
    do throws(FirmwareStatus) {
      handle = try firmware.receiveStart(
        policy: GuestPolicy(rawValue: parameters.policy), sharing: parameters.handle, session: session,
        random: &random)
    } catch {
      return finish(command, refusedBy: error)
    }
    var answer = parameters
    answer.handle = handle
    return bind(command, handle: handle, answer: answer.bytes) { [id = command.machine] machine in
      .receiveStart(
        id, handle: handle, previousHandle: machine.handle, previousDescriptor: machine.firmwareDescriptor)
    }
  }

  func receiveUpdateData(_ command: Command) -> Step {
    // Unlike every other command, this one has EINVAL for a VM that is no guest.
    guard guest(command) != nil else { return finish(command, .invalidArgument) }
    return readParameters(command, as: PacketParameters.self) { host, parameters in
      guard parameters.headerAddress != 0, parameters.headerByteCount != 0, parameters.guestAddress != 0,
        parameters.guestByteCount != 0, parameters.transportAddress != 0, parameters.transportByteCount != 0,
        parameters.isInsideOnePage
      else { return host.finish(command, .invalidArgument) }
      return host.readPacket(command, parameters) { host, header, transport in
        host.pin(command, address: parameters.guestPage, count: SEVLimit.pageByteCount, forWriting: true) {
          host in
          host.receivePacket(command, parameters, header: header, transport: transport)
        }
      }
    }
  }

  private func readPacket(
    _ command: Command, _ parameters: PacketParameters,
    then: @escaping @Sendable (inout ModelHost, [UInt8], [UInt8]) -> Step
  ) -> Step {
    readBlob(command, address: parameters.headerAddress, count: parameters.headerByteCount) {
      host, header in
      host.readBlob(command, address: parameters.transportAddress, count: parameters.transportByteCount) {
        host, transport in
        then(&host, header, transport)
      }
    }
  }

  private func receivePacket(
    _ command: Command, _ parameters: PacketParameters, header: [UInt8], transport: [UInt8]
  ) -> Step {
    callFirmware(command) { host, handle throws(FirmwareStatus) in
      let plaintext = try host.firmware.receiveUpdate(
        handle, .data, header: header, transport: transport, guestAddress: parameters.guestAddress,
        guestByteCount: parameters.guestByteCount)
      return (handle, plaintext)
    } then: { host, command, result in
      host.writeGuestMemory(
        command, handle: result.0, address: parameters.guestAddress, bytes: result.1
      ) { host in host.finish(command) }
    }
  }

  // MARK: The extension

  /// RECEIVE_UPDATE_VMSA, which no kernel implements: the struct is that of RECEIVE_UPDATE_DATA with the vCPU's
  /// number in place of the guest address and 4096 as the guest length. The vCPU's registers are encrypted
  /// afterwards.
  func receiveUpdateVMSA(_ command: Command) -> Step {
    guard let machine = guest(command), machine.hasEncryptedState else {
      return finish(command, .notSupported)
    }
    return readParameters(command, as: PacketParameters.self) { host, parameters in
      guard parameters.headerAddress != 0, parameters.headerByteCount != 0, parameters.transportAddress != 0,
        parameters.transportByteCount != 0, parameters.guestByteCount == Firmware.Length.registers,
        let vcpu = host.findVCPU(number: parameters.guestAddress, of: command.machine)
      else { return host.finish(command, .invalidArgument) }
      return host.readPacket(command, parameters) { host, header, transport in
        host.callFirmware(command) { host, handle throws(FirmwareStatus) in
          try host.firmware.receiveUpdate(
            handle, .registers, header: header, transport: transport, guestAddress: 0,
            guestByteCount: parameters.guestByteCount)
        } then: { host, command, page in
          host.vcpus[vcpu]?.protect(page: page)
          return host.finish(command)
        }
      }
    }
  }
}
