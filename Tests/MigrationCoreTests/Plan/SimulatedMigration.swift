import MigrationCore

/// A guest that writes, a path, and a clock that only they move.
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
    /// All of a set at once, and then nothing until the next time.
    case bursts(every: Double, set: Int)
  }

  let pageCount: Int
  let load: Load
  let path: SimulatedPath
  let standstillSeconds = 0.04
  let logSeconds = 0.01
  /// From 0 to 1: by how much rounds vary.
  var jitter = 0.0

  private var random: UInt64 = 0x9E37_79B9_7F4A_7C15
  private var dirty: [Bool]
  private var dirtyCount = 0
  /// Of the window of the trace that runs.
  private var windowDirty: Set<Int> = []
  private var cursor = 0
  private var growthCursor = 0
  private var isTraced = false
  private var owed = 0.0
  private var growthOwed = 0.0

  init(pageCount: Int, load: Load, pagesPerSecond: Double, jitter: Double = 0) {
    self.init(pageCount: pageCount, load: load, path: SimulatedPath(own: pagesPerSecond), jitter: jitter)
  }

  init(pageCount: Int, load: Load, path: SimulatedPath, jitter: Double = 0) {
    self.pageCount = pageCount
    self.load = load
    self.path = path
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
    if isTraced { windowDirty.insert(page) }
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
    case .bursts(let every, let set):
      for _ in 0..<take(1 / every, &owed) { for page in 0..<set { mark(page) } }
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
  ///
  /// - Parameter rate: The plan is told this one instead.
  mutating func facts(measured rate: Double? = nil) -> MigrationFacts {
    var curve = DirtyCurve(limitPages: UInt64(pageCount))
    var trace = DirtyTrace()
    _ = collect()
    isTraced = true
    for milliseconds in stride(from: 10, through: 3000, by: 10) {
      windowDirty = []
      run(0.01)
      trace.add(pages: UInt64(windowDirty.count), nanoseconds: 10_000_000)
      if [20, 50, 100, 200, 500, 1000, 2000, 3000].contains(milliseconds) {
        curve.add(pages: UInt64(dirtyCount), nanoseconds: UInt64(milliseconds) * 1_000_000)
      }
    }
    isTraced = false
    let pace = measuredPace()
    var rates = TransferRates()
    rates.encryptedPagesPerSecond = rate ?? pace.encryptedPagesPerSecond
    rates.ownDevicePagesPerSecond = pace.device.perSecond
    rates.targetDevicePagesPerSecond = pace.targetDevicePagesPerSecond
    var facts = MigrationFacts(
      pages: PageCounts(encrypted: UInt64(pageCount)), rates: rates, dirty: curve)
    facts.trace = trace
    facts.roundTripSeconds = Double(pace.roundTripNanoseconds) / 1e9
    facts.startSeconds = rate == nil ? pace.startSeconds(rates) : 0
    facts.standstillSeconds = standstillSeconds
    facts.logSeconds = logSeconds
    return facts
  }

  /// The meters after the first pages: three seconds of them, 4096 at most.
  private func measuredPace() -> PaceMeters {
    func nanoseconds(_ seconds: Double) -> UInt64 { 1_000_000_000 + UInt64(seconds * 1e9) }
    var pace = PaceMeters()
    pace.asked = nanoseconds(0)
    pace.answered(now: nanoseconds(path.roundTrip * 1.3))
    let arrivals = path.send(min(pageCount, 4096), isNew: true)
    var events: [(time: Double, isAnswer: Bool, number: Int)] = []
    for (number, arrival) in arrivals.enumerated() {
      events.append((arrival.made, false, number))
      events.append((arrival.acknowledged, true, number))
    }
    events.sort { ($0.time, $0.number, $0.isAnswer ? 1 : 0) < ($1.time, $1.number, $1.isAnswer ? 1 : 0) }
    for event in events where event.time < 3 {
      let arrival = arrivals[event.number]
      if event.isAnswer {
        pace.acknowledged(
          Acknowledgement(
            sequence: UInt64(event.number), pages: 0,
            deviceNanoseconds: UInt64(arrival.targetSeconds * 1e9)), now: nanoseconds(event.time))
      } else {
        pace.sent(
          PageCounts(encrypted: UInt64(arrival.pages)), sequence: UInt64(event.number),
          began: nanoseconds(arrival.began), made: nanoseconds(event.time))
        pace.device.add(
          UInt64(arrival.pages), nanoseconds: UInt64(Double(arrival.pages) / path.own * 1e9))
      }
    }
    return pace
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
      let took = path.seconds(Int(sending), isNew: pilot.round == 0) * shake + logSeconds
      run(took)
      elapsed += took
      let dirtied = collect()
      let decision = pilot.roundEnded(
        sent: PageCounts(encrypted: sending), nanoseconds: UInt64(took * 1e9),
        dirtied: PageCounts(encrypted: dirtied), elapsedNanoseconds: UInt64(elapsed * 1e9))
      switch decision {
      case .another: sending = dirtied
      case .stop, .giveUp:
        // What is sent last has no acknowledgement: the target says ready. Then the receipt goes.
        let pause = path.seconds(Int(dirtied)) + path.roundTrip / 2 + logSeconds + standstillSeconds
        return End(
          decision: decision, rounds: pilot.round, seconds: elapsed + pause, pauseSeconds: pause)
      }
    }
  }
}
