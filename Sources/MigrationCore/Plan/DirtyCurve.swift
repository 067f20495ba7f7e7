import Glibc

/// How many distinct pages a guest writes in a time, from samples.
///
/// A guest that writes the same pages again and again stops adding to the count once it has been through its working
/// set; one that writes ever new pages does not. The samples are fitted by a working set and a steady growth:
/// *D(t) = c·t + A·s(t/τ)* with *s(x) = 1 − e⁻ˣ* (pages at random) or *min(x, 1)* (one after another).
public struct DirtyCurve: Hashable, Sendable {
  private struct Sample: Hashable {
    var seconds: Double
    var pages: Double
    var weight: Double
  }

  private enum Shape: Hashable {
    case random
    case sweep

    func share(_ x: Double) -> Double {
      switch self {
      case .random: -expm1(-x)
      case .sweep: min(x, 1)
      }
    }
  }

  private struct Fit: Hashable {
    var growth = 0.0
    var set = 0.0
    var tau = 1.0
    var shape = Shape.random
    var error = 0.0

    func pages(_ seconds: Double) -> Double { growth * seconds + set * shape.share(seconds / tau) }
  }

  /// There are not more pages than these.
  public let limitPages: UInt64
  private var samples: [Sample] = []
  private var fit = Fit()

  /// A guest that writes nothing, as far as is known.
  ///
  /// - Parameter limitPages: How many pages the guest has.
  public init(limitPages: UInt64) {
    self.limitPages = limitPages
  }

  /// Whether anything was measured.
  public var hasSamples: Bool { !samples.isEmpty }

  /// Adds what was counted from a cleared log on.
  ///
  /// - Parameters:
  ///   - pages: Distinct pages written.
  ///   - nanoseconds: In this time; 0 tells nothing and is left out.
  ///
  /// What was measured before about a time like this is replaced, and the rest counts a little less.
  public mutating func add(pages: UInt64, nanoseconds: UInt64) {
    guard nanoseconds > 0 else { return }
    let seconds = Double(nanoseconds) / 1e9
    samples.removeAll { abs($0.seconds - seconds) < seconds / 10 }
    for index in samples.indices { samples[index].weight *= 0.9 }
    if samples.count >= 32, let oldest = samples.indices.min(by: { samples[$0].weight < samples[$1].weight })
    {
      samples.remove(at: oldest)
    }
    samples.append(Sample(seconds: seconds, pages: Double(min(pages, limitPages)), weight: 1))
    fit = bestFit()
  }

  /// Distinct pages written in a time.
  public func pages(inSeconds seconds: Double) -> Double {
    guard seconds > 0 else { return 0 }
    // A path that moves nothing takes for ever.
    guard seconds.isFinite else {
      return fit.growth > 0 ? Double(limitPages) : min(Double(limitPages), fit.set)
    }
    return min(Double(limitPages), fit.pages(seconds))
  }

  /// Distinct pages written in one second.
  public var pagesPerSecond: Double { pages(inSeconds: 1) }

  /// The pages that are written again and again; nil when the guest writes ever new ones, or that was not seen.
  public var workingSetPages: UInt64? {
    guard fit.set > 0, fit.growth * 10 * fit.tau < fit.set else { return nil }
    return UInt64(min(Double(limitPages), fit.set))
  }

  /// Two percent on the average. What fits so well is not made more complicated.
  private static let closeEnough = 0.0004

  private func bestFit() -> Fit {
    let steady = line()
    // A straight line is believed until something else is clearly better: a bend that is read into noise promises
    // far too little for longer times. So is a working set without growth: little growth in a second is much in
    // the minutes of a long round.
    guard samples.count >= 3, steady.error > Self.closeEnough else { return steady }
    let times = samples.map(\.seconds)
    guard let least = times.min(), let most = times.max(), most > least else { return steady }
    var set = steady
    var both = steady
    let steps = 96
    let ratio = (most * 2) / (least / 2)
    for step in 0...steps {
      let tau = least / 2 * pow(ratio, Double(step) / Double(steps))
      for shape in [Shape.random, .sweep] {
        let (alone, withGrowth) = bend(tau: tau, shape)
        if alone.error < set.error { set = alone }
        if withGrowth.error < both.error { both = withGrowth }
      }
    }
    let best = set.error < max(Self.closeEnough, both.error * 2) ? set : both
    return best.error < steady.error / 2 ? best : steady
  }

  /// The least squares of relative errors for a steady growth.
  private func line() -> Fit {
    var (tt, td) = (0.0, 0.0)
    for sample in samples {
      let weight = weight(sample)
      tt += weight * sample.seconds * sample.seconds
      td += weight * sample.seconds * sample.pages
    }
    var fit = Fit()
    fit.growth = tt > 0 ? td / tt : 0
    fit.error = error(of: fit)
    return fit
  }

  /// The least squares of relative errors for a working set, and for one with growth.
  private func bend(tau: Double, _ shape: Shape) -> (alone: Fit, withGrowth: Fit) {
    var (tt, ts, ss, td, sd) = (0.0, 0.0, 0.0, 0.0, 0.0)
    for sample in samples {
      let weight = weight(sample)
      let share = shape.share(sample.seconds / tau)
      tt += weight * sample.seconds * sample.seconds
      ts += weight * sample.seconds * share
      ss += weight * share * share
      td += weight * sample.seconds * sample.pages
      sd += weight * share * sample.pages
    }
    var alone = Fit(set: ss > 0 ? sd / ss : 0, tau: tau, shape: shape)
    alone.error = error(of: alone)
    let determinant = tt * ss - ts * ts
    guard determinant > 1e-12 * tt * ss else { return (alone, alone) }
    var both = Fit(
      growth: (td * ss - sd * ts) / determinant, set: (sd * tt - td * ts) / determinant, tau: tau,
      shape: shape)
    guard both.growth >= 0, both.set >= 0 else { return (alone, alone) }
    both.error = error(of: both)
    return (alone, both)
  }

  /// By relative errors, but a time in which by chance nothing was written says little: a guest that writes in bursts
  /// would seem to write nothing ever.
  private func weight(_ sample: Sample) -> Double {
    let expected = max(sample.pages, slope * sample.seconds) + 1
    return sample.weight / (expected * expected)
  }

  /// Pages a second over the longest time there is.
  private var slope: Double {
    samples.max { $0.seconds < $1.seconds }.map { $0.pages / $0.seconds } ?? 0
  }

  private func error(of fit: Fit) -> Double {
    var (sum, weights) = (0.0, 0.0)
    for sample in samples {
      let difference = fit.pages(sample.seconds) - sample.pages
      sum += weight(sample) * difference * difference
      weights += sample.weight
    }
    return weights > 0 ? sum / weights : 0
  }
}
