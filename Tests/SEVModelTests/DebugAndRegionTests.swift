import SEVABI
import SEVModel
import Testing

@Suite("DBG_DECRYPT and DBG_ENCRYPT")
struct DebugTests {
  @Test(
    "copy guest memory, across pages and unaligned", arguments: [SEVCommandID.debugDecrypt, .debugEncrypt])
  func copies(id: SEVCommandID) {
    var bench = Bench()
    let machine = bench.makeLaunched()
    let content = (0..<9000).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ 1) }
    bench.memory.store(content, at: Address.guestMemory + 5)
    let ending = bench.issue(
      id, machine,
      DebugParameters(
        sourceAddress: Address.guestMemory + 5, destinationAddress: Address.buffer + 0x1003, length: 9000
      ).bytes)
    #expect(ending == .ok)
    let isCopied = bench.memory.load(9002, at: Address.buffer + 0x1002) == [0] + content + [0]
    #expect(isCopied)
  }

  @Test("refuse an empty or wrapping range and a destination of 0 with EINVAL")
  func ranges() {
    var bench = Bench()
    let machine = bench.makeLaunched()
    func debug(_ source: UInt64, _ destination: UInt64, _ length: UInt32) -> Ending {
      bench.issue(
        .debugDecrypt, machine,
        DebugParameters(sourceAddress: source, destinationAddress: destination, length: length).bytes)
    }
    #expect(debug(Address.guestMemory, Address.buffer, 0) == .failed(.invalidArgument))
    #expect(debug(.max - 7, Address.buffer, 16) == .failed(.invalidArgument))
    #expect(debug(Address.guestMemory, 0, 16) == .failed(.invalidArgument))
  }

  @Test("are ENOMEM where source or destination cannot be pinned")
  func unpinnable() {
    for address in [Address.guestMemory, Address.buffer] {
      var bench = Bench()
      let machine = bench.makeLaunched()
      bench.memory.unpinnable = [address]
      #expect(bench.debug(.debugDecrypt, machine) == .failed(.outOfMemory))
    }
  }

  @Test("are POLICY_FAILURE for a guest that forbids debugging")
  func policy() {
    var bench = Bench()
    let machine = bench.makeLaunched(policy: .noDebugging)
    #expect(bench.debug(.debugDecrypt, machine) == .refused(.policyFailure))
    #expect(bench.debug(.debugEncrypt, machine) == .refused(.policyFailure))
  }
}

@Suite("A registered region")
struct RegionTests {
  @Test("needs a SEV guest; its argument is read before that is looked at")
  func plain() {
    var bench = Bench()
    let machine = bench.makeMachine()
    #expect(bench.register(machine) == .notSupported)
    #expect(bench.unregister(machine) == .notSupported)
    bench.memory.faults = [Address.block]
    #expect(bench.register(machine) == .badAddress)
    #expect(bench.unregister(machine) == .badAddress)
  }

  @Test(
    "is EINVAL when it is empty or wraps, before the limit; ENOMEM beyond it, before EINVAL for too many pages"
  )
  func order() {
    var bench = Bench()
    let machine = bench.makeGuest()
    bench.caller.lockablePages = 0
    #expect(bench.register(machine, size: 0) == .invalidArgument)
    #expect(bench.register(machine, address: .max - 1, size: 4) == .invalidArgument)
    #expect(bench.register(machine, size: 1) == .outOfMemory)
    #expect(bench.register(machine, address: 0x1000, size: UInt64(1) << 44) == .outOfMemory)
    bench.caller.lockablePages = nil
    #expect(bench.register(machine, address: 0x1000, size: UInt64(1) << 44) == .invalidArgument)
    bench.memory.unpinnable = [Address.guestMemory]
    #expect(bench.register(machine) == .outOfMemory)
  }

  @Test("counts whole pages against the caller's limit, each time it is registered")
  func accounting() {
    var bench = Bench()
    let machine = bench.makeGuest()
    bench.caller.lockablePages = 3
    // Two bytes on two pages.
    #expect(bench.register(machine, address: 0x1FFF, size: 2) == nil)
    #expect(bench.register(machine, address: 0x1FFF, size: 2) == .outOfMemory)
    #expect(bench.register(machine, address: 0x1000, size: 0x1000) == nil)
    #expect(bench.register(machine, address: 0x9000, size: 1) == .outOfMemory)
    #expect(bench.unregister(machine, address: 0x1FFF, size: 2) == nil)
    #expect(bench.register(machine, address: 0x1000, size: 0x1000) == nil)
    // A limit that sank below what is pinned already refuses, CAP_IPC_LOCK never does.
    bench.caller.lockablePages = 1
    #expect(bench.register(machine, address: 0x9000, size: 1) == .outOfMemory)
    bench.caller.lockablePages = nil
    #expect(bench.register(machine, address: 0x9000, size: 1) == nil)
  }

  @Test("moves its count with the guest, so that the receiver's limit is met by it")
  func countMoves() {
    var bench = Bench()
    let source = bench.makeGuest()
    #expect(bench.register(source, address: 0x1000, size: 0x5000) == nil)
    let target = bench.makeGuest()
    bench.caller.lockablePages = 5
    #expect(bench.receive(target, bench.send(source).token).error == nil)
    #expect(bench.register(target, address: 0x9000, size: 1) == .outOfMemory)
    bench.caller.lockablePages = 6
    #expect(bench.register(target, address: 0x9000, size: 1) == nil)
  }

  @Test("is unregistered only by exactly its address and size, one at a time")
  func unregister() {
    var bench = Bench()
    let machine = bench.makeGuest()
    #expect(bench.register(machine) == nil)
    #expect(bench.register(machine) == nil)
    #expect(bench.unregister(machine, size: 0x2000) == .invalidArgument)
    #expect(bench.unregister(machine, address: Address.guestMemory + 1) == .invalidArgument)
    #expect(bench.unregister(machine) == nil)
    #expect(bench.unregister(machine) == nil)
    #expect(bench.unregister(machine) == .invalidArgument)
  }
}
