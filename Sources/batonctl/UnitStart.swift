import LinuxOS
import RegistryInterface
import Systemd

/// The start of a successor's unit: from the wish to the end of its job.
///
/// What it finds is news and a cause, never a verdict: whether the guest has a new owner only the registry knows.
final class UnitStart {
  /// Why there will be no successor.
  struct Failure {
    let cause: String
    let remedy: String?
    /// What a script should get while the guest still runs at its source.
    let status: CommandStatus?
  }

  private enum Stage {
    /// The old process of this slot may still be going.
    case wanted(until: UInt64)
    case following(UnitJob, generation: Int)
    case over
  }

  let unit: String
  private let manager: ManagerConnection
  private var stage: Stage
  /// What the unit said last about itself.
  private(set) var status = ""
  private var nextLook: UInt64 = 0
  private var hasSaidWaiting = false

  /// How long a process that was released may take to be gone.
  private static let patience: UInt64 = 10_000_000_000
  private static let interval: UInt64 = 250_000_000

  init(_ unit: String, _ manager: ManagerConnection) {
    self.unit = unit
    self.manager = manager
    stage = .wanted(until: MonotonicClock.now() &+ Self.patience)
  }

  deinit {
    switch stage {
    case .following(let job, _): manager.forget(job)
    case .wanted, .over: break
    }
  }

  /// Whether there is a unit that can be started; asked before anything is recorded.
  static func check(_ unit: String, _ manager: ManagerConnection) throws(CommandFailure) {
    try manager.connect()
    let state: String
    do throws(SystemBus.Failure) {
      state = try manager.ask { bus throws(SystemBus.Failure) in try bus.read(.loadState, of: unit) }
    } catch {
      throw ManagerConnection.failure(error, unit: unit)
    }
    guard state != "loaded" else { return }
    let cause =
      switch state {
      case "not-found": "there is no such unit"
      case "masked": "the unit is masked"
      case _: "the unit's file cannot be used (\(state))"
      }
    throw CommandFailure(
      "\(unit) was not started", cause: cause,
      remedy: state == "not-found"
        ? "install Baton's units, or give the successor with --exec" : "see systemctl status \(unit)",
      status: .failure)
  }

  /// Whether the job has ended, or was given up.
  var isOver: Bool {
    switch stage {
    case .over: true
    case .wanted, .following: false
    }
  }

  /// When to look again even if nothing comes.
  var wakeTime: UInt64 { isOver ? .max : nextLook }

  /// Does what can be done now.
  ///
  /// - Returns: What people should know, and why no successor will come, if that is certain.
  func step() -> (notes: [String], failure: Failure?) {
    switch stage {
    case .over: return ([], nil)
    case .wanted(let end): return start(before: end)
    case .following(let job, let generation): return follow(job, generation)
    }
  }

  private func start(before end: UInt64) -> (notes: [String], failure: Failure?) {
    let now = MonotonicClock.now()
    guard now >= nextLook else { return ([], nil) }
    nextLook = now &+ Self.interval
    do throws(SystemBus.Failure) {
      let state = try read(.activeState)
      if state == "active" {
        guard now >= end else {
          defer { hasSaidWaiting = true }
          return (hasSaidWaiting ? [] : ["waiting for the process that is still in \(unit)"], nil)
        }
        stage = .over
        let pid = try read(.mainPID)
        return (
          [],
          Failure(
            cause: "\(unit) runs already, as process \(pid), and does not own the guest",
            remedy: "look at it, then systemctl stop \(unit)", status: nil)
        )
      }
      let job = try manager.start(unit)
      stage = .following(job, generation: manager.generation)
      return ([], nil)
    } catch {
      // A bus that is restarted is back in a moment, and a start that was asked for twice is one job.
      if now < end, !manager.isConnected, (try? manager.connect()) != nil {
        nextLook = now
        return ([], nil)
      }
      stage = .over
      let failure = ManagerConnection.failure(error, unit: unit)
      let status: CommandStatus? = failure.status == .notAllowed ? .notAllowed : nil
      return (
        [], Failure(cause: "\(failure.whatFailed): \(failure.cause)", remedy: failure.remedy, status: status)
      )
    }
  }

  private func follow(_ job: UnitJob, _ generation: Int) -> (notes: [String], failure: Failure?) {
    if let loss = manager.loss(since: generation) {
      stage = .over
      return (["\(loss); the registry tells how it ends"], nil)
    }
    if let end = manager.end(of: job) { return ended(end) }
    let now = MonotonicClock.now()
    guard now >= nextLook else { return ([], nil) }
    nextLook = now &+ Self.interval
    let said = (try? read(.statusText)) ?? status
    let isNew = said != status && !said.isEmpty
    status = said
    // A manager that executed itself anew may have ended the job without a word.
    let isQueued = try? manager.ask { bus throws(SystemBus.Failure) in try bus.isQueued(job) }
    if isQueued == false {
      manager.listen()
      return ended(manager.end(of: job) ?? .forgotten)
    }
    return (isNew ? [said] : [], nil)
  }

  private func ended(_ end: UnitJob.End) -> (notes: [String], failure: Failure?) {
    stage = .over
    guard end != .done else { return ([], nil) }
    let state = (try? read(.activeState)) ?? ""
    let facts = UnitFacts(
      unit: unit, end: end, status: (try? read(.statusText)) ?? status, result: (try? read(.result)) ?? "",
      exitCode: (try? read(.execMainCode)) ?? "", exitStatus: (try? read(.execMainStatus)) ?? "")
    // A process that is still there may become the owner, whatever its job came to.
    guard state == "failed" || state == "inactive" else { return ([facts.sentence], nil) }
    return ([], Failure(cause: facts.sentence, remedy: facts.remedy, status: nil))
  }

  private func read(_ property: UnitProperty) throws(SystemBus.Failure) -> String {
    let unit = unit
    return try manager.ask { bus throws(SystemBus.Failure) in try bus.read(property, of: unit) }
  }
}
