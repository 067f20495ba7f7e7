import LinuxOS
import Systemd

/// Asks the service manager what it is about to do with this process's unit.
struct UnitQuestion {
  let answer: StopIntent.Answer
  /// How long stopping may take before the manager kills, in nanoseconds; nil when it does not say.
  let stopNanoseconds: UInt64?

  /// How long each answer may take, in nanoseconds. The guest runs on meanwhile.
  private static let limit: UInt64 = 3_000_000_000

  /// - Parameter unit: The unit of which this is the main process.
  static func ask(about unit: String) -> UnitQuestion {
    do throws(SystemBus.Failure) {
      let bus = try SystemBus(limit: limit)
      let kind = try bus.pendingJob(of: unit)?.kind
      let isLate = (kind == nil || kind == .start) && (try? bus.read(.result, of: unit)) == "timeout"
      let microseconds = (try? bus.read(.timeoutStop, of: unit)).flatMap { UInt64($0) }
      return UnitQuestion(
        answer: isLate ? .startTookTooLong : .job(kind),
        stopNanoseconds: microseconds.map { $0 > .max / 1000 ? .max : $0 * 1000 })
    } catch {
      return UnitQuestion(answer: .unknown(error.sentence), stopNanoseconds: nil)
    }
  }
}
