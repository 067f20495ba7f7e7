import RegistryInterface

/// Figures of a migration for people.
enum MigrationText {
  /// `240 ms`, `5.2 s`, `4 min 10 s`, `2 h 41 min`: as exact as anybody needs it of what was estimated.
  static func rough(milliseconds: UInt64) -> String {
    switch milliseconds {
    case 0..<1000: return "\(milliseconds) ms"
    case 1000..<120_000:
      let tenths = (milliseconds + 50) / 100
      return tenths % 10 == 0 ? "\(tenths / 10) s" : "\(tenths / 10).\(tenths % 10) s"
    case _:
      let seconds = milliseconds / 1000
      return seconds < 7200
        ? "\(seconds / 60) min \(seconds % 60) s" : "\(seconds / 3600) h \(seconds / 60 % 60) min"
    }
  }

  /// `118 MiB/s`
  static func rate(bytesPerSecond: UInt64) -> String { "\(PlainText.size(bytes: bytesPerSecond))/s" }

  /// A bar of exactly `width` columns.
  ///
  /// - Parameter share: How much is full, from 0 to 1.
  static func bar(_ share: Double, width: Int, unicode: Bool) -> String {
    let full = min(width, max(0, Int((share * Double(width)).rounded(.down))))
    let (done, left) = unicode ? ("█", "░") : ("#", ".")
    return String(repeating: done, count: full) + String(repeating: left, count: width - full)
  }
}

extension Migration {
  /// How much of all is done, by time, from 0 to 1.
  var share: Double {
    switch phase {
    case .connecting, .checking, .planning: return 0
    case .copying, .finishing, .failed:
      let done = progress?.elapsedMilliseconds ?? 0
      let all = done + (progress?.expectedMilliseconds ?? 0)
      return all == 0 ? 0 : Double(done) / Double(all)
    case .ready, .departing, .departed, .arriving, .arrived, .done: return 1
    }
  }

  /// Where it stands: a few words.
  var words: String {
    if cancelling, outcome == .inProgress { return "cancelling" }
    switch phase {
    case .connecting: return "connecting"
    case .checking: return "checking"
    case .planning: return "measuring"
    case .copying: return "round \(max(1, progress?.round ?? 1))"
    case .finishing: return "stopped, the last pages"
    case .ready: return "all is there"
    case .departing: return "handing over"
    case .departed: return "given up here, starting there"
    case .arriving: return "arriving"
    case .arrived: return "arrived"
    case .done: return "done"
    case .failed: return "failed"
    }
  }

  /// One clause about where it is to or from.
  var direction: String {
    switch role {
    case .source: "to \(peer)"
    case .target: "from \(peer)"
    }
  }
}
