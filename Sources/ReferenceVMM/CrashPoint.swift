import LinuxOS
import Synchronization

/// Named places at which a test lets a VMM die or stand still.
///
/// `BATON_CRASH_AT=NAME` ends the process with SIGKILL there, `BATON_STOP_AT=NAME` stops it with
/// SIGSTOP the first time; without these variables a crash point does nothing.
public enum CrashPoint: String, Sendable, CaseIterable {
  // The source
  case sourcePrepare, sourceOffered, sourceFrozen, sourceContextSent, sourceStaged, sourceTookBack
  case sourceReleased
  // The successor
  case successorOffered, successorReady, successorClaimed, successorContextReceived
  case successorReceived, successorRunning

  private static let crashing = CrashPoint(rawValue: ThisProcess.environment("BATON_CRASH_AT") ?? "")
  private static let stopping = CrashPoint(rawValue: ThisProcess.environment("BATON_STOP_AT") ?? "")

  private static let hasStopped = Atomic<Bool>(false)

  func reached() {
    if Self.crashing == self { ThisProcess.signalSelf(9) }
    if Self.stopping == self, !Self.hasStopped.exchange(true, ordering: .relaxed) {
      ThisProcess.signalSelf(19)
    }
  }
}
