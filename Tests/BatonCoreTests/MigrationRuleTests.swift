import BatonCore
import BatonWire
import Testing

@Suite("The rules of a migration")
struct MigrationRuleTests {
  private static let process = ProcessID(pid: 1, startTime: 1)
  private static let other = ProcessID(pid: 2, startTime: 2)
  private static let reads = ReadableFormats(name: "test", oldest: 1, newest: 1, features: 0)
  private let name: GuestName
  private let start: MigrationStart

  init() throws {
    name = try #require(GuestName("vm1"))
    start = MigrationStart(
      id: try #require(MigrationID([UInt8](repeating: 1, count: 16))),
      receipt: try #require(DepartureReceipt([UInt8](repeating: 2, count: 32))),
      lock: try #require(DepartureLock([UInt8](repeating: 2, count: 32))),
      request: MigrationRequest(host: "south"))
  }

  private func hello(
    _ registry: inout Registry, _ standing: Standing, by process: ProcessID = process
  ) -> [Effect] {
    registry.handle(
      .hello(process, Report(standing), reads: Self.reads, manifest: nil, isAlive: true), for: name)
  }

  private func arriving(_ isArrived: Bool, epoch: UInt64 = 5) -> Standing {
    .arriving(Arriving(id: start.id, lock: start.lock, epoch: epoch, peer: "north", isArrived: isArrived))
  }

  private func sends(_ effects: [Effect]) -> [RegistryMessage] {
    effects.compactMap { if case .send(let message, _) = $0 { message } else { nil } }
  }

  private func refusals(_ effects: [Effect]) -> [Refusal] {
    effects.compactMap { if case .refuse(_, let refusal) = $0 { refusal } else { nil } }
  }

  @Test("R82: that everything is here is journalled before its VMM hears so, and as often as it asks")
  func arrived() {
    var registry = Registry(isSettling: false)
    _ = hello(&registry, arriving(false))
    let said = RegistryEvent.report(Self.process, .arrived(start.id), isAlive: true)
    let effects = registry.handle(said, for: name)
    let written = effects.firstIndex { effect in
      guard case .journal(let record) = effect else { return false }
      return record.migration?.course == .coming(isArrived: true, isShown: false)
    }
    let answered = effects.firstIndex(of: .send(.arrivalJournalled(start.id), to: Self.process))
    #expect(written != nil && answered != nil)
    #expect((written ?? .max) < (answered ?? .min))
    let again = registry.handle(said, for: name)
    #expect(again == [.send(.arrivalJournalled(start.id), to: Self.process)])
  }

  @Test("R82, R86: where the receipt was there first, the verdict to run comes behind the answer")
  func arrivedLast() {
    var registry = Registry(isSettling: false)
    _ = hello(&registry, arriving(false))
    _ = registry.handle(.receiptShown(start.id, lock: start.lock), for: name)
    let effects = registry.handle(.report(Self.process, .arrived(start.id), isAlive: true), for: name)
    #expect(sends(effects) == [.arrivalJournalled(start.id), .run(epoch: 6)])
    #expect(registry[name]?.record.phase == .idle)
  }

  @Test("R85: an arrival that an operator ended stays ended, also for a VMM that has not heard of it")
  func cancelled() {
    var registry = Registry(isSettling: false)
    _ = hello(&registry, arriving(false))
    let ended = registry.handle(.arrivalCancelled(start.id), for: name)
    #expect(refusals(ended) == [.migrationCancelled] && sends(ended).isEmpty)
    #expect(registry[name]?.record.phase == .ended)
    // This is how it says that everything has arrived: no welcome may answer it.
    let again = hello(&registry, arriving(true))
    #expect(refusals(again) == [.migrationCancelled] && sends(again).isEmpty)
    #expect(registry[name]?.record.phase == .ended)
  }

  @Test("R80: a guest that runs here is not brought by anybody")
  func guestExists() {
    var registry = Registry(isSettling: false)
    _ = hello(&registry, .fresh)
    _ = registry.handle(
      .report(Self.process, .running(1, firstInstruction: 1), isAlive: true), for: name)
    #expect(refusals(hello(&registry, arriving(false), by: Self.other)) == [.guestExists])
    #expect(registry[name]?.record.owner == Self.process)
  }

  @Test("R83, R86: the verdict comes for the receipt that fits, and for nothing else")
  func receipt() throws {
    let wrong = try #require(DepartureLock([UInt8](repeating: 3, count: 32)))
    var registry = Registry(isSettling: false)
    _ = hello(&registry, arriving(true))
    #expect(sends(registry.handle(.receiptShown(start.id, lock: wrong), for: name)).isEmpty)
    let refused = registry.handle(
      .report(Self.process, .receipt(start.id, lock: wrong), isAlive: true), for: name)
    #expect(refusals(refused) == [.receiptWrong] && sends(refused).isEmpty)
    _ = hello(&registry, arriving(true))
    let taken = registry.handle(
      .report(Self.process, .receipt(start.id, lock: start.lock), isAlive: true), for: name)
    #expect(sends(taken) == [.run(epoch: 6)])
  }

  @Test("R80: a guest that has left unconfirmed is as it was when its coming back comes to nothing")
  func comesBackInVain() throws {
    var registry = Registry(isSettling: false)
    _ = hello(&registry, .fresh)
    _ = registry.handle(.report(Self.process, .running(1, firstInstruction: 1), isAlive: true), for: name)
    _ = registry.handle(.migrate(start), for: name)
    _ = registry.handle(.report(Self.process, .departing(start.id), isAlive: true), for: name)
    _ = registry.handle(.report(Self.process, .departed(start.id), isAlive: true), for: name)
    _ = registry.handle(.died(Self.process), for: name)
    #expect(refusals(hello(&registry, .fresh, by: Self.other)) == [.departed])
    let next = try #require(MigrationID([UInt8](repeating: 9, count: 16)))
    _ = hello(
      &registry, .arriving(Arriving(id: next, lock: start.lock, epoch: 3, peer: "east")), by: Self.other)
    #expect(registry[name]?.record.phase == .arriving)
    _ = registry.handle(.died(Self.other), for: name)
    #expect(registry[name]?.record.phase == .departed)
    #expect(registry[name]?.record.migration?.receipt == start.receipt)
  }

  /// A guest that has left for another host, whose VMM is gone.
  private func departed(isConfirmed: Bool) -> Registry {
    var registry = Registry(isSettling: false)
    _ = hello(&registry, .fresh)
    _ = registry.handle(.report(Self.process, .running(1, firstInstruction: 1), isAlive: true), for: name)
    _ = registry.handle(.migrate(start), for: name)
    _ = registry.handle(.report(Self.process, .departing(start.id), isAlive: true), for: name)
    _ = registry.handle(.report(Self.process, .departed(start.id), isAlive: true), for: name)
    _ = registry.handle(.died(Self.process), for: name)
    if isConfirmed { _ = registry.handle(.departureConfirmed(start.id), for: name) }
    return registry
  }

  @Test("R80, R84: a guest that left and is confirmed has left, also after its coming back came to nothing")
  func comesBackInVainConfirmed() throws {
    var registry = departed(isConfirmed: true)
    let next = try #require(MigrationID([UInt8](repeating: 9, count: 16)))
    let back = Standing.arriving(Arriving(id: next, lock: start.lock, epoch: 3, peer: "east"))
    _ = hello(&registry, back, by: Self.other)
    #expect(registry[name]?.record.phase == .arriving)
    let effects = registry.handle(.died(Self.other), for: name)
    #expect(registry[name]?.record.phase == .departed)
    #expect(registry[name]?.record.migration?.course == .confirmed)
    // It is over: nobody is called, and it may be forgotten or begin anew.
    #expect(!effects.contains { if case .arm(.migration, _) = $0 { true } else { false } })
    var forgetful = registry
    let isForgotten = forgetful.forget(name)
    #expect(isForgotten)
    _ = hello(&registry, .fresh, by: ProcessID(pid: 3, startTime: 3))
    #expect(registry[name]?.record.phase == .idle)
  }

  @Test(
    "R81: an arrival that was ended does not begin again, wherever its guest has been before",
    arguments: [true, false])
  func endedStaysEnded(_ isConfirmed: Bool) throws {
    var registry = departed(isConfirmed: isConfirmed)
    let next = try #require(MigrationID([UInt8](repeating: 9, count: 16)))
    _ = hello(
      &registry, .arriving(Arriving(id: next, lock: start.lock, epoch: 3, peer: "east")), by: Self.other)
    _ = registry.handle(.arrivalCancelled(next), for: name)
    #expect(registry[name]?.record.phase == .departed)
    let again = hello(
      &registry, .arriving(Arriving(id: next, lock: start.lock, epoch: 3, peer: "east", isArrived: true)),
      by: Self.other)
    #expect(refusals(again) == [.migrationCancelled] && sends(again).isEmpty)
    #expect(registry[name]?.record.phase == .departed)
    #expect((registry[name]?.record.migration?.receipt == nil) == isConfirmed)
  }

  @Test("R81: a VMM whose withdrawal was lost, and that comes with another guest, has given the last one up")
  func withdrawalLost() throws {
    let next = try #require(MigrationID([UInt8](repeating: 9, count: 16)))
    var registry = Registry(isSettling: false)
    _ = hello(&registry, arriving(true))
    #expect(registry[name]?.isArrived == true)
    let effects = hello(
      &registry, .arriving(Arriving(id: next, lock: start.lock, epoch: 7, peer: "east")))
    #expect(refusals(effects).isEmpty)
    #expect(registry[name]?.record.migration?.id == next)
    #expect(registry[name]?.isArrived == false)
    #expect(effects.contains(.disarm(.migration)))
    // Not from one whose receipt was shown: that guest has no other host any more.
    var shown = Registry(isSettling: false)
    _ = hello(&shown, arriving(false))
    _ = shown.handle(.receiptShown(start.id, lock: start.lock), for: name)
    let refused = hello(&shown, .arriving(Arriving(id: next, lock: start.lock, epoch: 7, peer: "east")))
    #expect(refusals(refused) == [.protocolViolation])
    #expect(shown[name]?.record.migration?.id == start.id)
  }

  @Test("R85: a withdrawal is answered, so that a VMM says it until it was heard")
  func withdrawal() {
    var registry = Registry(isSettling: false)
    _ = hello(&registry, arriving(true))
    var arrival = Arrival(
      Arriving(id: start.id, lock: start.lock, epoch: 5, peer: "north", isArrived: true))
    let said = arrival.withdraw(.linkLost, "")
    #expect(arrival.unanswered == said)
    let action = arrival.take(.run(epoch: 9))
    #expect(action == .release(nil))
    let effects = registry.handle(
      .report(Self.process, .stays(start.id, .linkLost), isAlive: true), for: name)
    #expect(refusals(effects) == [.migrationCancelled] && sends(effects).isEmpty)
    #expect(registry[name]?.record.phase == .ended)
    // Said once more on a connection that was renewed meanwhile it changes nothing, and is answered too.
    let again = hello(&registry, arrival.standing)
    #expect(refusals(again) == [.migrationCancelled])
    #expect(registry[name]?.record.phase == .ended)
  }

  @Test("prints no receipt")
  func secret() {
    #expect("\(start.receipt)" == "a departure receipt")
    #expect(String(reflecting: start.receipt) == "a departure receipt")
    var dumped = ""
    dump(VMMMessage.receipt(start.id, start.receipt), to: &dumped)
    dump(start.receipt, to: &dumped)
    #expect(!dumped.contains("words") && !dumped.contains("144680345676153346"), "\(dumped)")
  }
}
