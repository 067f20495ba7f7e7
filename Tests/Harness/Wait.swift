import LinuxOS

/// Waiting, always with an end.
public enum Wait {
  /// Lets other threads and processes run for a while.
  public static func pause(milliseconds: UInt64) {
    _ = try? Poller.waitReadable(-1, timeoutNanoseconds: milliseconds * 1_000_000)
  }

  /// Asks again every 2 ms until there is an answer.
  ///
  /// - Throws: ``HarnessFailure`` that says what was waited for when the time is over.
  public static func until<Answer>(
    _ what: String, seconds: Double = 20, _ ask: () throws -> Answer?
  ) throws -> Answer {
    let deadline = MonotonicClock.now() + UInt64(seconds * 1e9)
    while true {
      if let answer = try ask() { return answer }
      guard MonotonicClock.now() < deadline else {
        throw HarnessFailure("\(what) did not come within \(seconds) s")
      }
      pause(milliseconds: 2)
    }
  }

  /// Whether something holds within the time.
  public static func holds(seconds: Double = 20, _ condition: () throws -> Bool) rethrows -> Bool {
    let deadline = MonotonicClock.now() + UInt64(seconds * 1e9)
    while try !condition() {
      guard MonotonicClock.now() < deadline else { return false }
      pause(milliseconds: 2)
    }
    return true
  }
}
