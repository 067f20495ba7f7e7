import SEVABI
import SEVModel
import Testing

/// The table of the June 2021 patches, row by row.
@Suite("Local migration")
struct LocalMigrationTests {
  @Test("SEND and RECEIVE on a plain VM are ENOTTY")
  func plain() {
    var bench = Bench()
    let machine = bench.makeMachine()
    #expect(bench.send(machine).ending == .failed(.notSupported))
    #expect(bench.receive(machine, 1) == .failed(.notSupported))
  }

  @Test("SEND and RECEIVE on a VM with encrypted state are EPERM where the third patch is missing")
  func encryptedState() {
    var bench = Bench(
      ModelConfiguration(encryptedStateASIDCount: 2, localMigrationWithoutEncryptedState: true))
    let machine = bench.makeMachine()
    #expect(bench.issue(.esInitialize, machine).error == nil)
    // Also with parameters that cannot be read.
    #expect(bench.issue(.localSend, machine, data: 0) == .failed(.notPermitted))
    #expect(bench.issue(.localReceive, machine, data: 0) == .failed(.notPermitted))
  }

  @Test("SEND on an initialised VM that was never launched succeeds, and its receiver can launch")
  func sendBeforeLaunch() {
    var bench = Bench()
    let (ending, token) = bench.send(bench.makeGuest())
    #expect(ending == Ending(error: nil, firmware: .neverCalled))
    #expect(token != 0)
    let target = bench.makeGuest()
    #expect(bench.receive(target, token).error == nil)
    #expect(bench.start(target) == .ok)
  }

  @Test("a second SEND is EPERM")
  func sendTwice() {
    var bench = Bench()
    let machine = bench.makeLaunched()
    #expect(bench.send(machine).ending.error == nil)
    #expect(bench.send(machine).ending == .failed(.notPermitted))
  }

  @Test("after SEND every id but the two debugging ones is EPERM without write-back", arguments: 0..<26)
  func gate(id: Int) {
    var bench = Bench()
    let machine = bench.makeLaunched()
    #expect(bench.send(machine).ending.error == nil)
    bench.memory.readOnly = [Address.block]
    guard SEVCommandID(rawValue: UInt32(id)) != .debugDecrypt,
      SEVCommandID(rawValue: UInt32(id)) != .debugEncrypt
    else { return }
    #expect(bench.issue(rawID: UInt32(id), machine) == .failed(.notPermitted))
  }

  @Test("a NULL argument on a sent source is 0")
  func nullAfterSend() {
    var bench = Bench()
    let machine = bench.makeLaunched()
    _ = bench.send(machine)
    #expect(
      bench.host.run(
        bench.host.memoryEncryptOperation(on: machine, argument: 0, caller: bench.caller), in: &bench.memory)
        == nil)
  }

  @Test("DBG_DECRYPT and DBG_ENCRYPT still work on a sent source, before and after the receive")
  func debugAfterSend() {
    var bench = Bench()
    let machine = bench.makeLaunched()
    let token = bench.send(machine).token
    #expect(bench.debug(.debugDecrypt, machine) == .ok)
    #expect(bench.debug(.debugEncrypt, machine) == .ok)
    let target = bench.makeGuest()
    #expect(bench.receive(target, token).error == nil)
    #expect(bench.debug(.debugDecrypt, machine) == .ok)
    // Until the key is gone with the target.
    bench.host.destroy(target)
    #expect(bench.debug(.debugDecrypt, machine) == .refused(.invalidPlatformState))
  }

  @Test(
    "SEND with an unreadable or read-only data pointer is EFAULT and changes nothing",
    arguments: [true, false])
  func sendWithBadData(unreadable: Bool) {
    var bench = Bench()
    let machine = bench.makeLaunched()
    #expect(bench.register(machine) == nil)
    if unreadable {
      bench.memory.faults = [Address.parameters]
    } else {
      bench.memory.readOnly = [Address.parameters]
    }
    #expect(bench.send(machine).ending == .failed(.badAddress))
    bench.memory.faults = []
    bench.memory.readOnly = []
    #expect(bench.status(machine).ending == .ok)
    #expect(bench.unregister(machine) == nil)
    #expect(bench.send(machine).ending.error == nil)
  }

  @Test(
    "a SEND whose block cannot be written back is EFAULT, but done: the token is in memory and can be received"
  )
  func sendWithoutWriteBack() {
    var bench = Bench()
    let machine = bench.makeLaunched()
    bench.memory.readOnly = [Address.block]
    let (ending, token) = bench.send(machine)
    #expect(ending.error == .badAddress)
    bench.memory.readOnly = []
    #expect(bench.status(machine).ending == .failed(.notPermitted))
    #expect(bench.receive(bench.makeGuest(), token).error == nil)
  }

  @Test("RECEIVE of an unknown token, of 0, of a used one and of a destroyed source's is EFAULT")
  func unusableTokens() {
    var bench = Bench()
    let target = bench.makeGuest()
    #expect(bench.receive(target, 0) == .failed(.badAddress))
    #expect(bench.receive(target, 0xDEAD) == .failed(.badAddress))
    let used = bench.send(bench.makeLaunched()).token
    #expect(bench.receive(bench.makeGuest(), used).error == nil)
    #expect(bench.receive(target, used) == .failed(.badAddress))
    let orphan = bench.makeLaunched()
    let orphaned = bench.send(orphan).token
    bench.host.destroy(orphan)
    #expect(bench.receive(target, orphaned) == .failed(.badAddress))
    // The target is as it was.
    #expect(bench.start(target) == .ok)
  }

  @Test("RECEIVE into a launched VM or into one with a region is EPERM, before the data is read")
  func unusableTargets() {
    var bench = Bench()
    let token = bench.send(bench.makeLaunched()).token
    #expect(bench.issue(.localReceive, bench.makeLaunched(), data: 0) == .failed(.notPermitted))
    let pinned = bench.makeGuest()
    #expect(bench.register(pinned) == nil)
    #expect(bench.issue(.localReceive, pinned, data: 0) == .failed(.notPermitted))
    #expect(bench.unregister(pinned) == nil)
    #expect(bench.receive(pinned, token).error == nil)
    // One that received already has a handle.
    let another = bench.send(bench.makeLaunched()).token
    #expect(bench.receive(pinned, another) == .failed(.notPermitted))
  }

  @Test("RECEIVE with a read-only data page is EFAULT, then another VM receives the same token")
  func receiveIntoReadOnlyPage() {
    var bench = Bench(ModelConfiguration(asidCount: 3))
    let source = bench.makeLaunched()
    #expect(bench.register(source) == nil)
    let token = bench.send(source).token
    let unlucky = bench.makeGuest()
    bench.memory.readOnly = [Address.parameters]
    #expect(bench.receive(unlucky, token) == .failed(.badAddress))
    bench.memory.readOnly = []
    // The unlucky one has its own ASID back and no region, and can be launched.
    #expect(bench.unregister(unlucky) == .invalidArgument)
    #expect(bench.start(unlucky) == .ok)
    let target = bench.makeGuest()
    #expect(bench.receive(target, token).error == nil)
    #expect(bench.unregister(target) == nil)
  }

  @Test("a RECEIVE whose block cannot be written back is EFAULT, but done")
  func receiveWithoutWriteBack() {
    var bench = Bench()
    let token = bench.send(bench.makeLaunched()).token
    let target = bench.makeGuest()
    bench.memory.readOnly = [Address.block]
    #expect(bench.receive(target, token).error == .badAddress)
    bench.memory.readOnly = []
    bench.memory.firmware = [0]
    #expect(bench.status(target).status.state == GuestState.running.rawValue)
    #expect(bench.receive(bench.makeGuest(), token) == .failed(.badAddress))
  }

  @Test("RECEIVE returns token and handle, and the padding as zero")
  func receiveAnswer() {
    var bench = Bench()
    _ = bench.makeLaunched()
    let source = bench.makeLaunched()
    let handle = bench.status(source).status.handle
    #expect(handle == 2)
    let token = bench.send(source).token
    var bytes = Bench.receiveBytes(token)
    bytes[12] = 0xEE
    #expect(bench.issue(.localReceive, bench.makeGuest(), bytes).error == nil)
    var expected = Bench.receiveBytes(token)
    expected[8] = UInt8(handle)
    #expect(bench.memory.load(16, at: Address.parameters) == expected)
  }

  @Test("LAUNCH_START on a receiver is EIO with ASID_OWNED, and the new context is decommissioned")
  func launchAfterReceive() {
    var bench = Bench()
    let token = bench.send(bench.makeLaunched()).token
    let target = bench.makeGuest()
    #expect(bench.receive(target, token).error == nil)
    #expect(bench.host.guestCount == 1)
    #expect(bench.start(target) == .refused(.asidOwned))
    #expect(bench.host.guestCount == 1)
  }

  @Test("GUEST_STATUS on a receiver needs the firmware device at number 0, else it is EBADF")
  func statusAfterReceive() {
    var bench = Bench()
    let source = bench.makeLaunched(policy: .noKeySharing)
    let token = bench.send(source).token
    let target = bench.makeGuest()
    #expect(bench.receive(target, token).error == nil)
    #expect(bench.status(target).ending == .failed(.badDescriptor))
    bench.memory.firmware.insert(0)
    let (ending, status) = bench.status(target)
    #expect(ending == .ok)
    #expect(status == GuestStatusParameters(handle: 1, policy: 2, state: GuestState.running.rawValue))
  }

  @Test("an old region is EINVAL to unregister on the source and 0 on the target, at the source's address")
  func regionsMove() {
    var bench = Bench()
    let source = bench.makeLaunched()
    #expect(bench.register(source) == nil)
    let token = bench.send(source).token
    #expect(bench.unregister(source) == .invalidArgument)
    let target = bench.makeGuest()
    #expect(bench.receive(target, token).error == nil)
    #expect(bench.unregister(target) == nil)
    #expect(bench.unregister(target) == .invalidArgument)
  }

  @Test("a region can be registered on a sent source, which does not reach the target")
  func registerAfterSend() {
    var bench = Bench()
    let source = bench.makeLaunched()
    let token = bench.send(source).token
    #expect(bench.register(source) == nil)
    let target = bench.makeGuest()
    #expect(bench.receive(target, token).error == nil)
    #expect(bench.unregister(target) == .invalidArgument)
    #expect(bench.unregister(source) == nil)
  }

  @Test("a sent VM cannot receive its own token, nor can an unsent one receive into itself")
  func selfReceive() {
    var bench = Bench()
    let source = bench.makeLaunched()
    let other = bench.send(bench.makeLaunched()).token
    #expect(bench.receive(source, other) == .failed(.notPermitted))
    let token = bench.send(source).token
    #expect(bench.receive(source, token) == .failed(.notPermitted))
    // A fresh VM of the same process can: this is how a source takes its guest back.
    #expect(bench.receive(bench.makeGuest(), token).error == nil)
  }

  @Test("of two receives of one token the first wins and the other is EFAULT")
  func twoReceives() {
    var bench = Bench()
    let token = bench.send(bench.makeLaunched()).token
    let first = bench.makeGuest()
    let second = bench.makeGuest()
    #expect(bench.receive(first, token).error == nil)
    #expect(bench.receive(second, token) == .failed(.badAddress))
  }

  @Test(
    "a guest goes on through a chain of VMs, each with a token of its own, whatever becomes of those before")
  func chain() {
    var bench = Bench(ModelConfiguration(asidCount: 3))
    bench.memory.firmware = [0, Address.firmware]
    var owner = bench.makeLaunched()
    #expect(bench.register(owner) == nil)
    var tokens: Set<UInt64> = []
    for hop in 0..<10 {
      let next = bench.makeGuest()
      let (ending, token) = bench.send(owner)
      #expect(ending.error == nil)
      #expect(tokens.insert(token).inserted)
      #expect(bench.receive(next, token).error == nil)
      #expect(bench.status(next).status.state == GuestState.running.rawValue)
      // Half of the sources live a little longer than their receivers' first command.
      if hop % 2 == 0 { bench.host.destroy(owner) }
      #expect(bench.debug(.debugDecrypt, next) == .ok)
      if hop % 2 == 1 { bench.host.destroy(owner) }
      owner = next
      #expect(bench.host.guestCount == 1)
    }
    #expect(bench.unregister(owner) == nil)
    bench.host.destroy(owner)
    #expect(bench.host.guestCount == 0)
    #expect(bench.host.freeASIDCount == 3)
    #expect(bench.host.machineCount == 0)
  }

  @Test("with every ASID in use no target can be initialised, so that no handoff is possible")
  func noASIDForTheTarget() {
    var bench = Bench(ModelConfiguration(asidCount: 1))
    let source = bench.makeLaunched()
    #expect(bench.issue(.initialize, bench.makeMachine()) == .failed(.busy))
    #expect(bench.status(source).ending == .ok)
  }

  @Test("a receive frees the target's own ASID")
  func targetsASID() {
    var bench = Bench(ModelConfiguration(asidCount: 2))
    let source = bench.makeLaunched()
    let target = bench.makeGuest()
    #expect(bench.host.freeASIDCount == 0)
    #expect(bench.receive(target, bench.send(source).token).error == nil)
    #expect(bench.host.freeASIDCount == 1)
    bench.host.destroy(source)
    #expect(bench.host.freeASIDCount == 1)
    bench.host.destroy(target)
    #expect(bench.host.freeASIDCount == 2)
  }
}

@Suite("A token of LOCAL_SEND")
struct TokenTests {
  @Test("is drawn again when it is in use, at most three times")
  func collisions() {
    // Handles' keys and nonces draw words too, so the guests are only initialised.
    var bench = Bench(random: [5, 5, 5, 6])
    let first = bench.makeGuest()
    #expect(bench.send(first).token == 5)
    let second = bench.makeGuest()
    #expect(bench.send(second).token == 6)
  }

  @Test("that collides three times makes the send fail with EFAULT and leaves the VM unchanged")
  func threeCollisions() {
    var bench = Bench(random: [5, 5, 5, 5, 7])
    _ = bench.send(bench.makeGuest())
    let machine = bench.makeGuest()
    #expect(bench.register(machine) == nil)
    #expect(bench.send(machine).ending == .failed(.badAddress))
    #expect(bench.unregister(machine) == nil)
    #expect(bench.send(machine).token == 7)
  }

  @Test("is never 0: a zero is drawn again and is no collision")
  func zeroIsRedrawn() {
    var bench = Bench(random: [0, 0, 0, 0, 9])
    #expect(bench.send(bench.makeGuest()).token == 9)
  }

  @Test("that was used is not given out again until its source is destroyed")
  func usedTokenStaysKnown() {
    var bench = Bench(random: [5, 5, 6, 5])
    let source = bench.makeGuest()
    let target = bench.makeGuest()
    #expect(bench.receive(target, bench.send(source).token).error == nil)
    // The entry outlives also the receiver.
    bench.host.destroy(target)
    #expect(bench.send(bench.makeGuest()).token == 6)
    bench.host.destroy(source)
    #expect(bench.send(bench.makeGuest()).token == 5)
  }

  @Test("is not in the descriptions of what the model shows of it")
  func notPrinted() {
    var bench = Bench(random: [0x1122_3344_5566_7788])
    let machine = bench.makeGuest()
    bench.memory.store(SEVCommandBlock(id: 22, data: Address.parameters).bytes, at: Address.block)
    var step = bench.host.memoryEncryptOperation(on: machine, argument: Address.block, caller: bench.caller)
    while true {
      switch step {
      case .finished(_, let undo):
        let shown = "\(String(describing: undo)) \(String(reflecting: undo))"
        #expect(shown.contains("localSend"))
        #expect(!shown.contains("\(0x1122_3344_5566_7788 as UInt64)"))
        return
      case .read(let address, let count, let then):
        step = then(&bench.host, bench.memory.read(address: address, count: count))
      case .write(_, _, let then): step = then(&bench.host, true)
      case .resume, .pin, .findFirmware, .findMachine, .lock, .identifyPages:
        Issue.record("LOCAL_SEND asks for nothing else")
        return
      }
    }
  }
}
