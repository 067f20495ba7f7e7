import Glibc
import LinuxOS
import SEVABI
import SEVDevice
import SEVModel
import Testing

extension OverTheSocket {
  @Suite("A guest that goes to another machine")
  struct TransferTests {
    /// One machine: a model, a session with it, its firmware device.
    private struct Machine: ~Copyable {
      let model: RunningModel
      var session: SEVSession
      let firmware: OwnedDescriptor

      init(ciphertext: Bool) throws {
        let model = try RunningModel(ModelConfiguration(ciphertext: ciphertext))
        var session = try model.openSession()
        let firmware = try session.openFirmware()
        self.model = model
        self.session = session
        self.firmware = firmware
      }
    }

    @Test("arrives page by page, and its memory with it", arguments: [false, true])
    func transfer(ciphertext: Bool) throws {
      var source = try Machine(ciphertext: ciphertext)
      var target = try Machine(ciphertext: ciphertext)
      let content = (0..<8192).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ 1) }
      let sourcePages = Pages(2)
      let targetPages = Pages(2)
      sourcePages.store(content, at: 0)
      let guest = try source.session.makeGuest()
      _ = try source.session.launchStart(guest, policy: [], firmware: source.firmware)
      try source.session.launchUpdateData(guest, address: sourcePages.address, byteCount: 8192)
      _ = try source.session.launchMeasure(guest)
      try source.session.launchFinish(guest)

      let (pdh, chain) = try target.session.exportPDH(target.firmware)
      let amd = try target.session.amdCertificates()
      #expect(amd.count == 1664)
      let sent = try source.session.sendStart(
        guest, diffieHellman: pdh, platformCertificates: chain, amdCertificates: amd)
      let (ownPDH, _) = try source.session.exportPDH(source.firmware)
      let arrived = try target.session.makeGuest()
      let handle = try target.session.receiveStart(
        arrived, policy: sent.policy, diffieHellman: ownPDH, session: sent.session, firmware: target.firmware)
      #expect(handle == 1)
      for page in 0..<2 {
        let offset = UInt64(page * 4096)
        let packet = try source.session.sendUpdateData(
          guest, address: sourcePages.address + offset, byteCount: 4096)
        #expect(packet.header.count == 52)
        var changed = packet
        changed.payload[100] ^= 1
        let refused = failure {
          try target.session.receiveUpdateData(arrived, changed, address: targetPages.address + offset)
        }
        #expect(refused?.firmware == .badMeasurement)
        try target.session.receiveUpdateData(arrived, packet, address: targetPages.address + offset)
      }
      try target.session.receiveFinish(arrived)
      try source.session.sendFinish(guest)
      let seen = try target.session.debugDecrypt(arrived, address: targetPages.address, byteCount: 8192)
      #expect(seen == content)
      #expect((targetPages.load(8192, at: 0) == content) == !ciphertext)
      let status = try target.session.guestStatus(arrived)
      #expect(status.state == GuestState.running.rawValue)
    }

    @Test("takes its vCPUs along where the model goes further than any kernel")
    func encryptedState() throws {
      let configuration = ModelConfiguration(encryptedStateASIDCount: 4, firmwareVMSA: true)
      let model = try RunningModel(configuration)
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeLaunched(firmware, encryptedState: true, vcpus: 2)
      let (pdh, chain) = try session.exportPDH(firmware)
      let amd = try session.amdCertificates()
      let sent = try session.sendStart(
        source.machine, diffieHellman: pdh, platformCertificates: chain, amdCertificates: amd)
      #expect(sent.policy == .encryptedState)
      let machine = try session.makeMachine()
      try session.initialize(machine, encryptedState: true)
      let target = try MachineWithVCPUs(&session, adopting: machine, count: 2)
      _ = try session.receiveStart(
        target.machine, policy: sent.policy, diffieHellman: pdh, session: sent.session, firmware: firmware)
      for number: UInt32 in 0..<2 {
        let packet = try session.sendUpdateVMSA(source.machine, vcpu: number)
        try session.receiveUpdateVMSA(target.machine, packet, vcpu: number)
      }
      let unknown = failure { _ = try session.sendUpdateVMSA(source.machine, vcpu: 7) }
      #expect(unknown?.reason == .invalidArgument)
      try session.receiveFinish(target.machine)
      // Received registers are the guest's own, as launched ones are: it can be moved on.
      let next = try MachineWithVCPUs(&session, count: 2)
      try session.move(from: target.machine, to: next.machine)

      let strict = try RunningModel(ModelConfiguration(encryptedStateASIDCount: 4))
      var other = try strict.openSession()
      let otherFirmware = try other.openFirmware()
      let guest = try other.makeLaunched(otherFirmware, encryptedState: true, vcpus: 1)
      let refused = failure { _ = try other.sendUpdateVMSA(guest.machine, vcpu: 0) }
      #expect(refused?.reason == .invalidArgument)
    }

    @Test("stays when sending is cancelled, and is refused where its policy says so")
    func cancel() throws {
      var machine = try Machine(ciphertext: false)
      let (pdh, chain) = try machine.session.exportPDH(machine.firmware)
      let amd = try machine.session.amdCertificates()
      let guest = try machine.session.makeLaunched(machine.firmware)
      _ = try machine.session.sendStart(
        guest, diffieHellman: pdh, platformCertificates: chain, amdCertificates: amd)
      try machine.session.sendCancel(guest)
      let status = try machine.session.guestStatus(guest)
      #expect(status.state == GuestState.running.rawValue)

      let bound = try machine.session.makeGuest()
      _ = try machine.session.launchStart(bound, policy: .noSending, firmware: machine.firmware)
      _ = try machine.session.launchMeasure(bound)
      try machine.session.launchFinish(bound)
      let refused = failure {
        _ = try machine.session.sendStart(
          bound, diffieHellman: pdh, platformCertificates: chain, amdCertificates: amd)
      }
      #expect(refused?.firmware == .policyFailure)
    }
  }

  @Suite("A transfer's arguments anywhere in memory")
  struct TransferMemoryTests {
    /// A guest that is being sent to its own machine, and one that is being received.
    private func start(
      _ session: inout SEVSession, _ firmware: borrowing OwnedDescriptor
    ) throws -> (source: Held, target: Held) {
      let (pdh, chain) = try session.exportPDH(firmware)
      let amd = try session.amdCertificates()
      let source = try session.makeLaunched(firmware)
      let sent = try session.sendStart(
        source, diffieHellman: pdh, platformCertificates: chain, amdCertificates: amd)
      let target = try session.makeGuest()
      _ = try session.receiveStart(
        target, policy: sent.policy, diffieHellman: pdh, session: sent.session, firmware: firmware)
      return (Held(source), Held(target))
    }

    @Test("each pointer of a packet command is no address, read-only or across an edge in turn")
    func packets() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let (source, target) = try start(&session, firmware)
      let guest = Pages(1)
      let buffers = Pages(4)
      // Header at the end of page 0, payload on pages 1 and 2 or across the edge to page 3, which is closed.
      // (Unmapped, it could be mapped again by another thread.)
      buffers.protect(PROT_NONE, page: 3)
      let block = Pages(1)
      func run(
        _ id: SEVCommandID, on machine: borrowing OwnedDescriptor, header: UInt64, guest: UInt64,
        payload: UInt64
      ) throws -> Int32 {
        block.store(SEVCommandBlock(id: id.rawValue, data: block.address + 64).bytes, at: 0)
        let parameters = PacketParameters(
          headerAddress: header, headerByteCount: 52, guestAddress: guest, guestByteCount: 4096,
          transportAddress: payload, transportByteCount: 4096)
        block.store(parameters.bytes, at: 64)
        return try session.memoryEncryptOperation(on: machine, argument: block.address)
      }
      let header = buffers.address + 4096 - 52
      let payload = buffers.address + 4096 + 100
      let edge = buffers.address + 2 * 4096 + 1
      #expect(
        try run(
          .sendUpdateData, on: source.descriptor, header: header, guest: guest.address, payload: edge)
          == EFAULT)
      #expect(
        try run(.sendUpdateData, on: source.descriptor, header: 16, guest: guest.address, payload: payload)
          == EFAULT)
      #expect(
        try run(.sendUpdateData, on: source.descriptor, header: header, guest: 4096, payload: payload)
          == ENOMEM)
      #expect(
        try run(
          .sendUpdateData, on: source.descriptor, header: header, guest: guest.address, payload: payload) == 0
      )
      #expect(
        try run(
          .receiveUpdateData, on: target.descriptor, header: header, guest: guest.address, payload: edge)
          == EFAULT)
      #expect(
        try run(.receiveUpdateData, on: target.descriptor, header: 16, guest: guest.address, payload: payload)
          == EFAULT)
      guest.protect(PROT_READ)
      #expect(
        try run(
          .receiveUpdateData, on: target.descriptor, header: header, guest: guest.address, payload: payload)
          == ENOMEM)
      // Reading a page that cannot be written is enough for a send.
      #expect(
        try run(
          .sendUpdateData, on: source.descriptor, header: header, guest: guest.address, payload: payload) == 0
      )
      guest.protect(PROT_READ | PROT_WRITE)
      #expect(
        try run(
          .receiveUpdateData, on: target.descriptor, header: header, guest: guest.address, payload: payload)
          == 0)
    }

    @Test("a place for the handle that goes away during RECEIVE_START takes it back")
    func undoneReceive() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let (pdh, chain) = try session.exportPDH(firmware)
      let amd = try session.amdCertificates()
      let source = try session.makeLaunched(firmware)
      let sent = try session.sendStart(
        source, diffieHellman: pdh, platformCertificates: chain, amdCertificates: amd)
      let target = try session.makeGuest()
      let pages = Pages(2)
      let blobs = Pages(1)
      blobs.store(pdh, at: 0)
      blobs.store(sent.session, at: 2500)
      pages.store(
        SEVCommandBlock(
          id: SEVCommandID.receiveStart.rawValue, data: pages.address + 4096,
          firmwareDescriptor: firmware.number
        ).bytes, at: 0)
      let parameters = ReceiveStartParameters(
        policy: sent.policy.rawValue, diffieHellmanAddress: blobs.address,
        diffieHellmanByteCount: UInt32(pdh.count), sessionAddress: blobs.address + 2500,
        sessionByteCount: UInt32(sent.session.count))
      pages.store(parameters.bytes, at: 4096)
      pages.protect(PROT_READ, page: 1)
      #expect(try session.memoryEncryptOperation(on: target, argument: pages.address) == EFAULT)
      let guests = try session.platformStatus(firmware).guestCount
      #expect(guests == 1)
      pages.protect(PROT_READ | PROT_WRITE, page: 1)
      #expect(try session.memoryEncryptOperation(on: target, argument: pages.address) == 0)
    }
  }

  @Suite("The firmware device over the socket")
  struct PlatformTests {
    @Test("tells its state to everybody, and changes its identity only for who opened it for writing")
    func identity() throws {
      let model = try RunningModel(ModelConfiguration(encryptedStateASIDCount: 2))
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let readOnly = try session.openFirmware(forWriting: false)
      let status = try session.platformStatus(readOnly)
      #expect(status.guestCount == 0)
      #expect(status.hasEncryptedState)
      let refused = failure { try session.generatePDH(readOnly) }
      #expect(refused?.code == EPERM)
      let (before, chain) = try session.exportPDH(firmware)
      #expect(before.count == 2084)
      #expect(chain.count == 6252)
      try session.generatePDH(firmware)
      let (after, _) = try session.exportPDH(firmware)
      #expect(before != after)
      let request = try session.certificateSigningRequest(firmware)
      #expect(request.count == 2084)
      let identifier = try session.platformIdentifier(firmware)
      #expect(!identifier.isEmpty)
      let guest = try session.makeGuest()
      _ = try session.launchStart(guest, policy: [], firmware: firmware)
      #expect(try session.platformStatus(readOnly).guestCount == 1)
      let busy = failure { try session.factoryReset(firmware) }
      #expect(busy?.code == EBUSY)
    }

    @Test("fails with EFAULT where its arguments cannot be read or written, and ENOTTY on a VM")
    func addresses() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      #expect(try session.issueCommand(on: firmware, argument: 8) == EFAULT)
      let pages = Pages(2)
      func store(_ id: DeviceCommandID, data: UInt64) {
        pages.store(DeviceCommandBlock(id: id.rawValue, data: data).bytes, at: 0)
      }
      store(.platformStatus, data: 8)
      #expect(try session.issueCommand(on: firmware, argument: pages.address) == EFAULT)
      store(.platformStatus, data: pages.address + 4096)
      pages.protect(PROT_READ, page: 1)
      #expect(try session.issueCommand(on: firmware, argument: pages.address) == EFAULT)
      pages.protect(PROT_READ | PROT_WRITE, page: 1)
      #expect(try session.issueCommand(on: firmware, argument: pages.address) == 0)
      #expect(pages.load(1, at: 4096 + 2) != [0])
      pages.protect(PROT_READ, page: 0)
      #expect(try session.issueCommand(on: firmware, argument: pages.address) == EFAULT)
      let machine = try session.makeMachine()
      #expect(try session.issueCommand(on: machine, argument: pages.address) == ENOTTY)
    }
  }
}
