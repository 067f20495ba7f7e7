import LinuxOS

/// Signals by which people and units talk to a VMM.
final class SignalQueue: Sendable {
  enum Request {
    /// SIGTERM: end the guest properly, or let it be parked when the unit is restarted.
    case terminate
    /// SIGINT: end the guest properly.
    case interrupt
    /// SIGUSR1: write the guest's report.
    case report
  }

  private let ending: SignalDescriptor
  private let reporting: SignalDescriptor

  /// Call it before any other thread exists.
  init() throws(SystemError) {
    ending = try SignalDescriptor([15, 2])
    reporting = try SignalDescriptor([10])
  }

  func next() -> Request? {
    if let signal = ending.next() { return signal == 15 ? .terminate : .interrupt }
    return reporting.next() == nil ? nil : .report
  }

  /// Waits for a signal or for another descriptor.
  func wait(also other: Int32, timeoutNanoseconds: UInt64?) throws(SystemError) {
    try wait(also: [Poller.Interest(other)], timeoutNanoseconds: timeoutNanoseconds)
  }

  /// Waits for a signal or for other descriptors, as ``Poller/wait(_:timeoutNanoseconds:awakeUntil:)`` does.
  func wait(
    also others: [Poller.Interest], timeoutNanoseconds: UInt64?, awakeUntil: UInt64 = 0
  ) throws(SystemError) {
    var interests =
      [Poller.Interest(ending.descriptor.number), Poller.Interest(reporting.descriptor.number)] + others
    _ = try Poller.wait(&interests, timeoutNanoseconds: timeoutNanoseconds, awakeUntil: awakeUntil)
  }

  /// Waits for a signal that asks for the end, and leaves it where it is.
  func waitForEnd() throws(SystemError) {
    _ = try Poller.waitReadable(ending.descriptor.number, timeoutNanoseconds: nil)
  }
}
