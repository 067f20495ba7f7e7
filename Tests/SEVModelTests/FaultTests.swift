import SEVABI
import SEVModel
import Testing

/// A request and the state in which it succeeds.
enum FaultScenario: String, CaseIterable, CustomTestStringConvertible {
  case initialize, launchStart, launchUpdateData, launchMeasure, launchFinish, guestStatus, debugDecrypt
  case localSend, localReceive, registerRegion, unregisterRegion
  case launchUpdateVMSA, attestationReport, move, sendStart, sendUpdateData, sendFinish, sendCancel
  case receiveStart, receiveUpdateData, receiveFinish

  var testDescription: String { rawValue }

  /// A bench that is ready for the request, the VM that it is for, and the request.
  func prepare() -> (bench: Bench, run: (inout Bench) -> KernelError?) {
    var bench = Bench(ModelConfiguration(asidCount: 2, encryptedStateASIDCount: 2))
    switch self {
    case .initialize:
      let machine = bench.makeMachine()
      return (bench, { $0.issue(.initialize, machine).error })
    case .launchStart:
      let machine = bench.makeGuest()
      return (bench, { $0.start(machine).error })
    case .launchUpdateData:
      let machine = bench.makeGuest()
      _ = bench.start(machine)
      return (bench, { $0.update(machine, length: 40960).error })
    case .launchMeasure:
      let machine = bench.makeGuest()
      _ = bench.start(machine)
      return (bench, { $0.measure(machine).error })
    case .launchFinish:
      let machine = bench.makeGuest()
      _ = bench.start(machine)
      _ = bench.measure(machine)
      return (bench, { $0.issue(.launchFinish, machine).error })
    case .guestStatus:
      let machine = bench.makeLaunched()
      return (bench, { $0.status(machine).ending.error })
    case .debugDecrypt:
      let machine = bench.makeLaunched()
      return (bench, { $0.debug(.debugDecrypt, machine, length: 8192).error })
    case .localSend:
      let machine = bench.makeLaunched()
      _ = bench.register(machine)
      return (bench, { $0.send(machine).ending.error })
    case .localReceive:
      let source = bench.makeLaunched()
      _ = bench.register(source)
      let token = bench.send(source).token
      let machine = bench.makeGuest()
      return (bench, { $0.receive(machine, token).error })
    case .registerRegion:
      let machine = bench.makeGuest()
      return (bench, { $0.register(machine) })
    case .unregisterRegion:
      let machine = bench.makeGuest()
      _ = bench.register(machine)
      return (bench, { $0.unregister(machine) })
    case .launchUpdateVMSA:
      let machine = bench.makeGuest(.sevES, vcpus: 2)
      _ = bench.start(machine, policy: .encryptedState)
      return (bench, { $0.issue(.launchUpdateVMSA, machine).error })
    case .attestationReport:
      let machine = bench.makeLaunched()
      return (bench, { $0.report(machine, Buffer(address: Address.buffer, count: 208)).error })
    case .move:
      let (source, target) = (bench.makeLaunched(), bench.makePlain())
      return (bench, { $0.move(source, to: target) })
    case .sendStart, .sendUpdateData, .sendFinish, .sendCancel, .receiveStart, .receiveUpdateData,
      .receiveFinish:
      return prepareTransfer(bench)
    }
  }

  private func prepareTransfer(_ bench: Bench) -> (bench: Bench, run: (inout Bench) -> KernelError?) {
    var bench = bench
    bench.storeOwnCertificate()
    let source = bench.makeLaunched()
    if self == .sendStart { return (bench, { $0.sendStart(source).error }) }
    _ = bench.sendStart(source)
    let target = bench.makeGuest()
    if self == .receiveStart { return (bench, { $0.receiveStart(target).error }) }
    _ = bench.receiveStart(target)
    if self == .sendUpdateData { return (bench, { $0.packet(.sendUpdateData, source).error }) }
    _ = bench.packet(.sendUpdateData, source)
    if self == .receiveUpdateData { return (bench, { $0.packet(.receiveUpdateData, target).error }) }
    if self == .receiveFinish { return (bench, { $0.issue(.receiveFinish, target).error }) }
    let id: SEVCommandID = self == .sendCancel ? .sendCancel : .sendFinish
    return (bench, { $0.issue(id, source).error })
  }

  /// Whether a failure of this question leaves the request undone, so that it succeeds when it is made again.
  func isRepeatable(after question: Int, of questions: [String]) -> Bool {
    switch self {
    case .guestStatus, .debugDecrypt, .launchUpdateData, .registerRegion, .unregisterRegion,
      .launchUpdateVMSA, .attestationReport, .move, .sendUpdateData, .receiveUpdateData:
      true
    // The guest is measured, or is being sent, before anything is copied out.
    case .launchMeasure, .sendStart: questions[question] != "write"
    // Only the write-back of the command block comes after the point of no return.
    case .initialize, .launchStart, .launchFinish, .localSend, .localReceive, .sendFinish, .sendCancel,
      .receiveStart, .receiveFinish:
      question != questions.count - 1
    }
  }
}

@Suite("A request whose caller fails it at one copy")
struct FaultTests {
  @Test(
    "ends with that copy's errno and, short of the point of no return, can be made again",
    arguments: FaultScenario.allCases)
  func faultAtEachQuestion(scenario: FaultScenario) {
    var (whole, run) = scenario.prepare()
    let before = whole.memory.log.count
    #expect(run(&whole) == nil)
    let questions = Array(whole.memory.log[before...])
    #expect(!questions.isEmpty)
    for question in questions.indices {
      var (bench, run) = scenario.prepare()
      let guests = bench.host.guestCount
      let identifiers = bench.host.freeASIDCount
      bench.memory.failingQuestion = before + question
      let expected: KernelError =
        switch questions[question] {
        case "pin for reading", "pin for writing": .outOfMemory
        case "find firmware", "find machine": .badDescriptor
        default: .badAddress
        }
      #expect(run(&bench) == expected, "question \(question), \(questions[question])")
      bench.memory.failingQuestion = nil
      if scenario.isRepeatable(after: question, of: questions) {
        #expect(bench.host.guestCount == guests)
        #expect(bench.host.freeASIDCount == identifiers)
        #expect(run(&bench) == nil, "again after question \(question), \(questions[question])")
      } else {
        #expect(run(&bench) != nil, "again after question \(question), \(questions[question])")
      }
      #expect(bench.host.guestCount == whole.host.guestCount)
      #expect(bench.host.freeASIDCount == whole.host.freeASIDCount)
    }
  }
}
