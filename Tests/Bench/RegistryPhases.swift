import FoundationEssentials
import RegistryInterface

/// What a registry has measured since it started.
enum RegistryPhases {
  /// The parts of the blackout, in the order of time.
  static func read(_ workspace: Workspace, socket: String) throws -> [Results.Phase] {
    let text = try workspace.control(["metrics", "--json"], socket: socket, seconds: 20)
    let metrics = try JSONDecoder().decode(MetricsReply.self, from: Data(text.utf8))
    return PhaseName.allCases.filter(\.isBlackout).compactMap { name in
      metrics.histograms.first { $0.name == name.rawValue }.map(phase)
    }
  }

  private static func phase(_ histogram: LatencyHistogram) -> Results.Phase {
    Results.Phase(
      name: histogram.name,
      figures: Figures(
        count: Int(clamping: histogram.count), minimumNanoseconds: histogram.minimumMicroseconds * 1000,
        p50Nanoseconds: histogram.p50Microseconds * 1000, p99Nanoseconds: histogram.p99Microseconds * 1000,
        maximumNanoseconds: histogram.maximumMicroseconds * 1000))
  }
}
