import BatonWire
import LinuxOS
import RegistryInterface
import Testing
import Varlink

/// Both ends of a migration as a test plays them. This process is the VMM of both registries, so their fences wait
/// for long.
struct MigrationScene {
  static let patience = ["--registry-ms", "600000", "--release-ms", "600000"]
  static let both = ProtocolVersion(oldest: 1, newest: 2)

  let registry: RunningRegistry
  let vmm: ScriptedVMM
  let client: RawOperator

  /// A registry whose guest vm1 runs in epoch 1.
  static func source(_ settings: [String] = patience) throws -> MigrationScene {
    let registry = try RunningRegistry(settings)
    let vmm = try ScriptedVMM(registry)
    try vmm.send(ScriptedVMM.hello("vm1", manifest: TestRAM().manifest, versions: both), version: 2)
    guard case .welcome(let welcome) = try vmm.receive() else { throw TestFailure("no welcome") }
    #expect(welcome.version == 2)
    #expect(try vmm.receive() == .run(epoch: 1))
    try vmm.send(.running(epoch: 1, firstInstruction: MonotonicClock.now()), version: 2)
    return MigrationScene(registry: registry, vmm: vmm, client: try RawOperator(registry))
  }

  /// A registry to which vm1 comes.
  static func target(
    _ id: MigrationID, _ lock: DepartureLock, _ settings: [String] = patience
  ) throws -> MigrationScene {
    let registry = try RunningRegistry(settings)
    let vmm = try ScriptedVMM(registry)
    try arrive(vmm, id, lock, isArrived: false)
    return MigrationScene(registry: registry, vmm: vmm, client: try RawOperator(registry))
  }

  static func arrive(
    _ vmm: ScriptedVMM, _ id: MigrationID, _ lock: DepartureLock, isArrived: Bool
  ) throws {
    let arriving = Arriving(id: id, lock: lock, epoch: 1, peer: "north", isArrived: isArrived)
    try vmm.send(
      ScriptedVMM.hello("vm1", .arriving(arriving), manifest: TestRAM().manifest, versions: both), version: 2)
    guard case .welcome = try vmm.receive() else { throw TestFailure("no welcome") }
  }

  func call(_ method: String, _ parameters: String) throws -> String {
    try client.call(#"{"method":"io.baton.Registry.\#(method)","parameters":\#(parameters)}"#)
    guard let reply = try client.receive() else { throw TestFailure("the registry hung up") }
    return reply
  }

  /// Asks for a migration and takes the order.
  func migrate(_ wish: String = #"{"host":"south"}"#) throws -> (MigrationID, DepartureLock, MigrationRequest)
  {
    try client.call(
      #"{"method":"io.baton.Registry.Migrate","parameters":{"guest":"vm1","request":\#(wish)},"more":true}"#)
    let reply = try #require(try client.receive())
    #expect(reply.contains(#""step":"accepted""#), "\(reply)")
    guard case .migrate(let id, let lock, let request) = try vmm.receive() else {
      throw TestFailure("no order to migrate")
    }
    return (id, lock, request)
  }

  /// A second connection of an operator, since the first one waits for the migration.
  func ask(_ method: String, _ parameters: String) throws -> String {
    try MigrationScene(registry: registry, vmm: vmm, client: RawOperator(registry)).call(method, parameters)
  }
}

@Suite("A migration at its registries")
struct MigrationTests {
  @Test("goes from the order to the confirmation, and the receipt is seen by nobody who must not see it")
  func whole() throws {
    let source = try MigrationScene.source()
    let (id, lock, request) = try source.migrate(
      #"{"host":"south:4646","maxPauseMilliseconds":200,"allowNonconvergence":true}"#)
    #expect(request.host == "south:4646" && request.maxPauseMilliseconds == 200)
    let target = try MigrationScene.target(id, lock)
    var report = MigrationReport(phase: .copying)
    report.pagesTotal = 16
    try source.vmm.send(.migrationReport(id, report), version: 2)
    let progress = try #require(try source.client.receive())
    #expect(progress.contains(#""step":"progress""#) && progress.contains(#""pagesTotal":16"#))
    #expect(try target.call("Arrival", #"{"id":"\#(id)"}"#).contains(#""state":"arriving""#))
    try target.vmm.send(.arrived(id), version: 2)
    #expect(try target.vmm.receive() == .arrivalJournalled(id))
    try source.vmm.send(.departing(id), version: 2)
    guard case .depart(id, let receipt) = try source.vmm.receive() else { throw TestFailure("no order") }
    let undecided = try source.ask("Departure", #"{"id":"\#(id)"}"#)
    #expect(undecided.contains(#""state":"undecided""#) && !undecided.contains("receipt\":\""))
    try source.vmm.send(.departed(id), version: 2)
    #expect(try source.vmm.receive() == .release(nil))
    let departed = try source.ask("Departure", #"{"id":"\#(id)","guest":"vm1"}"#)
    #expect(departed.contains(receipt.hexadecimal))
    #expect(!(try source.ask("List", "{}").contains(receipt.hexadecimal)))
    try target.vmm.send(.receipt(id, receipt), version: 2)
    #expect(try target.vmm.receive() == .run(epoch: 2))
    try target.vmm.send(.running(epoch: 2, firstInstruction: 1), version: 2)
    #expect(try target.call("Arrival", #"{"id":"\#(id)"}"#).contains(#""state":"running""#))
    try source.vmm.send(.confirmed(id), version: 2)
    var end = try #require(try source.client.receive())
    while end.contains(#""step":"progress""#) { end = try #require(try source.client.receive()) }
    #expect(end.contains(#""step":"finished""#) && end.contains(#""outcome":"migrated""#), "\(end)")
    #expect(!end.contains(receipt.hexadecimal))
    let after = try source.ask("Departure", #"{"id":"\#(id)"}"#)
    #expect(after.contains(#""state":"departed""#) && !after.contains(receipt.hexadecimal))
  }

  @Test("ends with the guest here when its VMM says so, and names the reason")
  func stays() throws {
    let source = try MigrationScene.source()
    let (id, _, _) = try source.migrate()
    try source.vmm.send(.stays(id, .targetNotWaiting, "nobody is there"), version: 2)
    let end = try #require(try source.client.receive())
    #expect(end.contains(#""outcome":"stayed""#) && end.contains("targetNotWaiting"), "\(end)")
    #expect(end.contains("nobody is there"))
    #expect(try source.call("Departure", #"{"id":"\#(id)"}"#).contains(#""state":"stays""#))
  }

  @Test("has failed at its target unless it was called off, as every plan is")
  func calledOff() throws {
    let planned = try #require(MigrationID([UInt8](repeating: 1, count: 16)))
    let failed = try #require(MigrationID([UInt8](repeating: 3, count: 16)))
    let lock = try #require(DepartureLock([UInt8](repeating: 2, count: 32)))
    let target = try MigrationScene.target(planned, lock)
    try target.vmm.send(.stays(planned, .migrationCancelled, "it was only planned"), version: 2)
    #expect(try target.vmm.receiveRefusal() == .migrationCancelled)
    let counted = try target.call("Metrics", "{}")
    #expect(counted.contains(#""migrationsFailed":0"#), "\(counted)")
    let next = try ScriptedVMM(target.registry)
    try MigrationScene.arrive(next, failed, lock, isArrived: false)
    try next.send(.stays(failed, .linkLost, "the cable"), version: 2)
    #expect(try next.receiveRefusal() == .migrationCancelled)
    let after = try target.call("Metrics", "{}")
    #expect(after.contains(#""migrationsFailed":1"#), "\(after)")
  }

  @Test("is ended by Abort before the guest stands still, and not afterwards")
  func abort() throws {
    let source = try MigrationScene.source()
    let (first, _, _) = try source.migrate()
    #expect(try source.ask("Abort", #"{"guest":"vm1"}"#).contains(#""cancelling":true"#))
    #expect(try source.vmm.receive() == .cancelMigration(first))
    try source.vmm.send(.stays(first, .migrationCancelled, ""), version: 2)
    #expect(try #require(try source.client.receive()).contains(#""outcome":"stayed""#))
    let (second, _, _) = try source.migrate()
    try source.vmm.send(.departing(second), version: 2)
    guard case .depart = try source.vmm.receive() else { throw TestFailure("no order") }
    #expect(try source.ask("Abort", #"{"guest":"vm1"}"#).contains("GuestDeparted"))
    try source.vmm.send(.stays(second, .linkLost, "it failed"), version: 2)
    #expect(try source.vmm.receive() == .run(epoch: 2))
  }

  @Test("lets nothing else begin, and a VMM that knows no migration is not asked")
  func others() throws {
    let source = try MigrationScene.source()
    _ = try source.migrate()
    #expect(
      try source.ask("Migrate", #"{"guest":"vm1","request":{"host":"south"}}"#).contains(
        "MigrationInProgress"))
    #expect(try source.ask("Upgrade", #"{"guest":"vm1"}"#).contains("MigrationInProgress"))
    #expect(
      try source.ask("Migrate", #"{"guest":"vm1","request":{"host":"a b"}}"#).contains("InvalidParameter"))
    let old = try ScriptedVMM(source.registry)
    try old.own("vm2", manifest: TestRAM().manifest)
    let refused = try source.ask("Migrate", #"{"guest":"vm2","request":{"host":"south"}}"#)
    #expect(refused.contains("RefusedByRegistry") && refused.contains("versionMismatch"))
  }

  @Test("is settled past the VMMs: with the receipt it runs, with another one it does not")
  func settle() throws {
    let source = try MigrationScene.source()
    let (id, lock, _) = try source.migrate()
    let target = try MigrationScene.target(id, lock)
    try target.vmm.send(.arrived(id), version: 2)
    #expect(try target.vmm.receive() == .arrivalJournalled(id))
    try source.vmm.send(.departing(id), version: 2)
    guard case .depart(id, let receipt) = try source.vmm.receive() else { throw TestFailure("no order") }
    try source.vmm.send(.departed(id), version: 2)
    #expect(try source.vmm.receive() == .release(nil))
    let wrong = String(repeating: "0", count: 64)
    let refusal = try target.call("Settle", #"{"guest":"vm1","id":"\#(id)","receipt":"\#(wrong)"}"#)
    #expect(refusal.contains("MigrationRefused") && refusal.contains("receiptWrong"))
    #expect(
      try target.call("Settle", #"{"guest":"vm1","id":"\#(wrong.prefix(32))","receipt":"\#(wrong)"}"#)
        .contains("NoMigration"))
    let settled = #"{"guest":"vm1","id":"\#(id)","receipt":"\#(receipt.hexadecimal)"}"#
    try target.client.call(#"{"method":"io.baton.Registry.Settle","parameters":\#(settled)}"#)
    #expect(try target.vmm.receive() == .run(epoch: 2))
    #expect(
      try target.ask("Arrival", #"{"id":"\#(id)"}"#).contains(#""state":"arrived""#),
      "until its VMM says more")
    try target.vmm.send(.running(epoch: 2, firstInstruction: 1), version: 2)
    #expect(try #require(try target.client.receive()).contains(#""state":"running""#))
    #expect(try target.call("Settle", settled).contains(#""state":"running""#), "once more does no harm")
    let cancelled = #"{"guest":"vm1","id":"\#(id)","cancelled":true}"#
    #expect(try target.call("Settle", cancelled).contains("MigrationRefused"))
    #expect(try source.ask("Confirm", #"{"guest":"vm1","id":"\#(id)"}"#).contains(#""outcome":"migrated""#))
    #expect(try source.ask("Confirm", #"{"guest":"vm1","id":"\#(id)"}"#).contains(#""outcome":"migrated""#))
  }

  @Test("waits with an alarm that names the command when no receipt comes, also after a restart of batond")
  func alarm() throws {
    let id = try #require(MigrationID([UInt8](repeating: 1, count: 16)))
    let lock = try #require(DepartureLock([UInt8](repeating: 2, count: 32)))
    let target = try MigrationScene.target(id, lock, ["--release-ms", "200"])
    try target.vmm.send(.arrived(id), version: 2)
    #expect(try target.vmm.receive() == .arrivalJournalled(id))
    #expect(try waitForAlarm(target.registry))
    try target.registry.killAndRestart()
    let vmm = try ScriptedVMM(target.registry)
    try MigrationScene.arrive(vmm, id, lock, isArrived: true)
    #expect(try waitForAlarm(target.registry))
    // A receipt that does not fit ends the connection, and nothing else.
    let wrong = try #require(DepartureReceipt([UInt8](repeating: 3, count: 32)))
    try vmm.send(.receipt(id, wrong), version: 2)
    #expect(try vmm.receiveRefusal() == .receiptWrong)
    #expect(try vmm.receive() == nil)
    let client = try RawOperator(target.registry)
    try client.call(#"{"method":"io.baton.Registry.Arrival","parameters":{"id":"\#(id)"}}"#)
    #expect(try #require(try client.receive()).contains(#""state":"arrived""#))
  }

  private func waitForAlarm(_ registry: RunningRegistry) throws -> Bool {
    let client = try RawOperator(registry)
    for _ in 0..<2_000 {
      try client.call(#"{"method":"io.baton.Registry.List"}"#)
      if try #require(try client.receive()).contains(#""command":"batonctl settle vm1""#) { return true }
      var nobody = [Poller.Interest(-1)]
      _ = try Poller.wait(&nobody, timeoutNanoseconds: 10_000_000)
    }
    return false
  }

  @Test("goes on after the source's batond was killed with the order to depart on its way")
  func restart() throws {
    let source = try MigrationScene.source()
    try source.registry.waitUntilSettled()
    let (id, lock, _) = try source.migrate()
    try source.vmm.send(.departing(id), version: 2)
    guard case .depart(id, let receipt) = try source.vmm.receive() else { throw TestFailure("no order") }
    try source.registry.killAndRestart()
    let back = try ScriptedVMM(source.registry)
    let departing = Departing(
      id: id, lock: lock, epoch: 1, peer: "south", step: .permitted, receipt: receipt)
    try back.send(
      ScriptedVMM.hello(
        "vm1", .departing(departing), manifest: TestRAM().manifest, versions: MigrationScene.both),
      version: 2)
    guard case .welcome = try back.receive() else { throw TestFailure("no welcome") }
    #expect(try back.receive() == .depart(id, receipt))
    try back.send(.departed(id), version: 2)
    #expect(try back.receive() == .release(nil))
  }

  @Test("that is withdrawn by its VMM is answered, and the VMM is not told to go")
  func withdrawn() throws {
    let id = try #require(MigrationID([UInt8](repeating: 1, count: 16)))
    let lock = try #require(DepartureLock([UInt8](repeating: 2, count: 32)))
    let target = try MigrationScene.target(id, lock)
    try target.vmm.send(.arrived(id), version: 2)
    #expect(try target.vmm.receive() == .arrivalJournalled(id))
    try target.vmm.send(.stays(id, .linkLost, "the source keeps it"), version: 2)
    #expect(try target.vmm.receiveRefusal() == .migrationCancelled)
    #expect(try target.call("Arrival", #"{"id":"\#(id)"}"#).contains(#""state":"over""#))
    #expect(try target.call("List", "{}").contains(#""state":"ended""#))
    // What was not answered is said again on the next connection, and heard there.
    let again = try ScriptedVMM(target.registry)
    let arriving = Arriving(id: id, lock: lock, epoch: 1, peer: "north", isArrived: true)
    try again.send(
      ScriptedVMM.hello(
        "vm1", .arriving(arriving), manifest: TestRAM().manifest, versions: MigrationScene.both),
      version: 2)
    #expect(try again.receiveRefusal() == .migrationCancelled)
    let next = try #require(MigrationID([UInt8](repeating: 3, count: 16)))
    try MigrationScene.arrive(ScriptedVMM(target.registry), next, lock, isArrived: false)
  }

  @Test("is refused with what was said of this case behind the reason")
  func reason() throws {
    let source = try MigrationScene.source()
    let (id, _, _) = try source.migrate()
    try source.vmm.send(
      .stays(id, .certificateInvalid, "The target's PEK; \u{1B}[2Jis refused"), version: 2)
    let end = try #require(try source.client.receive())
    #expect(
      end.contains(
        "a certificate of the other host cannot be trusted: The target's PEK, \\\\u{1B}[2Jis refused; the guest"
      ),
      "\(end)")
  }

  @Test("brings no guest that is here already")
  func guestExists() throws {
    let source = try MigrationScene.source()
    let id = try #require(MigrationID([UInt8](repeating: 1, count: 16)))
    let lock = try #require(DepartureLock([UInt8](repeating: 2, count: 32)))
    let other = try ScriptedVMM(source.registry)
    let arriving = Arriving(id: id, lock: lock, epoch: 1, peer: "north")
    // Of the same process: as its owner it would be known, so the record is at fault.
    try other.send(
      ScriptedVMM.hello("vm1", .arriving(arriving), versions: MigrationScene.both), version: 2)
    let refusal = try other.receiveRefusal()
    #expect(refusal == .guestExists || refusal == .protocolViolation)
  }
}
