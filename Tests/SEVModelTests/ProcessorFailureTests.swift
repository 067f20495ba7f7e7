import SEVABI
import SEVModel
import Testing

/// What is left when the Secure Processor no longer answers, or is not there.
@Suite("A Secure Processor that does not answer")
struct ProcessorFailureTests {
  private static func bench(stopsAfter count: UInt64, _ profile: KernelProfile = .rfc) -> Bench {
    Bench(ModelConfiguration(profile: profile, processor: .stops(after: count)))
  }

  @Test("fails one command with ETIMEDOUT and clears its status, and all later ones with EBUSY")
  func stops() {
    // LAUNCH_START and ACTIVATE are answered.
    var bench = Self.bench(stopsAfter: 2)
    let machine = bench.makeGuest()
    #expect(bench.start(machine) == .ok)
    let first = bench.measure(machine)
    #expect(first == Ending(error: .timedOut, firmware: .success))
    #expect(bench.measure(machine) == .failed(.busy))
    #expect(bench.issue(.launchFinish, machine) == .failed(.busy))
    #expect(bench.status(machine).ending == .failed(.busy))
    #expect(bench.device(.platformStatus) == .failed(.busy))
  }

  @Test("fails a query of lengths too, which writes zeros back")
  func query() {
    var bench = Self.bench(stopsAfter: 2)
    let machine = bench.makeGuest()
    #expect(bench.start(machine) == .ok)
    #expect(bench.measure(machine, length: 0) == Ending(error: .timedOut, firmware: .success))
    #expect(bench.parameters(as: LaunchMeasureParameters.self).length == 0)
  }

  @Test("between LAUNCH_START and ACTIVATE leaves the VM without a handle")
  func halfStarted() {
    var bench = Self.bench(stopsAfter: 1)
    let machine = bench.makeGuest()
    #expect(bench.start(machine) == Ending(error: .timedOut, firmware: .success))
    #expect(bench.host.guestCount == 1, "nobody can tell the firmware to forget the context")
    #expect(bench.start(machine) == .failed(.busy))
  }

  @Test("is found out before a descriptor that is none: EBADF comes first")
  func order() {
    var bench = Self.bench(stopsAfter: 0)
    let machine = bench.makeGuest()
    bench.memory.firmware = []
    #expect(bench.start(machine) == .failed(.badDescriptor))
    bench.memory.firmware = [Address.firmware]
    #expect(bench.start(machine) == Ending(error: .timedOut, firmware: .success))
  }

  @Test("hinders no handover: neither a token nor a move needs the firmware")
  func handover() {
    var bench = Self.bench(stopsAfter: 4)
    let source = bench.makeLaunched()
    #expect(bench.status(source).ending == Ending(error: .timedOut, firmware: .success))
    let target = bench.makeGuest()
    let (sent, token) = bench.send(source)
    #expect(sent.error == nil)
    #expect(bench.receive(target, token).error == nil)
    let next = bench.makeMachine()
    #expect(bench.move(target, to: next) == nil)
    bench.host.destroy(source)
    bench.host.destroy(target)
    bench.host.destroy(next)
    // The key outlives its guest.
    #expect(bench.host.guestCount == 1)
  }

  @Test("lends no ASID a second time")
  func flush() {
    var bench = Bench(ModelConfiguration(asidCount: 1, processor: .stops(after: 0)))
    bench.host.destroy(bench.makeGuest())
    let machine = bench.makeMachine()
    #expect(bench.issue(.initialize, machine) == .failed(.busy))
    #expect(bench.issue(.initialize, machine) == .failed(.busy))
  }

  @Test("and is not there: ENODEV wherever the firmware is needed")
  func absent() {
    var bench = Bench(ModelConfiguration(processor: .absent))
    let machine = bench.makeMachine()
    #expect(bench.issue(.initialize, machine) == .failed(.noDevice))
    #expect(bench.host.freeASIDCount == 500)
    #expect(bench.device(.platformStatus) == .failed(.noDevice))
    #expect(bench.device(.generatePDH) == .failed(.noDevice))
  }

  @Test("after FACTORY_RESET refuses to flush, so that the last ASID is not lent again before an INIT")
  func uninitialized() {
    var bench = Bench(ModelConfiguration(asidCount: 1))
    bench.host.destroy(bench.makeGuest())
    #expect(bench.device(.factoryReset) == .ok)
    let machine = bench.makeMachine()
    #expect(bench.issue(.initialize, machine) == .failed(.busy))
    #expect(bench.device(.generatePDH) == .ok)
    #expect(bench.issue(.initialize, machine).error == nil)
  }
}
