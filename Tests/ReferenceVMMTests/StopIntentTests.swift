import Systemd
import Testing

@testable import ReferenceVMM

@Suite("A signal to stop")
struct StopIntentTests {
  @Test("parks the guest only when the unit's pending job is a restart")
  func table() {
    let parking: [UnitJob.Kind] = [.restart, .tryRestart]
    for kind in parking { #expect(StopIntent.decide(.job(kind)) == .park) }
    let others: [UnitJob.Kind?] = [.start, .stop, .reload, .verifyActive, .other("nop"), nil]
    for kind in others {
      guard case .end(.job) = StopIntent.decide(.job(kind)) else {
        Issue.record("\(String(describing: kind)) is to end the guest")
        continue
      }
    }
  }

  @Test("parks the guest when only the start took too long: nobody wanted it to end")
  func lateStart() { #expect(StopIntent.decide(.startTookTooLong) == .park) }

  @Test("ends the guest when nobody says what it means, and says that")
  func noAnswer() {
    let intent = StopIntent.decide(.unknown("the system bus cannot be reached"))
    guard case .end(let reason) = intent else {
      Issue.record("no answer is a stop")
      return
    }
    #expect(reason.sentence.level == .warning)
    #expect(reason.sentence.text.contains("the system bus cannot be reached"))
    #expect(reason.sentence.text.hasSuffix("the guest ends here"))
  }

  @Test("ends the guest without a question when this is no unit's process")
  func noUnit() { #expect(StopIntent.decide(nil) == .end(.signal)) }

  @Test("that could not be followed by custody is said as an error")
  func notParked() {
    let (level, text) = StopIntent.Reason.notParked(why: "the registry does not answer").sentence
    #expect(level == .error)
    #expect(text.contains("the registry does not answer"))
    #expect(text.contains("the guest ENDS here"))
  }

  @Test("leaves time to end the guest before the service manager kills")
  func deadline() {
    let second: UInt64 = 1_000_000_000
    let usual = StopPlan(.park, now: 1000 * second, stopNanoseconds: 90 * second)
    #expect(usual.deadline == 1085 * second)
    #expect(usual.nextQuestion == 1000 * second)
    let short = StopPlan(.park, now: 1000 * second, stopNanoseconds: 4 * second)
    #expect(short.deadline == 1003 * second)
    let unknown = StopPlan(.park, now: 1000 * second, stopNanoseconds: nil)
    #expect(unknown.deadline == 1055 * second)
    let endless = StopPlan(.park, now: 1000 * second, stopNanoseconds: .max)
    #expect(endless.deadline == 1595 * second)
  }

  @Test("remembers why the guest was not parked")
  func obstacle() {
    var plan = StopPlan(.park, now: 0, stopNanoseconds: nil)
    #expect(plan.obstacle == "the registry does not answer")
    plan.attemptEnded(now: 0)
    #expect(plan.obstacle == "the registry ended the attempt, its journal says why")
    plan.attemptEnded(now: 0, because: "no VM")
    plan.attemptEnded(now: 0)
    #expect(plan.obstacle == "no VM")
  }

  @Test("asks the registry again a little after an attempt that ended, and never when the guest is to end")
  func nextQuestion() {
    var parking = StopPlan(.park, now: 1000, stopNanoseconds: nil)
    parking.nextQuestion = nil
    parking.attemptEnded(now: 5000)
    // Unwrapped: the address sanitizer takes the macro's comparison of optional integers for an overflow.
    #expect((parking.nextQuestion ?? 0) == 5000 + 100_000_000)
    var ending = StopPlan(.end(.signal), now: 1000, stopNanoseconds: nil)
    ending.attemptEnded(now: 5000)
    #expect(ending.nextQuestion == nil)
  }
}
