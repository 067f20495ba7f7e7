import Glibc
import LinuxOS
import SEVABI
import SEVDevice
import SEVModel

/// VMs, vCPUs and firmware devices: from the request for one to its last close.
extension ModelServer {
  enum Made {
    case machine, vcpu, firmware
  }

  /// Makes what the record asks for and sends its descriptor.
  func make(
    _ made: Made, _ record: [UInt8], _ descriptors: borrowing DescriptorList,
    on connection: PeerConnection
  ) {
    guard record.count == ModelWire.Make.byteCount, descriptors.count == (made == .vcpu ? 1 : 0) else {
      return drop(connection)
    }
    let addressSpace = record.span.uint64(at: ModelWire.Make.addressSpace)
    let detail = record.span.uint64(at: ModelWire.Make.detail)
    // 0 is what a process has that could not get a name for its address space.
    guard addressSpace != 0 else { return finish(connection, error: ENOMEM) }
    let caller = Caller(addressSpace: AddressSpaceID(rawValue: addressSpace), lockablePages: 0)
    guard live.count < options.maximumDescriptors else { return finish(connection, error: ENFILE) }
    do {
      switch made {
      case .machine: try deliver(makeMachine(type: detail, caller), on: connection)
      case .vcpu:
        let identity = try descriptors.identity(at: 0)
        guard case .machine(let machine) = live.find(identity) else { throw KernelError.notSupported }
        try deliver(makeVCPU(UInt32(truncatingIfNeeded: detail), of: machine, caller), on: connection)
      case .firmware:
        // Without a processor there is no device file.
        guard host.configuration.processor != .absent else { return finish(connection, error: ENOENT) }
        try deliver(live.openFirmware(forWriting: detail & 1 != 0), on: connection)
      }
    } catch let error as KernelError {
      finish(connection, error: error.rawValue)
    } catch let error as SystemError {
      finish(connection, error: error.code)
    } catch {
      finish(connection, error: EIO)
    }
  }

  private func makeMachine(type: UInt64, _ caller: Caller) throws -> LiveDescriptors.Made {
    let id = try host.makeMachine(type: type, creator: caller.addressSpace)
    do {
      return try live.make(.machine(id))
    } catch {
      host.close(id)
      throw error
    }
  }

  private func makeVCPU(
    _ number: UInt32, of machine: VirtualMachineID, _ caller: Caller
  ) throws -> LiveDescriptors.Made {
    // It cannot be taken back, so that the descriptor is made first.
    let vcpu = try host.beginVCPU(number: number, on: machine, caller: caller)
    do {
      let made = try live.make(.vcpu(vcpu, of: machine))
      do {
        try host.completeVCPU(vcpu)
      } catch {
        live.forget(made)
        throw error
      }
      return made
    } catch {
      host.abandonVCPU(vcpu)
      throw error
    }
  }

  private func deliver(_ made: consuming LiveDescriptors.Made, on connection: PeerConnection) {
    var reply = [UInt8](repeating: 0, count: ModelWire.Made.byteCount)
    var span = reply.mutableSpan
    ModelWire.storeHeader(.made, byteCount: ModelWire.Made.byteCount, into: &span)
    span.store(made.identity.device, at: ModelWire.Made.device)
    span.store(made.identity.inode, at: ModelWire.Made.inode)
    send(reply, descriptors: [made.descriptor.number], on: connection)
  }

  /// Closes every VM and vCPU whose last descriptor is closed.
  func closeHungUp() throws(SystemError) {
    for kind in try live.removeHungUp() {
      switch kind {
      case .firmware: break
      case .vcpu(let vcpu, of: _): host.close(vcpu)
      case .machine(let machine):
        // Requests hold descriptors of their VMs. But a caller may have shut the socket down, which no open
        // file of KVM can be: then its requests end first.
        if using[machine] == nil { host.close(machine) } else { doomed.insert(machine) }
      }
    }
  }
}
