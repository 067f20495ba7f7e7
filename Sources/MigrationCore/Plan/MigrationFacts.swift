/// What is measured before a guest is moved.
public struct MigrationFacts: Hashable, Sendable {
  /// The pages of the first round: all that the guest has.
  public var pages: PageCounts
  /// What the path moves.
  public var rates: TransferRates
  /// What the guest writes.
  public var dirty: DirtyCurve
  /// How evenly it writes it.
  public var trace = DirtyTrace()
  /// What it wrote in each of the times that the trace is made of: it is always dirty.
  public var alwaysDirty = PageCounts()
  /// How much of what the guest writes is encrypted, from 0 to 1.
  public var dirtyEncryptedShare: Double = 1
  /// The way to the target and back.
  public var roundTripSeconds: Double = 0
  /// What the first round takes besides its pages: until the path is at its pace, and the way of the last one.
  public var startSeconds: Double = 0
  /// Collecting the dirty log.
  public var logSeconds: Double = 0
  /// What the pause takes besides pages, dirty log and round trips: state, registries, the firmware's FINISH.
  public var standstillSeconds: Double = 0

  /// Facts; the rest is as over no distance and with no work besides pages.
  public init(pages: PageCounts, rates: TransferRates, dirty: DirtyCurve) {
    self.pages = pages
    self.rates = rates
    self.dirty = dirty
  }

  /// What a round takes besides its pages. It ends when the target has said that it has all of them.
  public var roundOverheadSeconds: Double { roundTripSeconds + logSeconds }

  /// What the pause takes besides its pages. There are three ways in it: of what is sent last, of the target's `ready`,
  /// and of the receipt.
  public var endSeconds: Double { 1.5 * roundTripSeconds + logSeconds + standstillSeconds }

  /// How long pages take in a round of their own or in the pause.
  func secondsAlone(for pages: PageCounts) -> Double {
    rates.secondsAlone(for: pages, roundTripSeconds: roundTripSeconds)
  }

  /// What the guest writes in a time that begins somewhere in what was seen of it.
  func dirtied(from start: Double, seconds: Double) -> PageCounts {
    let usual = dirty.pages(inSeconds: seconds)
    guard let seen = trace.pages(from: start, seconds: seconds) else { return kinds(usual) }
    let some = kinds(min(seen.sum, max(usual, seen.most)))
    return some.total > alwaysDirty.total ? some : alwaysDirty
  }

  /// Written pages by kind.
  func kinds(_ dirtied: Double) -> PageCounts {
    let total = UInt64(max(0, dirtied).rounded())
    let encrypted = min(total, UInt64((Double(total) * min(max(dirtyEncryptedShare, 0), 1)).rounded()))
    return PageCounts(encrypted: encrypted, plain: total - encrypted)
  }
}

/// What the operator allows.
public struct MigrationLimits: Hashable, Sendable {
  /// The longest pause.
  public var maxPauseSeconds: Double = 0.3
  /// The longest time in all; nil is none.
  public var maxSeconds: Double?
  /// Whether to stop the guest for as long as it takes when no number of rounds brings the pause below the limit.
  public var allowsNonconvergence = false

  /// 300 ms, and all the time that it takes.
  public init() {}

  /// Limits as a request has them.
  ///
  /// - Parameters:
  ///   - maxPauseMilliseconds: The longest pause.
  ///   - maxTimeSeconds: The longest time in all; 0 is none.
  ///   - allowsNonconvergence: Whether the pause may be longer when there is no other way.
  public init(maxPauseMilliseconds: UInt32, maxTimeSeconds: UInt32, allowsNonconvergence: Bool) {
    maxPauseSeconds = Double(maxPauseMilliseconds) / 1000
    maxSeconds = maxTimeSeconds == 0 ? nil : Double(maxTimeSeconds)
    self.allowsNonconvergence = allowsNonconvergence
  }
}
