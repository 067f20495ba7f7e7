import Glibc

/// How much is done a second, from samples. What was measured lately counts more, so that the figure follows a
/// device that slows down.
public struct RateMeter: Hashable, Sendable {
  /// After so many seconds of work a sample counts half.
  public let halfLifeSeconds: Double
  /// All that was done, in units.
  public private(set) var total: UInt64 = 0
  private var units = 0.0
  private var seconds = 0.0

  /// A meter without samples.
  ///
  /// - Parameter halfLifeSeconds: Counted in time of work, so that waiting forgets nothing; above 0.
  public init(halfLifeSeconds: Double = 2) {
    precondition(halfLifeSeconds > 0, "a meter forgets in a time above 0")
    self.halfLifeSeconds = halfLifeSeconds
  }

  /// Adds a sample.
  ///
  /// - Parameters:
  ///   - amount: What was done: pages, bytes.
  ///   - nanoseconds: How long the work took.
  public mutating func add(_ amount: UInt64, nanoseconds: UInt64) {
    let took = Double(nanoseconds) / 1e9
    let memory = exp2(-took / halfLifeSeconds)
    units = units * memory + Double(amount)
    seconds = seconds * memory + took
    total &+= amount
  }

  /// Units a second; nil before anything took time.
  public var perSecond: Double? { seconds > 0 ? units / seconds : nil }
}
