import RegistryInterface

/// What an upgrade is to do.
struct UpgradePlan {
  /// Who starts the successors.
  enum Starter {
    /// The service manager: the other slot of the guest.
    case slots(ManagerConnection)
    /// This program: program and arguments, and the file for their output.
    case program([String], log: String)
    /// Something else.
    case others
  }

  let guests: [String]
  let maximumParallel: Int
  /// No further guest is begun once so many have failed.
  let maximumFailures: Int
  let deadlineMicroseconds: UInt64?
  let ignoresPreflight: Bool
  let starter: Starter
  let socketPath: String
  let timeoutNanoseconds: UInt64?

  /// A text of `--exec` or `--exec-log` for a guest.
  static func fill(_ text: String, _ guest: String) -> String {
    text.replacing("{guest}", with: guest)
  }
}
