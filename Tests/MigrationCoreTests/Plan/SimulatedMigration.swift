import MigrationCore

/// A guest that writes, a path that moves so many pages a second, and a clock that only they move.
struct SimulatedMigration {
  /// What the guest writes.
  enum Load: Sendable {
    case nothing
    /// At random in a set.
    case random(perSecond: Double, set: Int)
    /// One after another, round and round.
    case sweep(perSecond: Double, set: Int)
    /// A small set all the time, and slowly all the rest.
    case both(perSecond: Double, set: Int, growth: Double)
  }

  let pageCount: Int
  let load: Load
  /// What the path really moves; the plan is told something else in some tests.
  var pagesPerSecond: Double
  let endSeconds = 0.05
  let overhead = 0.01
  /// From 0 to 1: by how much rounds vary.
  var jitter = 0.0

  private var random: UInt64 = 0x9E37_79B9_7F4A_7C15
  private var dirty: [Bool]
  private var dirtyCount = 0
  private var cursor = 0
  private var growthCursor = 0
  private var owed = 0.0
  private var growthOwed = 0.0

  init(pageCount: Int, load: Load, pagesPerSecond: Double, jitter: Double = 0) {
    self.pageCount = pageCount
    self.load = load
    self.pagesPerSecond = pagesPerSecond
    self.jitter = jitter
    dirty = Array(repeating: false, count: pageCount)
  }

  private mutating func next() -> UInt64 {
    random ^= random << 13
    random ^= random >> 7
    random ^= random << 17
    return random
  }

  private mutating func mark(_ page: Int) {
    if !dirty[page] { dirtyCount += 1 }
    dirty[page] = true
  }

  /// The guest runs for a time.
  mutating func run(_ seconds: Double) {
    func take(_ perSecond: Double, _ owed: inout Double) -> Int {
      owed += perSecond * seconds
      let count = Int(owed)
      owed -= Double(count)
      return count
    }
    switch load {
    case .nothing: break
    case .random(let perSecond, let set):
      for _ in 0..<take(perSecond, &owed) { mark(Int(next() % UInt64(set))) }
    case .sweep(let perSecond, let set):
      for _ in 0..<take(perSecond, &owed) {
        mark(cursor)
        cursor = (cursor + 1) % set
      }
    case .both(let perSecond, let set, let growth):
      for _ in 0..<take(perSecond, &owed) { mark(Int(next() % UInt64(set))) }
      for _ in 0..<take(growth, &growthOwed) {
        mark(set + growthCursor)
        growthCursor = (growthCursor + 1) % (pageCount - set)
      }
    }
  }

  /// What was written since the last time.
  private mutating func collect() -> UInt64 {
    defer {
      dirtyCount = 0
      for page in dirty.indices { dirty[page] = false }
    }
    return UInt64(dirtyCount)
  }

  /// Measures for three seconds, as a VMM does before it plans.
  mutating func facts(measured rate: Double? = nil) -> MigrationFacts {
    var curve = DirtyCurve(limitPages: UInt64(pageCount))
    _ = collect()
    var spent = 0.0
    for milliseconds in [20, 50, 100, 200, 500, 1000, 2000, 3000] {
      run(Double(milliseconds) / 1000 - spent)
      spent = Double(milliseconds) / 1000
      curve.add(pages: UInt64(dirtyCount), nanoseconds: UInt64(milliseconds) * 1_000_000)
    }
    var rates = TransferRates()
    rates.encryptedPagesPerSecond = rate ?? pagesPerSecond
    var facts = MigrationFacts(
      pages: PageCounts(encrypted: UInt64(pageCount)), rates: rates, dirty: curve)
    facts.endSeconds = endSeconds
    facts.roundOverheadSeconds = overhead
    return facts
  }

  /// How it ended, and when.
  struct End {
    let decision: MigrationDecision
    let rounds: Int
    let seconds: Double
    let pauseSeconds: Double
  }

  /// Moves the guest by what the pilot says.
  mutating func move(_ plan: MigrationPlan) -> End {
    var pilot = MigrationPilot(plan)
    var sending = UInt64(pageCount)
    var elapsed = 0.0
    _ = collect()
    while true {
      let shake = 1 + jitter * (Double(next() % 2001) / 1000 - 1)
      let took = Double(sending) / pagesPerSecond * shake + overhead
      run(took)
      elapsed += took
      let dirtied = collect()
      let decision = pilot.roundEnded(
        sent: PageCounts(encrypted: sending), nanoseconds: UInt64(took * 1e9),
        dirtied: PageCounts(encrypted: dirtied), elapsedNanoseconds: UInt64(elapsed * 1e9))
      switch decision {
      case .another: sending = dirtied
      case .stop, .giveUp:
        let pause = Double(dirtied) / pagesPerSecond + endSeconds
        return End(
          decision: decision, rounds: pilot.round, seconds: elapsed + pause, pauseSeconds: pause)
      }
    }
  }
}
