import BatonWire
import LinuxOS
import Testing

@Suite("A registry")
struct RegistrationTests {
  @Test("gives a guest that nobody has to who registers it, with the verdict to run")
  func register() throws {
    let registry = try RunningRegistry()
    try ScriptedVMM(registry).own("vm1", manifest: TestRAM().manifest)
  }

  @Test("gives no baton for a guest that it does not know")
  func unknownBaton() throws {
    let registry = try RunningRegistry()
    // A verdict is given only when the registry has settled; before that a claimant's source may still come.
    try ScriptedVMM(registry).own("vm1")
    let claimant = try ScriptedVMM(registry)
    try claimant.send(ScriptedVMM.hello("nobody", .claiming(3)))
    #expect(try claimant.receiveRefusal() == .batonUnknown)
    #expect(try claimant.receive() == nil)
  }

  @Test(
    "refuses names that are no names of a guest",
    arguments: ["", "a/b", "a\u{1}", "-a", "ä", String(repeating: "a", count: 300)])
  func badNames(_ name: String) throws {
    let registry = try RunningRegistry()
    let vmm = try ScriptedVMM(registry)
    try vmm.send(ScriptedVMM.hello(name))
    #expect(try vmm.receiveRefusal() == .badGuestName)
  }

  @Test("refuses a guest over the quota, and the others stay")
  func guestQuota() throws {
    let registry = try RunningRegistry(["--maximum-guests", "2"])
    let first = try ScriptedVMM(registry)
    try first.own("vm1")
    let second = try ScriptedVMM(registry)
    try second.own("vm2")
    let third = try ScriptedVMM(registry)
    try third.send(ScriptedVMM.hello("vm3"))
    #expect(try third.receiveRefusal() == .quotaExceeded)
    try first.send(.ended(epoch: 1))
    #expect(try first.receive() == .release(.guestEnded))
    let fourth = try ScriptedVMM(registry)
    try fourth.own("vm3")
  }

  @Test("refuses a connection over the quota")
  func connectionQuota() throws {
    let registry = try RunningRegistry(["--maximum-connections", "2"])
    let kept = [try ScriptedVMM(registry), try ScriptedVMM(registry)]
    let third = try ScriptedVMM(registry)
    #expect(try third.receiveRefusal() == .quotaExceeded)
    try kept[0].own("vm1")
  }

  @Test("lets a second connection of an owner take the place of the first")
  func replacedConnection() throws {
    let registry = try RunningRegistry()
    let first = try ScriptedVMM(registry)
    try first.own("vm1")
    let second = try ScriptedVMM(registry)
    try second.send(ScriptedVMM.hello("vm1", .running(1)))
    guard case .welcome(let welcome) = try second.receive() else { throw TestFailure("no welcome") }
    #expect(welcome.role == .owner)
    #expect(try first.receive() == nil)
  }

  @Test("refuses who says nothing")
  func silent() throws {
    let registry = try RunningRegistry(["--hello-ms", "50"])
    let vmm = try ScriptedVMM(registry)
    #expect(try vmm.receiveRefusal() == .deadlinePassed)
    #expect(try vmm.receive() == nil)
  }

  @Test("ends with status 0 after SIGTERM and leaves its journal")
  func cleanEnd() throws {
    let registry = try RunningRegistry()
    try ScriptedVMM(registry).own("vm1")
    try registry.signal(15)
    #expect(try registry.waitForEnd() == .exited(status: 0))
    _ = try Files.open(registry.journal, .readOnly)
  }
}

@Suite("A record that is wrong")
struct WrongRecordTests {
  /// The same registry goes on serving after every one of them.
  private func refused(_ expected: Refusal, _ send: (ScriptedVMM) throws -> Void) throws {
    let registry = try RunningRegistry()
    let vmm = try ScriptedVMM(registry)
    try send(vmm)
    #expect(try vmm.receiveRefusal() == expected)
    #expect(try vmm.receive() == nil)
    try ScriptedVMM(registry).own("after")
  }

  @Test("is refused when it is garbage")
  func garbage() throws { try refused(.malformedRecord) { try $0.send(raw: Array("garbage".utf8)) } }

  @Test("is refused when it is longer than a record may be")
  func oversize() throws {
    try refused(.malformedRecord) { try $0.send(raw: [UInt8](repeating: 0x42, count: 66_000)) }
  }

  @Test("is refused when its version is not spoken")
  func wrongVersion() throws {
    try refused(.versionMismatch) {
      try $0.send(ScriptedVMM.hello("vm1", versions: ProtocolVersion(oldest: 7, newest: 9)), version: 7)
    }
    try refused(.versionMismatch) { try $0.send(ScriptedVMM.hello("vm1"), version: 9) }
  }

  @Test("is refused when it comes before the hello")
  func noHello() throws { try refused(.protocolViolation) { try $0.send(.ready(handoff: 1)) } }

  @Test("is refused when descriptors are missing or too many")
  func descriptorCount() throws {
    let ram = try TestRAM()
    let number = ram.memfd.number
    let message = VMMMessage.offer(handoff: 1, ram.manifest).encoded()
    try refused(.descriptorMismatch) {
      let short = Message(type: message.type, payload: message.payload, descriptorCount: 1)
      try $0.send(raw: short.records(version: 1, sequence: 1)[0].bytes, [number])
    }
    try refused(.descriptorMismatch) {
      let long = Message(type: message.type, payload: message.payload, descriptorCount: 3)
      try $0.send(raw: long.records(version: 1, sequence: 1)[0].bytes, [number, number, number])
    }
  }

  @Test("is refused wherever a hello is cut off")
  func everyTruncation() throws {
    let registry = try RunningRegistry()
    let whole = try ScriptedVMM.hello("vm1", manifest: TestRAM().manifest).encoded()
    for length in 0..<whole.payload.count {
      let vmm = try ScriptedVMM(registry)
      let cut = Message(type: whole.type, payload: Array(whole.payload.prefix(length)), descriptorCount: 0)
      try vmm.send(raw: cut.records(version: 1, sequence: 1)[0].bytes)
      #expect(try vmm.receiveRefusal() == .malformedRecord, "\(length) bytes")
    }
    try ScriptedVMM(registry).own("after")
  }
}
