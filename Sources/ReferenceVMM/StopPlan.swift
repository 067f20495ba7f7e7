/// What becomes of a guest whose VMM was asked to stop, and until when.
struct StopPlan {
  let intent: StopIntent
  /// When the guest ends if nothing else has come of it (`CLOCK_MONOTONIC`, nanoseconds).
  let deadline: UInt64
  /// When the registry is asked to take the guest into custody; nil while it has the question.
  var nextQuestion: UInt64?
  /// Whether it was asked before.
  var wasAsked = false
  /// Why the guest was not parked so far, for people.
  private(set) var obstacle = silence

  private static let silence = "the registry does not answer"

  /// How long after an attempt that ended the registry is asked again, in nanoseconds.
  static let pause: UInt64 = 100_000_000
  /// How long before the service manager would kill this process the guest is ended, at most a quarter of the time.
  private static let margin: UInt64 = 5_000_000_000
  /// How long stopping may take when the manager does not say, and at most.
  private static let usual: UInt64 = 60_000_000_000
  private static let longest: UInt64 = 600_000_000_000

  /// - Parameter stopNanoseconds: How long the service manager lets this process take; nil when it does not say.
  init(_ intent: StopIntent, now: UInt64, stopNanoseconds: UInt64?) {
    self.intent = intent
    let time = min(stopNanoseconds ?? Self.usual, Self.longest)
    deadline = now + time - min(Self.margin, time / 4)
    nextQuestion = intent == .park ? now : nil
  }

  /// The attempt, this or another one, left the guest where it is.
  ///
  /// - Parameter reason: Why, as far as this process knows.
  mutating func attemptEnded(now: UInt64, because reason: String? = nil) {
    guard intent == .park else { return }
    if let reason {
      obstacle = reason
    } else if obstacle == Self.silence {
      obstacle = "the registry ended the attempt, its journal says why"
    }
    nextQuestion = now + Self.pause
  }
}
