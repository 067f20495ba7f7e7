public import BatonWire

/// The side of a VMM that receives a guest from another host.
///
/// Pure. Only the verdict of this host's registry lets it run the guest, and that one wants the receipt of the
/// source's.
public struct Arrival: Hashable, Sendable {
  /// Where it stands, as a first record says it.
  public private(set) var arriving: Arriving
  /// What was shown, to be shown again on a renewed connection.
  public private(set) var receipt: DepartureReceipt?
  private var withdrawal: VMMMessage?

  public init(_ arriving: Arriving) { self.arriving = arriving }

  public enum Action: Hashable, Sendable {
    case run(epoch: UInt64)
    case release(Refusal?)
  }

  /// Takes an order; nil when it is old or does not fit, and so changes nothing.
  public mutating func take(_ order: RegistryMessage) -> Action? {
    switch order {
    case .run(let epoch):
      // Nothing is left of it here that could run.
      guard withdrawal == nil else { return .release(nil) }
      return arriving.isArrived && epoch > arriving.epoch ? .run(epoch: epoch) : nil
    case .release(let refusal): return .release(refusal)
    case .welcome, .prepare, .offered, .freeze, .claim, .takeBack, .refusal, .preflight, .migrate, .depart,
      .cancelMigration, .arrivalJournalled:
      return nil
    }
  }

  /// Everything that came is restored.
  public mutating func arrived() -> VMMMessage {
    arriving.isArrived = true
    return .arrived(arriving.id)
  }

  /// The source's side has shown that it gave the guest up.
  public mutating func present(_ receipt: DepartureReceipt) -> VMMMessage {
    self.receipt = receipt
    return .receipt(arriving.id, receipt)
  }

  /// Nothing comes of it: this process has given up what came, or never had all of it.
  public mutating func withdraw(_ refusal: Refusal, _ text: String) -> VMMMessage {
    receipt = nil
    let message = VMMMessage.stays(arriving.id, refusal, text)
    withdrawal = message
    return message
  }

  /// What has to be said again after the first record of a renewed connection, since it may not have arrived.
  public var unanswered: VMMMessage? {
    if let withdrawal { return withdrawal }
    return arriving.isArrived ? receipt.map { .receipt(arriving.id, $0) } : nil
  }

  /// The receipt did not fit.
  public mutating func forgetReceipt() { receipt = nil }

  public var standing: Standing { .arriving(arriving) }
}
