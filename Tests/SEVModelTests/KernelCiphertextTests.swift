import SEVABI
import SEVModel
import Testing

/// Private memory that is really encrypted, under a key of the guest and a tweak of the page's identity.
@Suite("In ciphertext mode")
struct KernelCiphertextTests {
  private static let content = (0..<0x4000).map { UInt8(truncatingIfNeeded: $0 &* 17 &+ $0 >> 8) }

  /// Maps pages of a file at an address, from an offset on.
  private static func map(
    _ bench: inout Bench, inode: UInt64, offset: UInt64 = 0, at address: UInt64, pages: UInt64 = 4
  ) {
    for page in 0..<pages {
      bench.memory.files[address + page * 0x1000] = PageIdentity(inode: inode, offset: offset + page * 0x1000)
    }
  }

  /// A launched guest whose four pages at ``Address/guestMemory`` are pages of file 5.
  private static func launched(
    _ bench: inout Bench, policy: GuestPolicy = []
  ) -> VirtualMachineID {
    map(&bench, inode: 5, at: Address.guestMemory)
    bench.memory.store(content, at: Address.guestMemory)
    let machine = bench.makeGuest()
    precondition(bench.start(machine, policy: policy) == .ok)
    precondition(bench.update(machine, length: 0x4000) == .ok)
    precondition(bench.measure(machine) == .ok)
    precondition(bench.issue(.launchFinish, machine) == .ok)
    return machine
  }

  private static func decrypt(
    _ bench: inout Bench, _ machine: VirtualMachineID, _ source: UInt64, count: UInt32
  ) -> [UInt8]? {
    let parameters = DebugParameters(
      sourceAddress: source, destinationAddress: Address.buffer, length: count)
    guard bench.issue(.debugDecrypt, machine, parameters.bytes) == .ok else { return nil }
    return bench.memory.load(Int(count), at: Address.buffer)
  }

  /// What a software vCPU sees of one page.
  private static func see(
    _ bench: Bench, _ machine: VirtualMachineID, at address: UInt64
  ) -> [UInt8]? {
    guard let page = bench.memory.files[address] else { return nil }
    return try? bench.host.guestAccess(
      .read, on: machine, page: page, offset: 0, bytes: bench.memory.load(4096, at: address),
      caller: bench.caller)
  }

  static let rows: [KernelCase] = [
    KernelCase("LAUNCH_UPDATE_DATA leaves no block of plaintext in memory, and measures the plaintext") {
      var bench = Bench(.mainline611, ciphertext: true)
      _ = launched(&bench)
      let memory = bench.memory.load(0x4000, at: Address.guestMemory)
      let same = stride(from: 0, to: 0x4000, by: 16).count {
        memory[$0..<($0 + 16)] == content[$0..<($0 + 16)]
      }
      #expect(same == 0)
    },
    KernelCase("DBG_DECRYPT gives the plaintext back, aligned or not, over pages") {
      var bench = Bench(.mainline611, ciphertext: true)
      let machine = launched(&bench)
      for (offset, count) in [(0, 0x4000), (5, 3), (4090, 17), (16, 32), (1, 0x3FFE)] {
        let isSame =
          decrypt(&bench, machine, Address.guestMemory + UInt64(offset), count: UInt32(count))
          == Array(content[offset..<(offset + count)])
        #expect(isSame, "\(count) bytes at \(offset)")
      }
    },
    KernelCase("DBG_DECRYPT of a guest that forbids it: POLICY_FAILURE, and the buffer stays") {
      var bench = Bench(.mainline611, ciphertext: true)
      let machine = launched(&bench, policy: .noDebugging)
      let before = bench.memory.load(16, at: Address.buffer)
      #expect(bench.debug(.debugDecrypt, machine) == .refused(.policyFailure))
      #expect(bench.memory.load(16, at: Address.buffer) == before)
    },
    KernelCase("DBG_ENCRYPT changes exactly its bytes, aligned or not") {
      for (offset, count) in [(0, 16), (5, 3), (4090, 17), (16, 4096)] {
        var bench = Bench(.mainline611, ciphertext: true)
        let machine = launched(&bench)
        let new = [UInt8](repeating: 0xAA, count: count)
        bench.memory.store(new, at: 0x500_000)
        let parameters = DebugParameters(
          sourceAddress: 0x500_000, destinationAddress: Address.guestMemory + UInt64(offset),
          length: UInt32(count))
        #expect(bench.issue(.debugEncrypt, machine, parameters.bytes) == .ok)
        var expected = content
        expected.replaceSubrange(offset..<(offset + count), with: new)
        let isExpected = decrypt(&bench, machine, Address.guestMemory, count: 0x4000) == expected
        #expect(isExpected, "\(count) bytes at \(offset)")
      }
    },
    KernelCase("a vCPU sees its memory, and what it writes DBG_DECRYPT sees") {
      var bench = Bench(.mainline611, ciphertext: true)
      let machine = launched(&bench)
      let seen = see(bench, machine, at: Address.guestMemory + 0x1000)
      #expect(seen == Array(content[0x1000..<0x2000]))
      let new = [UInt8](repeating: 0x5A, count: 48)
      let written = try bench.host.guestAccess(
        .write, on: machine, page: PageIdentity(inode: 5, offset: 0x2000), offset: 32, bytes: new,
        caller: bench.caller)
      bench.memory.store(written, at: Address.guestMemory + 0x2020)
      let read = decrypt(&bench, machine, Address.guestMemory + 0x2020, count: 48)
      #expect(read == new)
    },
    KernelCase("RAM that was copied into another file is garbage, and so are two pages that were swapped") {
      var bench = Bench(.mainline611, ciphertext: true)
      let machine = launched(&bench)
      let first = bench.memory.load(4096, at: Address.guestMemory)
      let second = bench.memory.load(4096, at: Address.guestMemory + 0x1000)
      map(&bench, inode: 6, at: 0x600_000)
      bench.memory.store(first, at: 0x600_000)
      let copied = see(bench, machine, at: 0x600_000)
      #expect(copied != nil && copied != Array(content[..<4096]))
      bench.memory.store(second, at: Address.guestMemory)
      let swapped = see(bench, machine, at: Address.guestMemory)
      #expect(swapped != nil && swapped != Array(content[0x1000..<0x2000]))
    },
    KernelCase("the same file mapped elsewhere, in another VM after a move, is the same memory") {
      var bench = Bench(.mainline611, ciphertext: true)
      let machine = launched(&bench)
      let target = bench.makePlain()
      #expect(bench.move(machine, to: target) == nil)
      map(&bench, inode: 5, at: 0x700_000)
      bench.memory.store(bench.memory.load(0x4000, at: Address.guestMemory), at: 0x700_000)
      let seen = see(bench, target, at: 0x701_000)
      #expect(seen == Array(content[0x1000..<0x2000]))
      #expect(see(bench, machine, at: 0x701_000) == nil)
    },
    KernelCase("the same after a token; the source still sees it, until the key is gone") {
      var bench = Bench(.rfc, ciphertext: true)
      let source = launched(&bench)
      let target = bench.makeGuest()
      #expect(bench.receive(target, bench.send(source).token).error == nil)
      #expect(see(bench, target, at: Address.guestMemory) == Array(content[..<4096]))
      #expect(see(bench, source, at: Address.guestMemory) == Array(content[..<4096]))
      bench.host.destroy(target)
      #expect(see(bench, source, at: Address.guestMemory) == nil)
    },
    KernelCase("another guest's key gives garbage") {
      var bench = Bench(.mainline611, ciphertext: true)
      _ = launched(&bench)
      let other = bench.makeLaunched()
      let seen = see(bench, other, at: Address.guestMemory)
      #expect(seen != nil && seen != Array(content[..<4096]))
    },
    KernelCase("another process, or a range that is not of whole blocks in a page: EIO, EINVAL") {
      var bench = Bench(.mainline611, ciphertext: true)
      let machine = launched(&bench)
      let page = PageIdentity(inode: 5, offset: 0)
      for (offset, count) in [(8, 16), (0, 8), (4096, 16), (4080, 32), (-16, 16)] {
        #expect(
          kernelError { () throws(KernelError) in
            _ = try bench.host.guestAccess(
              .read, on: machine, page: page, offset: offset, bytes: [UInt8](repeating: 0, count: count),
              caller: bench.caller)
          } == .invalidArgument)
      }
      bench.caller.addressSpace = AddressSpaceID(rawValue: 2)
      #expect(
        kernelError { () throws(KernelError) in
          _ = try bench.host.guestAccess(
            .read, on: machine, page: page, offset: 0, bytes: [], caller: bench.caller)
        } == .inputOutput)
    },
    KernelCase("a page goes from guest to guest by packets, encrypted under each one's key") {
      var bench = Bench(.mainline611, ciphertext: true)
      bench.storeOwnCertificate()
      let source = launched(&bench)
      #expect(bench.sendStart(source) == .ok)
      let target = bench.makeGuest()
      #expect(bench.receiveStart(target) == .ok)
      map(&bench, inode: 9, at: 0x800_000)
      for page in 0..<UInt64(4) {
        #expect(
          bench.packet(
            .sendUpdateData, source, guest: Buffer(address: Address.guestMemory + page * 0x1000, count: 4096))
            == .ok)
        #expect(
          bench.packet(
            .receiveUpdateData, target, guest: Buffer(address: 0x800_000 + page * 0x1000, count: 4096)) == .ok
        )
      }
      let isPlain = bench.memory.load(0x4000, at: 0x800_000) == content
      #expect(!isPlain)
      let seen = (0..<UInt64(4)).flatMap { see(bench, target, at: 0x800_000 + $0 * 0x1000) ?? [] }
      #expect(seen == content)
    },
    KernelCase("memory that is not mapped where its identity is asked for: EFAULT") {
      var bench = Bench(.mainline611, ciphertext: true)
      let machine = launched(&bench)
      bench.memory.unmapped = [Address.guestMemory]
      #expect(bench.debug(.debugDecrypt, machine).error == .badAddress)
    },
    KernelCase("a command that the firmware refuses leaves memory as it is") {
      var bench = Bench(.mainline611, ciphertext: true)
      let machine = launched(&bench)
      let before = bench.memory.load(0x4000, at: Address.guestMemory)
      #expect(bench.update(machine, length: 0x4000) == .refused(.invalidGuestState))
      let isSame = bench.memory.load(0x4000, at: Address.guestMemory) == before
      #expect(isSame)
    },
    KernelCase("without the mode memory stays readable and accesses change nothing") {
      var bench = Bench(.mainline611)
      let machine = launched(&bench)
      let isPlain = bench.memory.load(0x4000, at: Address.guestMemory) == content
      #expect(isPlain)
      #expect(see(bench, machine, at: Address.guestMemory) == Array(content[..<4096]))
    },
  ]

  @Test("guest memory", arguments: rows)
  func guestMemory(row: KernelCase) throws {
    try row.run()
  }
}
