/// Two devices that take turns at batches of pages, and the way between them; a clock that only they move.
struct SimulatedPath: Sendable {
  /// What each device does, in pages a second.
  var own: Double
  var target = Double.infinity
  /// There and back, in seconds.
  var roundTrip = 0.0
  /// Batches that may be on their way without having been acknowledged; a new connection begins with one.
  var window = Int.max

  static let batch = 16

  /// A batch that is in the target's RAM.
  struct Arrival {
    let pages: Int
    /// When its making began, when it was ready, and when its acknowledgement came.
    let began: Double
    let made: Double
    let acknowledged: Double
    /// What the target's device has worked until then.
    let targetSeconds: Double
  }

  /// - Parameter isNew: The connection has carried nothing yet.
  func send(_ pageCount: Int, isNew: Bool) -> [Arrival] {
    var arrivals: [Arrival] = []
    var free = (own: 0.0, target: 0.0)
    var worked = 0.0
    var left = pageCount
    while left > 0 {
      let pages = min(left, Self.batch)
      let began = free.own
      let made = began + Double(pages) / own
      var leaves = made
      // Each acknowledgement lets two batches go until the window is open.
      let number = arrivals.count
      let waitsFor = isNew && number > 0 ? max((number - 1) / 2, number - window) : number - window
      if waitsFor >= 0 { leaves = max(leaves, arrivals[waitsFor].acknowledged) }
      free.own = leaves
      worked += Double(pages) / target
      free.target = max(free.target, leaves + roundTrip / 2) + Double(pages) / target
      arrivals.append(
        Arrival(
          pages: pages, began: began, made: made, acknowledged: free.target + roundTrip / 2,
          targetSeconds: worked))
      left -= pages
    }
    return arrivals
  }

  /// How long a round takes until everything is acknowledged.
  func seconds(_ pageCount: Int, isNew: Bool = false) -> Double {
    send(pageCount, isNew: isNew).last?.acknowledged ?? roundTrip
  }
}
