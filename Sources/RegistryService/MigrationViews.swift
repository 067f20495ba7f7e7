import BatonWire
import RegistryInterface

extension MigrationPhase {
  /// What the source's VMM says, as far as it is its word that counts.
  init?(_ phase: MigrationReport.Phase) {
    switch phase {
    case .connecting: self = .connecting
    case .checking: self = .checking
    case .planning: self = .planning
    case .copying: self = .copying
    case .finishing: self = .finishing
    case .ready: self = .ready
    case .departed, .done, .failed: return nil
    }
  }
}

extension MigrationProgress {
  init(_ report: MigrationReport) {
    self.init()
    round = report.round
    pagesTotal = report.pagesTotal
    pagesSent = report.pagesSent
    pagesRemaining = report.pagesRemaining
    bytesSent = report.bytesSent
    pagesPerSecond = report.pagesPerSecond
    dirtyPagesPerSecond = report.dirtyPagesPerSecond
    expectedMilliseconds = report.expectedMilliseconds
    expectedPauseMilliseconds = report.expectedPauseMilliseconds
    willConverge = report.willConverge
    elapsedMilliseconds = report.elapsedMilliseconds
    pauseMicroseconds = report.pauseMicroseconds
    expectedRounds = report.expectedRounds
    encryptedPages = report.encryptedPages
    plainPages = report.plainPages
    zeroPages = report.zeroPages
    linkBytesPerSecond = report.linkBytesPerSecond
    workingSetPages = report.workingSetPages
    maxPauseMilliseconds = report.maxPauseMilliseconds
    expectedPauseMicroseconds = report.expectedPauseMicroseconds
    text = report.text.isEmpty ? nil : report.text
    guard !report.checks.isEmpty else { return }
    checks = report.checks.map { line in
      var check = Check(
        .owner, CheckVerdict(line.verdict), line.detail, remedy: line.remedy.isEmpty ? nil : line.remedy)
      check.name = line.name
      return check
    }
  }
}
