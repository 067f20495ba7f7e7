import RegistryInterface

/// What the sidecar asks its own registry. Calls wait for the answer; each is made on a thread of its own pool.
protocol RegistryQuestions: Sendable {
  /// Whether this registry gave the guest of a migration up.
  func departure(of migration: String) throws(RemoteFault) -> DepartureAnswer
  /// The host that a migration's guest went to, or was to go to; nil when this registry knows no such migration.
  func destination(of migration: String) throws(RemoteFault) -> HostAddress?
  /// How far the guest of a migration came here.
  func arrival(of migration: String) throws(RemoteFault) -> ArrivalState
  /// Settles an arrival with the source's receipt: the guest runs here.
  func settle(guest: String, migration: String, receipt: ReceiptText) throws(RemoteFault) -> ArrivalState
  /// The target runs the guest: the receipt is no longer needed.
  func confirm(guest: String, migration: String) throws(RemoteFault)
}
