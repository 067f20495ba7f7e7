public import LinuxOS

/// Keeps the service manager's patience up while a job of this unit makes slow progress: a thread says every few
/// seconds that more time is needed, until it is told to stop or its own limit is reached.
public final class TimeoutExtension: Sendable {
  private let end: EventDescriptor
  private let limit: UInt64

  /// How far each extension reaches, and how often one is asked for, in nanoseconds.
  private static let reach: UInt64 = 15_000_000_000
  private static let interval: UInt64 = 5_000_000_000

  /// Begins; the first extension is asked for at once. Nothing happens without a service manager.
  ///
  /// - Parameter limit: After how many nanoseconds nothing more is asked for, so that a job does come to an end.
  public init(limit: UInt64) throws(SystemError) {
    end = try EventDescriptor()
    self.limit = MonotonicClock.now() &+ limit
    guard ServiceManager.isListening else { return }
    _ = try OSThread(name: "timeouts") { [self] in run() }
  }

  /// Asks for nothing more.
  public func stop() { end.signal() }

  private func run() {
    while MonotonicClock.now() < limit {
      ServiceManager.extendTimeout(nanoseconds: Self.reach)
      guard let isOver = try? Poller.waitReadable(end.descriptor.number, timeoutNanoseconds: Self.interval),
        !isOver
      else { return }
    }
  }
}
