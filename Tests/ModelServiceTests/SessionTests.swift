import Glibc
import LinuxOS
import SEVABI
import SEVDevice
import SEVModel
import Testing

extension OverTheSocket {
  @Suite("A session with the model")
  struct SessionTests {
    @Test("launches a guest, reads its memory through the firmware and hands it to another VM")
    func handoff() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeMachine()
      let support = try session.probe(source)
      #expect(support == .localMigration)
      try session.initialize(source)
      let handle = try session.launchStart(source, policy: .noSending, firmware: firmware)
      #expect(handle == 1)

      let memory = Pages(40)
      let content = (0..<memory.byteCount).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) }
      memory.store(content, at: 0)
      let region = EncryptedRegion(address: memory.address, size: UInt64(memory.byteCount))
      try session.register(region, on: source)
      try session.launchUpdateData(source, address: memory.address, byteCount: UInt32(memory.byteCount))
      let measurement = try session.launchMeasure(source)
      #expect(measurement.count == 48)
      #expect(measurement != [UInt8](repeating: 0, count: 48))
      try session.launchFinish(source)
      let status = try session.guestStatus(source)
      #expect(status == GuestStatusParameters(handle: 1, policy: 8, state: GuestState.running.rawValue))
      let decrypted = try session.debugDecrypt(source, address: memory.address + 4000, byteCount: 5000)
      let isContent = decrypted == Array(content[4000..<9000])
      #expect(isContent)

      let target = try session.makeGuest()
      let token = try session.localSend(source)
      let received = try session.localReceive(target, token: token)
      #expect(received == handle)
      let again = failure { _ = try session.localSend(source) }
      #expect(again?.reason == .notPermitted)
      let old = failure { try session.unregister(region, on: source) }
      #expect(old?.reason == .invalidArgument)
      try session.unregister(region, on: target)
      let used = failure { _ = try session.localReceive(try session.makeGuest(), token: token) }
      #expect(used?.attempt == .command(.localReceive))
      #expect(used?.reason == .badAddress)
    }

    @Test("tells a firmware's refusal from KVM's own EIO")
    func errors() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let machine = try session.makeLaunched(firmware)
      let refused = failure { try session.launchFinish(machine) }
      #expect(refused?.reason == .inputOutput)
      #expect(refused?.firmware == .invalidGuestState)
      #expect(refused?.description.contains("INVALID_GUEST_STATE") == true)
      let plain = failure { try session.launchFinish(try session.makeMachine()) }
      #expect(plain?.reason == .notSupported)
      #expect(plain?.firmwareStatus == nil)
    }

    @Test("says that nobody listens")
    func nobodyListens() {
      let error = failure { _ = try SEVDevice.model(socketPath: "/tmp/no-such-model.socket").openSession() }
      #expect(error?.attempt == .connect(path: "/tmp/no-such-model.socket"))
      #expect(error?.code == ENOENT)
    }

    @Test("says that the outcome is unknown when the model dies, or that nothing was sent to a dead one")
    func modelDies() throws {
      var model: RunningModel? = try RunningModel()
      guard var session = try model?.openSession() else { return }
      let machine = try session.makeGuest()
      model = nil
      let error = failure { _ = try session.localSend(machine) }
      #expect(error != nil)
      #expect(error?.reason == nil)
    }

    @Test("needs the firmware descriptor at the number that the VM keeps")
    func firmwareDescriptor() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      // Far from the numbers that the server's thread of this process gets.
      let number: Int32 = 200
      try session.openFirmware(at: number)
      let firmware = OwnedDescriptor(adopting: number)
      let machine = try session.makeGuest()
      // Some other descriptor is no firmware, nor is a number that is not open.
      let wrong = failure { _ = try session.launchStart(machine, policy: [], firmware: machine) }
      #expect(wrong?.reason == .badDescriptor)
      _ = try session.launchStart(machine, policy: [], firmware: firmware)
      #expect(close(firmware.release()) == 0)
      let closed = failure { _ = try session.guestStatus(machine) }
      #expect(closed?.reason == .badDescriptor)
      try session.openFirmware(at: number)
      let status = try session.guestStatus(machine)
      #expect(status.handle == 1)
      #expect(close(number) == 0)
    }

    @Test("refuses a descriptor that is no VM with ENOTTY, as an ioctl that the file does not know")
    func noMachine() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let pair = try SeqpacketSocket.pair()
      let socket = failure { try session.initialize(pair.first.descriptor) }
      #expect(socket?.reason == .notSupported)
      let device = failure { try session.initialize(firmware) }
      #expect(device?.reason == .notSupported)
    }

    @Test("has no more VMs than the server allows, and room again when one is closed")
    func quota() throws {
      let model = try RunningModel(maximumDescriptors: 2)
      var session = try model.openSession()
      let first = try session.makeMachine()
      let second = try session.makeMachine()
      let third = failure { _ = try session.makeMachine() }
      #expect(third?.code == ENFILE)
      #expect(close(second.release()) == 0)
      _ = try session.makeMachine()
      try session.initialize(first)
    }

    @Test("serves threads that each have a session of their own, on VMs of each other")
    func threads() throws {
      let model = try RunningModel()
      let path = model.path
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      final class Shared: Sendable {
        let machine: OwnedDescriptor
        init(_ machine: consuming OwnedDescriptor) { self.machine = machine }
      }
      let shared = Shared(try session.makeLaunched(firmware))
      let number = firmware.number
      let threads = try (0..<4).map { index in
        try OSThread(name: "caller \(index)") {
          do {
            var own = try SEVDevice.model(socketPath: path).openSession()
            for _ in 0..<200 {
              let status = try own.guestStatus(shared.machine)
              precondition(status.state == GuestState.running.rawValue)
            }
          } catch {
            fatalError("a thread's session failed: \(error)")
          }
        }
      }
      for thread in threads { thread.join() }
      #expect(number == firmware.number)
    }
  }
}

extension OverTheSocket {
  @Suite("Arguments anywhere in memory")
  struct ArgumentMemoryTests {
    private func block(_ id: SEVCommandID, data: UInt64) -> [UInt8] {
      SEVCommandBlock(
        id: id.rawValue, data: data, error: FirmwareStatus.neverCalled.rawValue, firmwareDescriptor: 0
      ).bytes
    }

    @Test("NULL is 0, an unmapped or half mapped block is EFAULT")
    func blocks() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let machine = try session.makeMachine()
      let pages = Pages(2)
      pages.store(block(.initialize, data: 0), at: 4096 - 23)
      pages.unmap(page: 1)
      #expect(try session.memoryEncryptOperation(on: machine, argument: 0) == 0)
      #expect(try session.memoryEncryptOperation(on: machine, argument: 8) == EFAULT)
      #expect(try session.memoryEncryptOperation(on: machine, argument: .max - 3) == EFAULT)
      #expect(try session.memoryEncryptOperation(on: machine, argument: pages.address + 4096 - 23) == EFAULT)
      pages.store(block(.initialize, data: 0), at: 4096 - 24)
      #expect(try session.memoryEncryptOperation(on: machine, argument: pages.address + 4096 - 24) == 0)
    }

    @Test("a read-only block makes the command done and its answer EFAULT")
    func readOnlyBlock() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let machine = try session.makeMachine()
      let pages = Pages(1)
      pages.store(block(.initialize, data: 0), at: 0)
      pages.protect(PROT_READ)
      #expect(try session.memoryEncryptOperation(on: machine, argument: pages.address) == EFAULT)
      let again = failure { try session.initialize(machine) }
      #expect(again?.reason == .busy)
    }

    @Test("a read-only place for the token makes LOCAL_SEND fail and leaves the source its guest")
    func sendIntoReadOnlyPage() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeLaunched(firmware)
      let pages = Pages(2)
      pages.store(block(.localSend, data: pages.address + 4096), at: 0)
      pages.protect(PROT_READ, page: 1)
      #expect(try session.memoryEncryptOperation(on: source, argument: pages.address) == EFAULT)
      let status = try session.guestStatus(source)
      #expect(status.state == GuestState.running.rawValue)
    }

    @Test(
      "a read-only or unmapped place for the handle makes LOCAL_RECEIVE fail and leaves the token good",
      arguments: [true, false])
    func receiveIntoReadOnlyPage(isMapped: Bool) throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let source = try session.makeLaunched(firmware)
      let pages = Pages(2)
      pages.store(block(.localSend, data: pages.address + 4096), at: 0)
      #expect(try session.memoryEncryptOperation(on: source, argument: pages.address) == 0)
      var token = pages.load(8, at: 4096)
      #expect(token != [UInt8](repeating: 0, count: 8))
      pages.store([UInt8](repeating: 0, count: 16), at: 4096 + 8)
      pages.store(block(.localReceive, data: pages.address + 4096), at: 0)
      let target = try session.makeGuest()
      if isMapped { pages.protect(PROT_READ, page: 1) } else { pages.unmap(page: 1) }
      #expect(try session.memoryEncryptOperation(on: target, argument: pages.address) == EFAULT)
      guard let baton = InfoToken(takingFrom: &token, at: 0) else { return }
      let handle = try session.localReceive(try session.makeGuest(), token: baton)
      #expect(handle == 1)
    }

    @Test("raw and typed calls write the same bytes")
    func rawCall() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let machine = try session.makeLaunched(firmware)
      let pages = Pages(1)
      pages.store(block(.guestStatus, data: pages.address + 100), at: 8)
      pages.store([UInt8](repeating: 0xEE, count: 20), at: 96)
      #expect(try session.memoryEncryptOperation(on: machine, argument: pages.address + 8) == 0)
      let status = try session.guestStatus(machine)
      #expect(pages.load(20, at: 96) == [0xEE, 0xEE, 0xEE, 0xEE] + status.bytes + [0xEE, 0xEE, 0xEE, 0xEE])
      #expect(SEVCommandBlock(bytes: pages.load(24, at: 8))?.error == 0)
    }

    @Test("memory that cannot be pinned writable is ENOMEM, and one page of it is enough")
    func pinning() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let machine = try session.makeGuest()
      let pages = Pages(3)
      let region = EncryptedRegion(address: pages.address, size: UInt64(pages.byteCount))
      pages.protect(PROT_READ, page: 2)
      let readOnly = failure { try session.register(region, on: machine) }
      #expect(readOnly?.reason == .outOfMemory)
      pages.protect(PROT_READ | PROT_WRITE, page: 2)
      pages.store([42], at: 5000)
      try session.register(region, on: machine)
      // Pinning changes nothing in the pages.
      #expect(pages.load(1, at: 5000) == [42])
      pages.unmap(page: 1)
      let hole = failure { try session.register(region, on: machine) }
      #expect(hole?.reason == .outOfMemory)
    }
  }
}
