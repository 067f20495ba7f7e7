public import BatonWire

/// A migration that is to begin: everything about it was made just now, outside of the machines, which have no
/// generator of random numbers and no hash.
public struct MigrationStart: Hashable, Sendable {
  public var id: MigrationID
  public var receipt: DepartureReceipt
  /// What the receipt fits.
  public var lock: DepartureLock
  public var request: MigrationRequest

  public init(id: MigrationID, receipt: DepartureReceipt, lock: DepartureLock, request: MigrationRequest) {
    self.id = id
    self.receipt = receipt
    self.lock = lock
    self.request = request
  }
}
