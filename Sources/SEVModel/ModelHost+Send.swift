import SEVABI

/// SEND_START, SEND_UPDATE_DATA and, as an extension, SEND_UPDATE_VMSA.
extension ModelHost {
  func sendStart(_ command: Command) -> Step {
    guard guest(command) != nil else { return finish(command, .notSupported) }
    return readParameters(command, as: SendStartParameters.self) { host, parameters in
      guard parameters.sessionByteCount != 0 else { return host.querySession(command, parameters) }
      guard parameters.diffieHellmanAddress != 0, parameters.diffieHellmanByteCount != 0,
        parameters.sessionAddress != 0, parameters.sessionByteCount <= SEVLimit.blobByteCount
      else { return host.finish(command, .invalidArgument) }
      return host.readBlob(
        command, address: parameters.diffieHellmanAddress, count: parameters.diffieHellmanByteCount
      ) { host, certificate in
        host.readBlob(
          command, address: parameters.platformCertificatesAddress,
          count: parameters.platformCertificatesByteCount
        ) { host, platform in
          host.readBlob(
            command, address: parameters.amdCertificatesAddress, count: parameters.amdCertificatesByteCount
          ) { host, amd in
            host.sendStart(
              command, parameters,
              to: Firmware.Receiver(
                certificate: certificate, platformCertificates: platform, amdCertificates: amd))
          }
        }
      }
    }
  }

  private func sendStart(
    _ command: Command, _ parameters: SendStartParameters, to receiver: Firmware.Receiver
  ) -> Step {
    callFirmware(command) { host, handle throws(FirmwareStatus) in
      try host.firmware.sendStart(
        handle, receiver: receiver, room: parameters.sessionByteCount, random: &host.random)
    } then: { host, command, result in
      host.writeBlob(
        command, result.session, address: parameters.sessionAddress, count: parameters.sessionByteCount
      ) { host in
        var answer = parameters
        answer.policy = result.policy.rawValue
        answer.sessionByteCount = UInt32(result.session.count)
        return host.writeAnswer(command, answer.bytes, outcome: nil)
      }
    }
  }

  /// Asks the firmware with a length of 0, which answers with what it needs, in whatever state the guest is.
  private func querySession(_ command: Command, _ parameters: SendStartParameters) -> Step {
    query(command) { host, handle throws(FirmwareStatus) in
      let nobody = Firmware.Receiver(certificate: [], platformCertificates: [], amdCertificates: [])
      _ = try host.firmware.sendStart(handle, receiver: nobody, room: 0, random: &host.random)
    } answer: { isLengthKnown in
      var answer = parameters
      answer.sessionByteCount = isLengthKnown ? Firmware.Length.session : 0
      return answer.bytes
    }
  }

  /// Calls the firmware for the sake of its refusal, and copies the struct out with the lengths that it gave.
  private func query(
    _ command: Command,
    _ call: @escaping @Sendable (inout ModelHost, UInt32) throws(FirmwareStatus) -> Void,
    answer: @escaping @Sendable (Bool) -> [UInt8]
  ) -> Step {
    guard let machine = guest(command) else { return finish(command, .notSupported) }
    return withFirmware(command, descriptor: machine.firmwareDescriptor) { host in
      var command = command
      do throws(FirmwareStatus) {
        try call(&host, machine.handle)
        command.block.error = FirmwareStatus.success.rawValue
        return host.writeAnswer(command, answer(false), outcome: nil)
      } catch {
        let outcome = host.firmware.mailbox.outcome(of: error, error: &command.block.error)
        return host.writeAnswer(command, answer(error == .invalidLength), outcome: outcome)
      }
    }
  }

  // MARK: Packets

  func sendUpdateData(_ command: Command) -> Step {
    guard guest(command) != nil else { return finish(command, .notSupported) }
    return readParameters(command, as: PacketParameters.self) { host, parameters in
      guard !parameters.isLengthQuery else { return host.queryPacket(command, parameters, kind: .data) }
      guard parameters.transportAddress != 0, parameters.guestAddress != 0, parameters.guestByteCount != 0,
        parameters.headerAddress != 0, parameters.isInsideOnePage
      else { return host.finish(command, .invalidArgument) }
      return host.pin(
        command, address: parameters.guestPage, count: SEVLimit.pageByteCount, forWriting: false
      ) { host in
        guard parameters.isAllocatable else { return host.finish(command, .outOfMemory) }
        guard let machine = host.guest(command) else { return host.finish(command, .notSupported) }
        return host.withFirmware(command, descriptor: machine.firmwareDescriptor) { host in
          host.readGuestMemory(
            command, handle: machine.handle, address: parameters.guestAddress,
            count: UInt64(parameters.guestByteCount)
          ) { host, plaintext in
            host.sendPacket(command, parameters, kind: .data, handle: machine.handle, plaintext: plaintext)
          }
        }
      }
    }
  }

  /// Makes one packet and copies it out: the transport buffer first, then the header, each as long as the caller
  /// said. The lengths are not written back.
  private mutating func sendPacket(
    _ command: Command, _ parameters: PacketParameters, kind: Firmware.PacketKind, handle: UInt32,
    plaintext: [UInt8]
  ) -> Step {
    var command = command
    let packet: (header: [UInt8], transport: [UInt8])
    do throws(FirmwareStatus) {
      packet = try firmware.sendUpdate(
        handle, kind, guestAddress: kind == .data ? parameters.guestAddress : 0, plaintext: plaintext,
        headerRoom: parameters.headerByteCount, transportRoom: parameters.transportByteCount,
        random: &random)
    } catch {
      return finish(command, refusedBy: error)
    }
    command.block.error = FirmwareStatus.success.rawValue
    return writeBlob(
      command, packet.transport, address: parameters.transportAddress, count: parameters.transportByteCount
    ) { [command, header = packet.header] host in
      host.writeBlob(
        command, header, address: parameters.headerAddress, count: parameters.headerByteCount
      ) { host in host.finish(command) }
    }
  }

  private func queryPacket(
    _ command: Command, _ parameters: PacketParameters, kind: Firmware.PacketKind
  ) -> Step {
    query(command) { host, handle throws(FirmwareStatus) in
      _ = try host.firmware.sendUpdate(
        handle, kind, guestAddress: 0, plaintext: [], headerRoom: 0, transportRoom: 0, random: &host.random)
    } answer: { isLengthKnown in
      var answer = parameters
      answer.headerByteCount = isLengthKnown ? Firmware.Length.packetHeader : 0
      answer.transportByteCount = 0
      return answer.bytes
    }
  }

  // MARK: The extension

  /// SEND_UPDATE_VMSA, which no kernel implements: the struct is that of SEND_UPDATE_DATA with the vCPU's number
  /// in place of the guest address and 4096 as the guest length. The checks follow SEND_UPDATE_DATA; a number
  /// that no vCPU has, or whose registers are not encrypted yet, is EINVAL.
  func sendUpdateVMSA(_ command: Command) -> Step {
    guard let machine = guest(command), machine.hasEncryptedState else {
      return finish(command, .notSupported)
    }
    return readParameters(command, as: PacketParameters.self) { host, parameters in
      guard !parameters.isLengthQuery else { return host.queryPacket(command, parameters, kind: .registers) }
      guard parameters.transportAddress != 0, parameters.headerAddress != 0,
        parameters.guestByteCount == Firmware.Length.registers,
        let vcpu = host.findVCPU(number: parameters.guestAddress, of: command.machine),
        let page = host.vcpus[vcpu]?.encryptedState.page
      else { return host.finish(command, .invalidArgument) }
      guard parameters.isAllocatable else { return host.finish(command, .outOfMemory) }
      return host.withFirmware(command, descriptor: machine.firmwareDescriptor) { host in
        host.sendPacket(
          command, parameters, kind: .registers, handle: machine.handle, plaintext: page)
      }
    }
  }
}

extension PacketParameters {
  /// Whether SEND_UPDATE_* is asked for the lengths.
  var isLengthQuery: Bool { transportByteCount == 0 || headerByteCount == 0 }

  /// The page in which the guest range begins.
  var guestPage: UInt64 { guestAddress - guestAddress % SEVLimit.pageByteCount }

  var isInsideOnePage: Bool {
    guestAddress % SEVLimit.pageByteCount + UInt64(guestByteCount) <= SEVLimit.pageByteCount
  }

  /// Whether the kernel could allocate the buffers that a send fills.
  var isAllocatable: Bool {
    max(transportByteCount, headerByteCount) <= ModelHost.allocationByteCount
  }
}
