import MigrationCore

/// Where copying stands: what this round has to send, and what was written meanwhile.
struct CopyState: ~Copyable {
  /// Pages that this round has to send, and where it is among them.
  var pending: PageBitmap
  var cursor = 0
  /// Pages written since the round began.
  var dirty: PageBitmap
  /// Pages outside of it are zeros that nobody has touched.
  var populated: PageBitmap?
  /// The batch that is being written, and how much of it was.
  var batch: PageBatch
  var written: Int?
  /// Of this round: what it has to send, and what it sent.
  var toSend = PageCounts()
  var sent = PageCounts()
  /// Of all rounds.
  var sentBefore = PageCounts()
  var began: UInt64 = 0
  var roundBegan: UInt64 = 0
  /// Pages dirtied in the first round, sampled for the plan.
  var curve: DirtyCurve
  var samples = 0
  /// The same in short times, one after the other: the one since `traced`.
  var trace = DirtyTrace()
  var traced: UInt64 = 0
  var window: PageBitmap
  /// Pages that were written in each of these times; nil before the first one.
  var always: PageBitmap?
  var pilot: MigrationPilot?
  /// What was planned before the pilot took over.
  var decided: MigrationPlan?
  /// When the bandwidth that the operator allows has room for the next batch.
  var nextBatch: UInt64 = 0
  /// When the guest was stopped; 0 before.
  var stopped: UInt64 = 0
  var state: [UInt8] = []
  var hasBegun = false
  /// How long it took last to collect what the guest wrote.
  var logNanoseconds: UInt64 = 0
  /// When a plan began to send pages one by one, and how many of them it sent; 0 before.
  var echoBegan: UInt64 = 0
  var echoes = 0

  /// The most pages in a batch. A slow device fills small ones, so that the target's acknowledgements come soon.
  let batchPages: Int

  init(pageCount: Int, isSlow: Bool) {
    pending = PageBitmap(pageCount: pageCount)
    dirty = PageBitmap(pageCount: pageCount)
    window = PageBitmap(pageCount: pageCount)
    batchPages = isSlow ? 16 : PageBatch.maximumPages
    batch = PageBatch(pages: batchPages)
    curve = DirtyCurve(limitPages: UInt64(pageCount))
  }
}
