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
  // The source of a migration to another host
  case sourceMigrationConnected = "source-migration-connected"
  case sourceMigrationChecked = "source-migration-checked"
  /// After the first batch.
  case sourceMigrationCopying = "source-migration-copying"
  case sourceMigrationStopped = "source-migration-stopped"
  /// Everything was sent, the target is not ready yet.
  case sourceMigrationSent = "source-migration-sent"
  case sourceMigrationDeparting = "source-migration-departing"
  /// After SEND_FINISH.
  case sourceMigrationFinished = "source-migration-finished"
  case sourceMigrationDeparted = "source-migration-departed"
  case sourceMigrationConfirmed = "source-migration-confirmed"
  // Its target
  case targetMigrationConnected = "target-migration-connected"
  case targetMigrationChecked = "target-migration-checked"
  /// After the first batch.
  case targetMigrationReceiving = "target-migration-receiving"
  /// After RECEIVE_FINISH.
  case targetMigrationReceived = "target-migration-received"
  case targetMigrationRestored = "target-migration-restored"
  case targetMigrationArrived = "target-migration-arrived"
  case targetMigrationPresented = "target-migration-presented"
  case targetMigrationRunning = "target-migration-running"

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
