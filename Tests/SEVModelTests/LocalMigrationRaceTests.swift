import SEVABI
import SEVModel
import Testing

/// Requests that overlap: one stands still at a copy while others run.
@Suite("Overlapping local migrations")
struct LocalMigrationRaceTests {
  /// Runs a command up to its first copy out, and returns how to go on with whether that copy succeeds.
  private func stopAtCopyOut(
    _ id: SEVCommandID, _ machine: VirtualMachineID, _ parameters: [UInt8], _ bench: inout Bench
  ) -> ((inout ModelHost, Bool) -> Step)? {
    bench.memory.store(parameters, at: Address.parameters)
    bench.memory.store(
      SEVCommandBlock(id: id.rawValue, data: Address.parameters).bytes, at: Address.block)
    var step = bench.host.memoryEncryptOperation(on: machine, argument: Address.block, caller: bench.caller)
    while case .read(let address, let count, let then) = step {
      step = then(&bench.host, bench.memory.read(address: address, count: count))
    }
    guard case .write(_, let bytes, let then) = step else {
      Issue.record("the command did not come to its copy out")
      return nil
    }
    bench.memory.store(bytes, at: Address.parameters)
    return then
  }

  private func finish(_ step: Step, _ bench: inout Bench) -> KernelError? {
    bench.host.run(step, in: &bench.memory)
  }

  @Test("a receive that started loses nothing to a second one, and gives the token back if it fails")
  func receiveWhileReceiving() throws {
    var bench = Bench()
    let token = bench.send(bench.makeLaunched()).token
    let slow = bench.makeGuest()
    let quick = bench.makeGuest()
    let resume = try #require(stopAtCopyOut(.localReceive, slow, Bench.receiveBytes(token), &bench))
    #expect(bench.receive(quick, token) == .failed(.badAddress))
    #expect(finish(resume(&bench.host, false), &bench) == .badAddress)
    #expect(bench.receive(quick, token).error == nil)
  }

  @Test("source destroyed before the receive: the token is unknown and the key is gone")
  func destroyThenReceive() {
    var bench = Bench()
    let source = bench.makeLaunched()
    let token = bench.send(source).token
    let target = bench.makeGuest()
    bench.host.destroy(source)
    #expect(bench.host.guestCount == 0)
    #expect(bench.receive(target, token) == .failed(.badAddress))
  }

  @Test("source destroyed after the receive: the target keeps key and regions")
  func receiveThenDestroy() {
    var bench = Bench()
    let source = bench.makeLaunched()
    #expect(bench.register(source) == nil)
    let token = bench.send(source).token
    let target = bench.makeGuest()
    #expect(bench.receive(target, token).error == nil)
    bench.host.destroy(source)
    bench.memory.firmware.insert(0)
    #expect(bench.status(target).status.state == GuestState.running.rawValue)
    #expect(bench.unregister(target) == nil)
  }

  @Test("source destroyed during a receive that then fails: nobody holds the key, and nothing leaks")
  func destroyDuringFailingReceive() throws {
    var bench = Bench(ModelConfiguration(asidCount: 2))
    let source = bench.makeLaunched()
    let token = bench.send(source).token
    let target = bench.makeGuest()
    let resume = try #require(stopAtCopyOut(.localReceive, target, Bench.receiveBytes(token), &bench))
    bench.host.destroy(source)
    #expect(bench.host.guestCount == 1)
    #expect(finish(resume(&bench.host, false), &bench) == .badAddress)
    #expect(bench.host.guestCount == 0)
    #expect(bench.host.freeASIDCount == 1)
    #expect(bench.start(target) == .ok)
  }

  @Test("source destroyed during a receive that then succeeds: the target has the guest")
  func destroyDuringReceive() throws {
    var bench = Bench()
    let source = bench.makeLaunched()
    let token = bench.send(source).token
    let target = bench.makeGuest()
    let resume = try #require(stopAtCopyOut(.localReceive, target, Bench.receiveBytes(token), &bench))
    bench.host.destroy(source)
    #expect(finish(resume(&bench.host, true), &bench) == nil)
    #expect(bench.host.guestCount == 1)
    bench.host.destroy(target)
    #expect(bench.host.guestCount == 0)
  }

  @Test(
    "a token that is received while its send still copies out is gone for the source, whatever the copy does")
  func receiveDuringSend() throws {
    for copied in [true, false] {
      var bench = Bench()
      let source = bench.makeLaunched()
      let resume = try #require(
        stopAtCopyOut(.localSend, source, [UInt8](repeating: 0, count: 8), &bench))
      let token = bench.memory.load(8, at: Address.parameters).span.uint64(at: 0)
      let target = bench.makeGuest()
      #expect(bench.receive(target, token).error == nil)
      #expect(finish(resume(&bench.host, copied), &bench) == (copied ? nil : .badAddress))
      #expect(bench.status(source).ending == .failed(.notPermitted))
      bench.host.destroy(source)
      #expect(bench.host.guestCount == 1)
    }
  }
}

@Suite("Taking a finished command back")
struct UndoTests {
  /// Runs a command to its end and returns how to undo it.
  private func undo(
    _ id: SEVCommandID, _ machine: VirtualMachineID, _ parameters: [UInt8], _ bench: inout Bench
  ) -> Undo? {
    bench.memory.store(parameters, at: Address.parameters)
    bench.memory.store(
      SEVCommandBlock(id: id.rawValue, data: Address.parameters, firmwareDescriptor: Address.firmware).bytes,
      at: Address.block)
    var step = bench.host.memoryEncryptOperation(on: machine, argument: Address.block, caller: bench.caller)
    while true {
      switch step {
      case .finished(_, let undo): return undo
      case .resume(let then): step = then(&bench.host)
      case .read(let address, let count, let then):
        step = then(&bench.host, bench.memory.read(address: address, count: count))
      case .write(let address, let bytes, let then):
        step = then(&bench.host, bench.memory.write(address: address, bytes: bytes))
      case .pin(_, _, _, let then): step = then(&bench.host, true)
      case .findFirmware(let descriptor, let then):
        step = then(&bench.host, bench.memory.isFirmware(descriptor: descriptor))
      case .findMachine, .lock, .identifyPages:
        Issue.record("no command that can be undone asks for this")
        return nil
      }
    }
  }

  private func takeBack(_ undo: Undo, _ bench: inout Bench) -> Bool {
    bench.host.undo(undo)
  }

  @Test("gives a sent source its guest and its regions back, and the token is unknown")
  func send() throws {
    var bench = Bench()
    let source = bench.makeLaunched()
    #expect(bench.register(source) == nil)
    let undo = try #require(undo(.localSend, source, [UInt8](repeating: 0, count: 8), &bench))
    let token = bench.memory.load(8, at: Address.parameters).span.uint64(at: 0)
    #expect(takeBack(undo, &bench) == true)
    #expect(bench.status(source).ending == .ok)
    #expect(bench.unregister(source) == nil)
    #expect(bench.receive(bench.makeGuest(), token) == .failed(.badAddress))
  }

  @Test("is too late for a send whose token was received")
  func sendAfterReceive() throws {
    var bench = Bench()
    let source = bench.makeLaunched()
    let undo = try #require(undo(.localSend, source, [UInt8](repeating: 0, count: 8), &bench))
    let token = bench.memory.load(8, at: Address.parameters).span.uint64(at: 0)
    #expect(bench.receive(bench.makeGuest(), token).error == nil)
    #expect(takeBack(undo, &bench) == false)
    #expect(bench.status(source).ending == .failed(.notPermitted))
  }

  @Test("makes a received token valid again and gives the target its own ASID back")
  func receive() throws {
    var bench = Bench(ModelConfiguration(asidCount: 2))
    let token = bench.send(bench.makeLaunched()).token
    let target = bench.makeGuest()
    let undo = try #require(undo(.localReceive, target, Bench.receiveBytes(token), &bench))
    #expect(takeBack(undo, &bench) == true)
    #expect(bench.host.freeASIDCount == 0)
    #expect(bench.receive(target, token).error == nil)
  }

  @Test("is too late for a receive whose ASID another guest has, or whose guest was sent on")
  func receiveTooLate() throws {
    var bench = Bench(ModelConfiguration(asidCount: 2))
    let token = bench.send(bench.makeLaunched()).token
    let target = bench.makeGuest()
    let undone = try #require(undo(.localReceive, target, Bench.receiveBytes(token), &bench))
    _ = bench.makeGuest()
    #expect(takeBack(undone, &bench) == false)
    bench.memory.firmware.insert(0)
    #expect(bench.status(target).status.state == GuestState.running.rawValue)

    var other = Bench()
    let next = other.makeGuest()
    let receive = try #require(
      undo(.localReceive, next, Bench.receiveBytes(other.send(other.makeLaunched()).token), &other))
    #expect(other.send(next).ending.error == nil)
    #expect(takeBack(receive, &other) == false)
  }

  @Test("is too late for a receive whose guest was moved on, or has a mirror")
  func receiveMovedOn() throws {
    // A guest that was not launched, whose handle is 0 before and after.
    var bench = Bench()
    let target = bench.makeGuest()
    let source = bench.makeGuest()
    let receive = try #require(
      undo(.localReceive, target, Bench.receiveBytes(bench.send(source).token), &bench))
    let next = bench.makePlain()
    #expect(bench.move(target, to: next) == nil)
    #expect(takeBack(receive, &bench) == false)
    #expect(bench.start(next) == .ok)

    var other = Bench()
    let mirrored = other.makeGuest()
    let another = try #require(
      undo(.localReceive, mirrored, Bench.receiveBytes(other.send(other.makeLaunched()).token), &other))
    #expect(other.mirror(mirrored, as: other.makePlain()) == nil)
    #expect(takeBack(another, &other) == false)
  }

  @Test("decommissions the guest of a launch")
  func launch() throws {
    var bench = Bench()
    let machine = bench.makeGuest()
    let undo = try #require(
      undo(.launchStart, machine, LaunchStartParameters(policy: 0).bytes, &bench))
    #expect(bench.host.guestCount == 1)
    #expect(takeBack(undo, &bench) == true)
    #expect(bench.host.guestCount == 0)
    #expect(bench.start(machine) == .ok)
  }
}
