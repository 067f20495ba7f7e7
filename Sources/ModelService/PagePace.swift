import LinuxOS
import SEVABI
import SEVDevice

/// Makes the Secure Processor as slow at migrating pages as real ones are (350 to 450 a second).
struct PagePace {
  private let nanosecondsPerPage: UInt64
  /// When it has done what it was given (`CLOCK_MONOTONIC`).
  private var free: UInt64 = 0

  /// - Parameter pagesPerSecond: nil for no limit.
  init(pagesPerSecond: UInt64?) {
    nanosecondsPerPage = pagesPerSecond.map { 1_000_000_000 / max(1, $0) } ?? 0
  }

  /// Works at a page. There is one processor: whoever else wants something of it waits too.
  mutating func work(at request: borrowing PendingRequest) {
    guard nanosecondsPerPage > 0, request.movesPage else { return }
    let now = MonotonicClock.now()
    free = max(free, now) + nanosecondsPerPage
    _ = try? Poller.waitReadable(-1, timeoutNanoseconds: free - now)
  }
}

extension PendingRequest {
  /// Whether it is one of the commands that take a page to or from another machine.
  var movesPage: Bool {
    guard kind == .memoryEncryptOperation, let bytes = argument.bytes, bytes.count >= 4 else { return false }
    let pages: [SEVCommandID] = [.sendUpdateData, .sendUpdateVMSA, .receiveUpdateData, .receiveUpdateVMSA]
    return pages.contains { $0.rawValue == bytes.span.uint32(at: 0) }
  }
}
