import BatonCore
import BatonWire
import LinuxOS
import Testing

@Suite("A registry that was ended")
struct RestartTests {
  @Test("by SIGKILL knows from its journal who owns a guest")
  func killed() throws {
    let registry = try RunningRegistry()
    let owner = try ScriptedVMM(registry)
    try owner.own("vm1")
    try registry.waitUntilSettled()
    try registry.killAndRestart()
    #expect(try owner.receive() == nil)
    let back = try ScriptedVMM(registry)
    try back.send(ScriptedVMM.hello("vm1", .running(1)))
    guard case .welcome(let welcome) = try back.receive() else { throw TestFailure("no welcome") }
    #expect(welcome.role == .owner)
    // A stale epoch is answered with the verdict of the present one.
    let stale = try ScriptedVMM(registry)
    try stale.send(ScriptedVMM.hello("vm1", .running(7)))
    guard case .welcome = try stale.receive() else { throw TestFailure("no welcome") }
    #expect(try stale.receive() == .run(epoch: 1))
  }

  @Test("knows that an owner died meanwhile, and the guest's name is free again")
  func ownerDied() throws {
    let registry = try RunningRegistry()
    try ScriptedVMM(registry).own("vm1")
    try registry.waitUntilSettled()
    try registry.signal(9)
    try registry.waitForEnd()
    // An owner whose number is taken by a process of another start time is as dead as one that is gone.
    var contents = try Journal.replay(try readJournal(registry))
    contents.records[0].owner = ProcessID(pid: ThisProcess.pid, startTime: 1)
    try writeJournal(registry, Journal.image(contents.records))
    try registry.restart()
    let next = try ScriptedVMM(registry)
    try next.send(ScriptedVMM.hello("vm1"))
    guard case .welcome(let welcome) = try next.receive() else { throw TestFailure("no welcome") }
    #expect(welcome.role == .owner)
    #expect(try next.receive() == .run(epoch: 2))
  }

  @Test("does not start on a journal with a flipped byte, and starts once it is moved away")
  func corruptJournal() throws {
    let registry = try RunningRegistry()
    try ScriptedVMM(registry).own("vm1")
    try registry.signal(15)
    try registry.waitForEnd()
    var bytes = try readJournal(registry)
    bytes[Journal.headerByteCount + 9] ^= 0x10
    try writeJournal(registry, bytes)
    try registry.restart()
    #expect(try registry.waitForEnd() == .exited(status: 3))
    #expect(try readJournal(registry) == bytes, "a damaged journal is left as it was found")
    try Files.remove(registry.journal)
    try registry.restart()
    let back = try ScriptedVMM(registry)
    try back.send(ScriptedVMM.hello("vm1", .running(1)))
    guard case .welcome(let welcome) = try back.receive() else { throw TestFailure("no welcome") }
    #expect(welcome.role == .owner)
  }

  @Test("and whose journal was deleted hears an owner before it lets anybody begin")
  func deletedJournal() throws {
    let registry = try RunningRegistry(["--settle-ms", "500"])
    try ScriptedVMM(registry).own("vm1")
    try registry.waitUntilSettled()
    try registry.signal(9)
    try registry.waitForEnd()
    try Files.remove(registry.journal)
    try registry.restart()
    // What arrives first is held, because the owner may still come: it is the same process, and once it has
    // said that it runs the guest in epoch 5 no other life of the guest begins.
    let early = try ScriptedVMM(registry)
    try early.send(ScriptedVMM.hello("vm2"))
    let owner = try ScriptedVMM(registry)
    try owner.send(ScriptedVMM.hello("vm1", .running(5)))
    guard case .welcome(let welcome) = try owner.receive() else { throw TestFailure("no welcome") }
    #expect(welcome.role == .owner)
    guard case .welcome = try early.receive() else { throw TestFailure("no welcome") }
    #expect(try early.receive() == .run(epoch: 1))
    let again = try ScriptedVMM(registry)
    try again.send(ScriptedVMM.hello("vm1", .running(1)))
    guard case .welcome = try again.receive() else { throw TestFailure("no welcome") }
    #expect(try again.receive() == .run(epoch: 5))
  }

  @Test("before it had settled settles again")
  func killedWhileSettling() throws {
    let registry = try RunningRegistry(["--settle-ms", "600000"])
    let vmm = try ScriptedVMM(registry)
    try vmm.send(ScriptedVMM.hello("vm1", .running(4)))
    guard case .welcome = try vmm.receive() else { throw TestFailure("no welcome") }
    try registry.killAndRestart()
    let held = try ScriptedVMM(registry)
    try held.send(ScriptedVMM.hello("vm1", .running(9)))
    // Epoch 4 was not settled, so nothing contradicts 9.
    guard case .welcome(let welcome) = try held.receive() else { throw TestFailure("no welcome") }
    #expect(welcome.role == .owner)
    #expect(throws: SystemError.self) { _ = try Files.open(registry.journal, .readOnly) }
  }

  private func readJournal(_ registry: RunningRegistry) throws -> [UInt8] {
    let file = try Files.open(registry.journal, .readOnly)
    return try file.read(count: Int(try file.identity().byteCount), at: 0)
  }

  private func writeJournal(_ registry: RunningRegistry, _ bytes: [UInt8]) throws {
    try Files.remove(registry.journal)
    try Files.open(registry.journal, .createNew).write(bytes, at: 0)
  }
}
