import LinuxOS
import Synchronization
import Systemd

/// Lets a VMM that does not own the guest yet end at once when it is asked to, whatever it is waiting for: the
/// guest stays where it is. From ``close()`` on signals wait until the guest is here.
final class EarlyEnd: Sendable {
  private enum Phase: UInt8 { case open, closed, ending }

  private let phase = Atomic<UInt8>(Phase.open.rawValue)
  private let signals: SignalQueue
  private let log: VMMLog

  /// A thread waits for the signal, because everything before the claim waits for the registry.
  init(_ signals: SignalQueue, _ log: VMMLog) throws(SystemError) {
    self.signals = signals
    self.log = log
    _ = try OSThread(name: "early end") { [self] in run() }
  }

  /// A baton, or the guest itself, is in this process: it may not just go any more.
  ///
  /// Does not return when the end was asked for before.
  func close() {
    guard !move(to: .closed) else { return }
    // What came meanwhile goes with this process, and the registry sees its end.
    while true { _ = try? Poller.waitReadable(-1, timeoutNanoseconds: nil) }
  }

  private func move(to next: Phase) -> Bool {
    phase.compareExchange(
      expected: Phase.open.rawValue, desired: next.rawValue, ordering: .acquiringAndReleasing
    ).exchanged
  }

  private func run() {
    do throws(SystemError) {
      try signals.waitForEnd()
    } catch {
      log.say(.warning, "signals cannot be waited for: \(error)")
      return
    }
    guard move(to: .ending) else { return }
    log.say(.notice, "asked to end before the guest was here; it stays where it was")
    log.status(.gaveUp)
    log.event("gaveUp")
    ThisProcess.endAtOnce(status: VMMOutcome.ended.exitStatus)
  }
}
