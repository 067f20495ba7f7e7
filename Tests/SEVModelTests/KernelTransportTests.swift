import SEVABI
import SEVModel
import Testing

/// A buffer of the caller's: where it is and how long the caller says that it is.
struct Buffer: Equatable {
  var address: UInt64
  var count: UInt32
}

extension Bench {
  /// Where the migration tests put their buffers.
  enum TransportBuffer {
    static let certificate = Buffer(address: 0x30_000, count: 2084)
    static let platform = Buffer(address: 0x40_000, count: 6252)
    static let amd = Buffer(address: 0x50_000, count: 1664)
    static let session = Buffer(address: 0x60_000, count: 128)
    static let header = Buffer(address: 0x70_000, count: 52)
    static let transport = Buffer(address: 0x80_000, count: 4096)
  }

  /// Puts this platform's own Diffie-Hellman certificate where SEND_START and RECEIVE_START look for the other
  /// side's: a guest that is sent to the machine that it is on.
  mutating func storeOwnCertificate() {
    guard let certificates = try? host.platformCertificates() else { preconditionFailure("no certificates") }
    memory.store(certificates.pdh, at: TransportBuffer.certificate.address)
  }

  mutating func sendStart(
    _ machine: VirtualMachineID, certificate: Buffer = TransportBuffer.certificate,
    platform: Buffer = TransportBuffer.platform,
    amd: Buffer = TransportBuffer.amd, session: Buffer = TransportBuffer.session
  ) -> Ending {
    issue(
      .sendStart, machine,
      SendStartParameters(
        diffieHellmanAddress: certificate.address, diffieHellmanByteCount: certificate.count,
        platformCertificatesAddress: platform.address, platformCertificatesByteCount: platform.count,
        amdCertificatesAddress: amd.address, amdCertificatesByteCount: amd.count,
        sessionAddress: session.address, sessionByteCount: session.count
      ).bytes)
  }

  mutating func receiveStart(
    _ machine: VirtualMachineID, policy: GuestPolicy = [], certificate: Buffer = TransportBuffer.certificate,
    session: Buffer = TransportBuffer.session, firmware: Int32 = Address.firmware
  ) -> Ending {
    issue(
      .receiveStart, machine,
      ReceiveStartParameters(
        policy: policy.rawValue, diffieHellmanAddress: certificate.address,
        diffieHellmanByteCount: certificate.count, sessionAddress: session.address,
        sessionByteCount: session.count
      ).bytes, firmware: firmware)
  }

  /// SEND_UPDATE_*, RECEIVE_UPDATE_* or LAUNCH_SECRET.
  mutating func packet(
    _ id: SEVCommandID, _ machine: VirtualMachineID, header: Buffer = TransportBuffer.header,
    guest: Buffer = Buffer(address: Address.guestMemory, count: 4096),
    transport: Buffer = TransportBuffer.transport
  ) -> Ending {
    issue(
      id, machine,
      PacketParameters(
        headerAddress: header.address, headerByteCount: header.count, guestAddress: guest.address,
        guestByteCount: guest.count, transportAddress: transport.address,
        transportByteCount: transport.count
      ).bytes)
  }

  /// A guest that is being sent to this machine, and a VM that receives it.
  mutating func makeTransfer(
    _ kind: GuestKind = .sev, vcpus: UInt32 = 0
  ) -> (source: VirtualMachineID, target: VirtualMachineID) {
    storeOwnCertificate()
    let source = makeLaunched(kind, vcpus: vcpus)
    precondition(sendStart(source) == .ok, "SEND_START failed")
    let policy = GuestPolicy(rawValue: parameters(as: SendStartParameters.self).policy)
    let target = makeGuest(kind, vcpus: vcpus)
    precondition(receiveStart(target, policy: policy) == .ok, "RECEIVE_START failed")
    return (source, target)
  }
}

/// SEND_* and RECEIVE_* of a guest from one VM to another, in the order of the kernel's checks.
@Suite("Sending a guest to another machine")
struct KernelTransportTests {
  private static let none = Buffer(address: 0, count: 0)

  static let rows: [KernelCase] = [
    KernelCase("goes page by page, and both guests are in the states of the firmware") {
      var bench = Bench(.mainline611)
      let (source, target) = bench.makeTransfer()
      #expect(bench.state(of: source) == .sending)
      #expect(bench.state(of: target) == .receiving)
      let page = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      bench.memory.store(page, at: Address.guestMemory)
      #expect(bench.packet(.sendUpdateData, source) == .ok)
      let isReadable = bench.memory.load(4096, at: Bench.TransportBuffer.transport.address) == page
      #expect(!isReadable)
      #expect(
        bench.packet(
          .receiveUpdateData, target, guest: Buffer(address: Address.buffer, count: 4096)) == .ok)
      let isSame = bench.memory.load(4096, at: Address.buffer) == page
      #expect(isSame)
      #expect(bench.issue(.receiveFinish, target) == .ok)
      #expect(bench.issue(.sendFinish, source) == .ok)
      #expect(bench.state(of: source) == .sent)
      #expect(bench.state(of: target) == .running)
    },
    KernelCase("is taken back by SEND_CANCEL, and can begin again") {
      var bench = Bench(.mainline611)
      let (source, _) = bench.makeTransfer()
      #expect(bench.issue(.sendCancel, source) == .ok)
      #expect(bench.state(of: source) == .running)
      #expect(bench.issue(.sendCancel, source) == .refused(.invalidGuestState))
      #expect(bench.sendStart(source) == .ok)
    },
    KernelCase("SEND_START writes session, then policy and length") {
      var bench = Bench(.mainline611)
      bench.storeOwnCertificate()
      let machine = bench.makeGuest()
      let policy: GuestPolicy = .noKeySharing
      #expect(bench.start(machine, policy: policy) == .ok)
      _ = bench.measure(machine)
      _ = bench.issue(.launchFinish, machine)
      let logged = bench.memory.log.count
      #expect(bench.sendStart(machine) == .ok)
      #expect(
        bench.memory.log[logged...] == [
          "read", "read", "read", "read", "read", "find firmware", "write", "write", "write",
        ])
      let after = bench.parameters(as: SendStartParameters.self)
      #expect(after.policy == policy.rawValue)
      #expect(after.sessionByteCount == 128)
    },
    KernelCase("SEND_START with session length 0: EIO with INVALID_LENGTH and 128, in any state") {
      var bench = Bench(.mainline611)
      let machine = bench.makeStarted(.sev, vcpus: 0)
      let session = Buffer(address: 0, count: 0)
      #expect(
        bench.sendStart(machine, certificate: none, platform: none, amd: none, session: session)
          == .refused(.invalidLength))
      #expect(bench.parameters(as: SendStartParameters.self).sessionByteCount == 128)
      #expect(bench.state(of: machine) == .launching)
    },
    KernelCase("SEND_START query without a guest: the firmware's status, and no length") {
      var bench = Bench(.mainline611)
      _ = bench.makeLaunched()
      let machine = bench.makeGuest()
      bench.openFirmwareAtZero()
      #expect(bench.sendStart(machine, session: none) == .refused(.invalidGuest))
      #expect(bench.parameters(as: SendStartParameters.self).sessionByteCount == 0)
    },
    KernelCase("SEND_START without certificate or session, or with one that is too long: EINVAL") {
      var bench = Bench(.mainline611)
      bench.storeOwnCertificate()
      let machine = bench.makeLaunched()
      let place = Bench.TransportBuffer.certificate
      for certificate in [none, Buffer(address: 0, count: 2084), Buffer(address: place.address, count: 0)] {
        #expect(bench.sendStart(machine, certificate: certificate) == .failed(.invalidArgument))
      }
      for session in [Buffer(address: 0, count: 128), Buffer(address: 0x60_000, count: 0x4001)] {
        #expect(bench.sendStart(machine, session: session) == .failed(.invalidArgument))
      }
    },
    KernelCase("SEND_START without the chains, even if the policy does not need them: EINVAL") {
      var bench = Bench(.mainline611)
      bench.storeOwnCertificate()
      let machine = bench.makeLaunched()
      #expect(bench.sendStart(machine, platform: none) == .failed(.invalidArgument))
      #expect(bench.sendStart(machine, amd: none) == .failed(.invalidArgument))
      #expect(bench.sendStart(machine) == .ok)
    },
    KernelCase("SEND_START of a guest that forbids it: POLICY_FAILURE") {
      var bench = Bench(.mainline611)
      bench.storeOwnCertificate()
      #expect(bench.sendStart(bench.makeLaunched(policy: .noSending)) == .refused(.policyFailure))
    },
    KernelCase("SEND_START whose session cannot be copied out: EFAULT, and the guest is being sent") {
      var bench = Bench(.mainline611)
      bench.storeOwnCertificate()
      let machine = bench.makeLaunched()
      bench.memory.readOnly = [Bench.TransportBuffer.session.address]
      #expect(bench.sendStart(machine) == Ending(error: .badAddress, firmware: .success))
      #expect(bench.state(of: machine) == .sending)
    },
    KernelCase("SEND_UPDATE_DATA with header or transport length 0: EIO with INVALID_LENGTH, 52 and 0") {
      var bench = Bench(.mainline611)
      let machine = bench.makeLaunched()
      for (header, transport) in [
        (none, none), (Bench.TransportBuffer.header, none), (none, Bench.TransportBuffer.transport),
      ] {
        #expect(
          bench.packet(.sendUpdateData, machine, header: header, transport: transport)
            == .refused(.invalidLength))
        let after = bench.parameters(as: PacketParameters.self)
        #expect(after.headerByteCount == 52)
        #expect(after.transportByteCount == 0)
      }
    },
    KernelCase("SEND_UPDATE_DATA without an address or guest length: EINVAL") {
      var bench = Bench(.mainline611)
      let machine = bench.makeLaunched()
      #expect(
        bench.packet(.sendUpdateData, machine, header: Buffer(address: 0, count: 52))
          == .failed(.invalidArgument))
      #expect(
        bench.packet(.sendUpdateData, machine, transport: Buffer(address: 0, count: 4096))
          == .failed(.invalidArgument))
      for guest in [Buffer(address: 0, count: 4096), Buffer(address: Address.guestMemory, count: 0)] {
        #expect(bench.packet(.sendUpdateData, machine, guest: guest) == .failed(.invalidArgument))
      }
    },
    KernelCase("SEND_ and RECEIVE_UPDATE_DATA of a range that crosses a page or is longer: EINVAL") {
      var bench = Bench(.mainline611)
      let (source, target) = bench.makeTransfer()
      for guest in [
        Buffer(address: Address.guestMemory + 16, count: 4096),
        Buffer(address: Address.guestMemory, count: 4112),
        Buffer(address: Address.guestMemory, count: .max),
      ] {
        #expect(bench.packet(.sendUpdateData, source, guest: guest) == .failed(.invalidArgument))
        #expect(bench.packet(.receiveUpdateData, target, guest: guest) == .failed(.invalidArgument))
      }
    },
    KernelCase("SEND_UPDATE_DATA pins the whole page: ENOMEM beyond the limit or where it cannot be") {
      var bench = Bench(.mainline611)
      let (source, _) = bench.makeTransfer()
      let guest = Buffer(address: Address.guestMemory + 32, count: 16)
      bench.memory.unpinnable = [Address.guestMemory]
      #expect(bench.packet(.sendUpdateData, source, guest: guest) == .failed(.outOfMemory))
      bench.memory.unpinnable = []
      bench.caller.lockablePages = 0
      #expect(bench.packet(.sendUpdateData, source, guest: guest) == .failed(.outOfMemory))
    },
    KernelCase("SEND_UPDATE_DATA writes no lengths back, and longer buffers are filled with zeros") {
      var bench = Bench(.mainline611)
      let (source, _) = bench.makeTransfer()
      bench.memory.store([UInt8](repeating: 0xEE, count: 100), at: Bench.TransportBuffer.header.address)
      bench.memory.store([UInt8](repeating: 0xEE, count: 100), at: Bench.TransportBuffer.transport.address)
      let before = [
        Buffer(address: Bench.TransportBuffer.header.address, count: 60),
        Buffer(address: Address.guestMemory, count: 32),
        Buffer(address: Bench.TransportBuffer.transport.address, count: 48),
      ]
      #expect(
        bench.packet(
          .sendUpdateData, source, header: before[0], guest: before[1], transport: before[2]) == .ok)
      #expect(
        bench.memory.load(9, at: Bench.TransportBuffer.header.address + 52) == [0, 0, 0, 0, 0, 0, 0, 0, 0xEE])
      let zeros = [UInt8](repeating: 0, count: 16)
      #expect(bench.memory.load(17, at: Bench.TransportBuffer.transport.address + 32) == zeros + [0xEE])
      let after = bench.parameters(as: PacketParameters.self)
      #expect(after.headerByteCount == 60)
      #expect(after.transportByteCount == 48)
    },
    KernelCase("SEND_UPDATE_DATA with too little room: INVALID_LENGTH, and no length written back") {
      var bench = Bench(.mainline611)
      let (source, _) = bench.makeTransfer()
      #expect(
        bench.packet(.sendUpdateData, source, header: Buffer(address: 0x70_000, count: 51))
          == .refused(.invalidLength))
      #expect(bench.parameters(as: PacketParameters.self).headerByteCount == 51)
      #expect(
        bench.packet(.sendUpdateData, source, transport: Buffer(address: 0x80_000, count: 4095))
          == .refused(.invalidLength))
    },
    KernelCase("SEND_UPDATE_DATA copies transport out first, then header: EFAULT for either") {
      var bench = Bench(.mainline611)
      let (source, _) = bench.makeTransfer()
      bench.memory.readOnly = [Bench.TransportBuffer.header.address]
      #expect(bench.packet(.sendUpdateData, source) == Ending(error: .badAddress, firmware: .success))
      let isEmpty = bench.memory.load(4096, at: Bench.TransportBuffer.transport.address).allSatisfy {
        $0 == 0
      }
      #expect(!isEmpty)
    },
    KernelCase("SEND_UPDATE_DATA with a buffer that the kernel cannot allocate: ENOMEM") {
      var bench = Bench(.mainline611)
      let (source, _) = bench.makeTransfer()
      #expect(
        bench.packet(.sendUpdateData, source, transport: Buffer(address: 0x80_000, count: 5 << 20))
          == .failed(.outOfMemory))
    },
    KernelCase("RECEIVE_UPDATE_DATA on a VM that is no guest: EINVAL, not ENOTTY") {
      var bench = Bench(.mainline611)
      #expect(
        bench.issue(.receiveUpdateData, bench.makeMachine(), data: 8) == .failed(.invalidArgument))
    },
    KernelCase("RECEIVE_UPDATE_DATA with any address or length 0: EINVAL") {
      var bench = Bench(.mainline611)
      let (_, target) = bench.makeTransfer()
      for bad in [Buffer(address: 0, count: 52), Buffer(address: 0x70_000, count: 0)] {
        #expect(bench.packet(.receiveUpdateData, target, header: bad) == .failed(.invalidArgument))
        #expect(bench.packet(.receiveUpdateData, target, guest: bad) == .failed(.invalidArgument))
        #expect(bench.packet(.receiveUpdateData, target, transport: bad) == .failed(.invalidArgument))
      }
    },
    KernelCase("RECEIVE_UPDATE_DATA reads header, then transport, then pins") {
      var bench = Bench(.mainline611)
      let (source, target) = bench.makeTransfer()
      #expect(bench.packet(.sendUpdateData, source) == .ok)
      let logged = bench.memory.log.count
      #expect(bench.packet(.receiveUpdateData, target) == .ok)
      #expect(
        bench.memory.log[logged...] == [
          "read", "read", "read", "read", "pin for writing", "find firmware", "write", "write",
        ])
    },
    KernelCase("RECEIVE_UPDATE_DATA of a packet that was changed: BAD_MEASUREMENT, and nothing is written") {
      var bench = Bench(.mainline611)
      let (source, target) = bench.makeTransfer()
      bench.memory.store([UInt8](repeating: 7, count: 4096), at: Address.guestMemory)
      #expect(bench.packet(.sendUpdateData, source) == .ok)
      let byte = bench.memory.load(1, at: Bench.TransportBuffer.transport.address + 9)[0]
      bench.memory.store([byte ^ 1], at: Bench.TransportBuffer.transport.address + 9)
      #expect(
        bench.packet(.receiveUpdateData, target, guest: Buffer(address: 0x900_000, count: 4096))
          == .refused(.badMeasurement))
      let isEmpty = bench.memory.load(4096, at: 0x900_000).allSatisfy { $0 == 0 }
      #expect(isEmpty)
    },
    KernelCase("RECEIVE_START with any address or length 0: EINVAL") {
      var bench = Bench(.mainline611)
      let machine = bench.makeGuest()
      for bad in [Buffer(address: 0, count: 128), Buffer(address: 0x60_000, count: 0)] {
        #expect(bench.receiveStart(machine, certificate: bad) == .failed(.invalidArgument))
        #expect(bench.receiveStart(machine, session: bad) == .failed(.invalidArgument))
      }
    },
    KernelCase("RECEIVE_START whose handle cannot be copied out: EFAULT, and no context stays") {
      var bench = Bench(.mainline611)
      bench.storeOwnCertificate()
      let source = bench.makeLaunched()
      #expect(bench.sendStart(source) == .ok)
      let target = bench.makeGuest()
      bench.memory.readOnly = [Address.parameters]
      #expect(bench.receiveStart(target).error == .badAddress)
      #expect(bench.host.guestCount == 1)
      bench.memory.readOnly = []
      #expect(bench.receiveStart(target) == .ok)
      #expect(bench.parameters(as: ReceiveStartParameters.self).handle == 2)
    },
    KernelCase("RECEIVE_START keeps the number of its own firmware device for the commands that follow") {
      var bench = Bench(.mainline611)
      bench.storeOwnCertificate()
      let source = bench.makeLaunched()
      #expect(bench.sendStart(source) == .ok)
      let target = bench.makeGuest()
      #expect(bench.receiveStart(target, firmware: 9) == .failed(.badDescriptor))
      bench.memory.firmware.insert(9)
      #expect(bench.receiveStart(target, firmware: 9) == .ok)
      bench.memory.firmware.remove(9)
      #expect(bench.issue(.receiveFinish, target) == .failed(.badDescriptor))
    },
    KernelCase("RECEIVE_START into a launched guest: EIO with ASID_OWNED, its context is not touched") {
      var bench = Bench(.mainline611)
      bench.storeOwnCertificate()
      let source = bench.makeLaunched()
      #expect(bench.sendStart(source) == .ok)
      #expect(bench.receiveStart(source) == .refused(.asidOwned))
      #expect(bench.host.guestCount == 1)
      #expect(bench.state(of: source) == .sending)
    },
    KernelCase("a session made for another platform key: BAD_MEASUREMENT") {
      var bench = Bench(.mainline611)
      bench.storeOwnCertificate()
      #expect(bench.sendStart(bench.makeLaunched()) == .ok)
      var other = Bench(.mainline611)
      other.memory = bench.memory
      #expect(other.receiveStart(other.makeGuest()) == .refused(.badMeasurement))
    },
    KernelCase("the v10 kernel has no SEND_CANCEL: EINVAL") {
      var bench = Bench(.v10SharedPages)
      let (source, _) = bench.makeTransfer()
      #expect(bench.issue(.sendCancel, source) == .failed(.invalidArgument))
    },
  ]

  @Test("row", arguments: rows)
  func row(_ row: KernelCase) throws {
    try row.run()
  }
}
