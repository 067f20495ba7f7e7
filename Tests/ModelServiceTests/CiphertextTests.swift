import Glibc
import LinuxOS
import SEVABI
import SEVDevice
import SEVModel
import Testing

extension OverTheSocket {
  @Suite("A model in ciphertext mode")
  struct CiphertextTests {
    /// Guest memory in a memfd, and what the guest is to find in it.
    private final class Memory {
      let file: OwnedDescriptor
      let mapping: SharedMapping
      let memory: GuestMemory
      static let pages = 4

      init(copying content: [UInt8]? = nil) throws {
        file = try Memfd.create(name: "guest", byteCount: UInt64(Self.pages * 4096))
        mapping = try SharedMapping(file, byteCount: Self.pages * 4096)
        memory = GuestMemory(mapping, of: try file.identity())
        if let content { mapping.write(content, at: 0) }
      }

      var address: UInt64 { UInt64(mapping.address) }
      var content: [UInt8] { mapping.read(at: 0, count: mapping.byteCount) }
    }

    private static let plaintext = (0..<(Memory.pages * 4096)).map {
      UInt8(truncatingIfNeeded: $0 &* 29 &+ 3)
    }

    /// A launched guest with the plaintext in all of its memory.
    private func launch(
      _ session: inout SEVSession, _ memory: Memory, firmware: borrowing OwnedDescriptor,
      policy: GuestPolicy = []
    ) throws -> OwnedDescriptor {
      memory.mapping.write(Self.plaintext, at: 0)
      let machine = try session.makeGuest()
      try session.register(
        EncryptedRegion(address: memory.address, size: UInt64(memory.mapping.byteCount)), on: machine)
      _ = try session.launchStart(machine, policy: policy, firmware: firmware)
      try session.launchUpdateData(
        machine, address: memory.address, byteCount: UInt32(memory.mapping.byteCount))
      _ = try session.launchMeasure(machine)
      try session.launchFinish(machine)
      return machine
    }

    private func model() throws -> RunningModel {
      try RunningModel(ModelConfiguration(ciphertext: true))
    }

    @Test("encrypts what is launched, and a vCPU of the guest reads and writes plaintext at any place")
    func guestAccess() throws {
      let model = try model()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let memory = try Memory()
      #expect(try session.isCiphertext())
      let machine = try launch(&session, memory, firmware: firmware)
      #expect(memory.content != Self.plaintext)
      let equal = zip(memory.content, Self.plaintext).count { $0 == $1 }
      #expect(equal < Self.plaintext.count / 64)
      let all = try session.readGuest(machine, memory.memory, offset: 0, byteCount: Self.plaintext.count)
      #expect(all == Self.plaintext)
      let part = try session.readGuest(machine, memory.memory, offset: 4090, byteCount: 9)
      #expect(part == Array(Self.plaintext[4090..<4099]))
      try session.writeGuest(machine, memory.memory, offset: 4093, bytes: [1, 2, 3, 4, 5])
      var expected = Self.plaintext
      expected.replaceSubrange(4093..<4098, with: [1, 2, 3, 4, 5])
      let changed = try session.readGuest(machine, memory.memory, offset: 0, byteCount: expected.count)
      #expect(changed == expected)
    }

    @Test("goes with the memory file in a handoff by token and by move")
    func handoff() throws {
      let model = try model()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let memory = try Memory()
      let source = try launch(&session, memory, firmware: firmware)
      let second = try session.makeGuest()
      let token = try session.localSend(source)
      _ = try session.localReceive(second, token: token)
      // Mapped again, as a successor does it.
      let mapping = try SharedMapping(memory.file, byteCount: memory.mapping.byteCount)
      let again = GuestMemory(mapping, of: try memory.file.identity())
      let received = try session.readGuest(second, again, offset: 0, byteCount: Self.plaintext.count)
      #expect(received == Self.plaintext)
      let third = try session.makeMachine()
      try session.move(from: second, to: third)
      let moved = try session.readGuest(third, again, offset: 0, byteCount: Self.plaintext.count)
      #expect(moved == Self.plaintext)
      let dead = failure { _ = try session.readGuest(second, again, offset: 0, byteCount: 16) }
      #expect(dead?.reason == .inputOutput)
    }

    @Test("gives garbage where memory was copied to another file, or pages were swapped")
    func copies() throws {
      let model = try model()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let memory = try Memory()
      let machine = try launch(&session, memory, firmware: firmware)
      let copy = try Memory(copying: memory.content)
      let copied = try session.readGuest(machine, copy.memory, offset: 0, byteCount: Self.plaintext.count)
      #expect(zip(copied, Self.plaintext).count { $0 == $1 } < Self.plaintext.count / 64)
      let first = Array(memory.content[..<4096])
      memory.mapping.write(Array(memory.content[4096..<8192]), at: 0)
      memory.mapping.write(first, at: 4096)
      let swapped = try session.readGuest(machine, memory.memory, offset: 0, byteCount: 8192)
      #expect(zip(swapped, Self.plaintext).count { $0 == $1 } < 8192 / 64)
      let kept = try session.readGuest(machine, memory.memory, offset: 8192, byteCount: 8192)
      #expect(kept == Array(Self.plaintext[8192...]))
    }

    @Test("shows plaintext to a debugger if the guest's policy lets it")
    func debugging() throws {
      let model = try model()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let memory = try Memory()
      let machine = try launch(&session, memory, firmware: firmware)
      let seen = try session.debugDecrypt(machine, address: memory.address + 4000, byteCount: 200)
      #expect(seen == Array(Self.plaintext[4000..<4200]))
      try session.debugEncrypt(
        machine, plaintext: [UInt8](repeating: 7, count: 32), address: memory.address + 64)
      let written = try session.readGuest(machine, memory.memory, offset: 48, byteCount: 64)
      #expect(
        written == Array(Self.plaintext[48..<64]) + [UInt8](repeating: 7, count: 32)
          + Array(Self.plaintext[96..<112]))
      let closed = try Memory()
      let secret = try launch(&session, closed, firmware: firmware, policy: .noDebugging)
      let refused = failure { _ = try session.debugDecrypt(secret, address: closed.address, byteCount: 16) }
      #expect(refused?.firmware == .policyFailure)
    }

    @Test("needs no requests for plain memory, and no model with the kernel")
    func plain() throws {
      let model = try RunningModel()
      var session = try model.openSession()
      let firmware = try session.openFirmware()
      let memory = try Memory()
      let machine = try launch(&session, memory, firmware: firmware)
      #expect(memory.content == Self.plaintext)
      try session.writeGuest(machine, memory.memory, offset: 5, bytes: [9])
      #expect(memory.content[5] == 9)
      let read = try session.readGuest(machine, memory.memory, offset: 4, byteCount: 2)
      #expect(read == [Self.plaintext[4], 9])
      var kernel = try SEVDevice.kernel.openSession()
      let refused = failure { _ = try kernel.readGuest(machine, memory.memory, offset: 0, byteCount: 1) }
      #expect(refused?.code == ENOTTY)
    }
  }
}
