import LinuxOS

/// Signals by which people and units talk to a VMM.
final class SignalQueue {
  enum Request {
    /// SIGTERM, SIGINT: end the guest properly.
    case end
    /// SIGUSR1: write the guest's report.
    case report
  }

  private let descriptor: SignalDescriptor

  /// Call it before any other thread exists.
  init() throws(SystemError) { descriptor = try SignalDescriptor([15, 2, 10]) }

  func next() -> Request? {
    guard let signal = descriptor.next() else { return nil }
    return signal == 10 ? .report : .end
  }

  /// Waits for a signal or for another descriptor.
  func wait(also other: Int32, timeoutNanoseconds: UInt64?) throws(SystemError) {
    var interests = [Poller.Interest(other), Poller.Interest(descriptor.descriptor.number)]
    _ = try Poller.wait(&interests, timeoutNanoseconds: timeoutNanoseconds)
  }
}
