import LinuxOS
import RegistryInterface
import Systemd

/// The service manager, as all upgrades of a run share it. Upgrades under way do without a bus that is gone, the
/// registry tells how they end; the next one tries to reach it again.
final class ManagerConnection {
  private var bus: SystemBus?
  /// Jobs that were queued here, and those of them that have ended.
  private var awaited: Set<UnitJob> = []
  private var ended: [UInt32: UnitJob.End] = [:]
  /// Why the bus is not used any more.
  private var loss: String?
  /// Which connection this is; a job of an earlier one is not heard of any more.
  private(set) var generation = 0

  /// How long a bus that was there before, or a manager that executes itself anew, may take to be back.
  private static let patience: UInt64 = 5_000_000_000
  private static let interval: UInt64 = 100_000_000

  /// Connects to the system bus.
  init() throws(CommandFailure) { try connect() }

  /// Connects again if the bus went away.
  func connect() throws(CommandFailure) {
    guard bus == nil else { return }
    let end = MonotonicClock.now() &+ Self.patience
    while bus == nil {
      do throws(SystemBus.Failure) {
        let bus = try SystemBus()
        // Nothing is said to the bus before the first question.
        _ = try bus.read(.activeState, of: "-.mount")
        self.bus = bus
      } catch {
        let comesBack = generation > 0 || error.kind == .managerAway
        guard comesBack, MonotonicClock.now() < end else { throw Self.failure(error, unit: nil) }
        pause()
      }
    }
    generation += 1
    loss = nil
    awaited = []
    ended = [:]
  }

  /// Why a job that was queued on a connection is not heard of any more.
  func loss(since generation: Int) -> String? {
    loss ?? (generation == self.generation ? nil : "the system bus went away")
  }

  /// Whether the bus is there, as far as is known.
  var isConnected: Bool { bus != nil }

  /// What to wait for.
  var interest: Poller.Interest? { bus?.interest }

  /// Asks something.
  ///
  /// - Throws: When the manager refuses, or the bus is gone.
  func ask<Answer>(
    _ question: (SystemBus) throws(SystemBus.Failure) -> Answer
  ) throws(SystemBus.Failure) -> Answer {
    guard let bus else {
      throw SystemBus.Failure(kind: .disconnected, sentence: loss ?? "the system bus is gone")
    }
    let end = MonotonicClock.now() &+ Self.patience
    while true {
      do throws(SystemBus.Failure) {
        return try question(bus)
      } catch {
        switch error.kind {
        case .managerAway where MonotonicClock.now() < end:
          // A start that was asked for twice is one job.
          pause()
          continue
        case .noBus, .disconnected:
          self.bus = nil
          loss = error.sentence
        case .managerAway, .notAllowed, .noSuchUnit, .unitUnusable, .refused: break
        }
        throw error
      }
    }
  }

  private func pause() {
    var nothing: [Poller.Interest] = []
    _ = try? Poller.wait(&nothing, timeoutNanoseconds: Self.interval)
  }

  /// Queues the start of a unit.
  func start(_ unit: String) throws(SystemBus.Failure) -> UnitJob {
    let job = try ask { bus throws(SystemBus.Failure) in try bus.start(unit) }
    awaited.insert(job)
    return job
  }

  /// How a job ended, once.
  func end(of job: UnitJob) -> UnitJob.End? {
    guard let end = ended[job.id] else { return nil }
    forget(job)
    return end
  }

  /// Nobody will ask how a job ended.
  func forget(_ job: UnitJob) {
    awaited.remove(job)
    ended[job.id] = nil
  }

  /// Whether a job has ended and nobody has asked yet. What the manager says while it is asked something else is
  /// read at once, so that ``interest`` does not tell.
  var hasNews: Bool { !ended.isEmpty }

  /// Takes what the manager has said, without waiting.
  func listen() {
    let news = (try? ask { bus throws(SystemBus.Failure) in try bus.takeEndedJobs() }) ?? [:]
    for job in awaited { ended[job.id] = news[job.id] ?? ended[job.id] }
  }

  /// What a refusal of the manager means for an operator.
  static func failure(_ failure: SystemBus.Failure, unit: String?) -> CommandFailure {
    let subject = unit.map { "\($0) was not started" } ?? "units cannot be started"
    switch failure.kind {
    case .noBus, .disconnected, .managerAway:
      return CommandFailure(
        subject, cause: failure.sentence,
        remedy: "check that dbus.socket runs, or give the successor with --exec", status: .failure)
    case .notAllowed:
      return CommandFailure(
        subject, cause: failure.sentence, remedy: "run it as root, or allow it by polkit", status: .notAllowed
      )
    case .noSuchUnit, .unitUnusable, .refused:
      return CommandFailure(
        subject, cause: failure.sentence, remedy: unit.map { "see systemctl status \($0)" }, status: .failure)
    }
  }
}
