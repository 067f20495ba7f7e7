/// How often what happened, over all runs.
struct Coverage {
  enum Item: Int, CaseIterable {
    case runs, runsWithoutFault, steps, starts, attempts, committed, takenBack, wentOn, aborted, lost, ended,
      parked
    case alarms, fenced, kills, hangs, breaks, registryRestarts, crashesBetweenEffects, restoredCustody,
      journalsLost, settledEarly
    case moved, movedBack, foundMovedAway, receivedBack
    case returnedBatons, foundUsed, successorDeclined, sourceDeclined, secondSuccessors, refused, lateWakeups
    case parksAsked, ownersParked, takenFromCustody, operatorWords, unsettled
    case deadlines, operatorAborts, guestsBegunAnew, probesCommitted, releases
  }

  private var counts = [Int](repeating: 0, count: Item.allCases.count)

  mutating func count(_ item: Item, _ times: Int = 1) { counts[item.rawValue] += times }

  static func += (a: inout Coverage, b: Coverage) {
    for index in a.counts.indices { a.counts[index] += b.counts[index] }
  }

  var lines: [String] {
    Item.allCases.map { item in
      let number = String(counts[item.rawValue])
      return String(repeating: " ", count: max(0, 12 - number.count)) + number + "  \(item)"
    }
  }
}
