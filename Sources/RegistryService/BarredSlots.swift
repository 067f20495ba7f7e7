import BatonCore
import RegistryInterface

/// Which slots of a guest failed in this epoch, so that the same program is not tried again and again: each try
/// may cost the guest a pause, or a claimant that dies with its context.
///
/// Pure. A commit clears the bars, a taking back does not: the guest's owner is the same. Kept in memory only.
struct BarredSlots {
  /// The slots that are barred, slot a first.
  private(set) var bars: [BarredSlot] = []
  /// Who has come to be the guest's next owner, and from where.
  private var hopeful: [ProcessID: Slot?] = [:]
  /// Who was sent away through no fault of its own, and may still have to be ended.
  private var excused: Set<ProcessID> = []

  /// Whether a process has come and its attempt is not over.
  func isHopeful(_ process: ProcessID) -> Bool { hopeful[process] != nil }

  /// A process wants to be the next owner.
  mutating func attached(_ process: ProcessID, from slot: Slot?) {
    hopeful.updateValue(slot, forKey: process)
  }

  /// Its attempt is over, and it was not at fault.
  mutating func dismissed(_ process: ProcessID) {
    if hopeful.removeValue(forKey: process) != nil { excused.insert(process) }
  }

  /// Its attempt is over, and it was at fault.
  ///
  /// - Parameters:
  ///   - sentence: What it did, one clause.
  ///   - wallTime: Now, in microseconds since 1970.
  /// - Returns: The bar, if there is a new one.
  mutating func failed(_ process: ProcessID, _ sentence: String, at wallTime: UInt64) -> BarredSlot? {
    guard let entry = hopeful.removeValue(forKey: process), let slot = entry else { return nil }
    return bar(slot, sentence, at: wallTime)
  }

  /// A process had to be ended: a successor, or a former owner that did not let go.
  ///
  /// - Parameter slot: Where it lives.
  /// - Returns: The bar, if there is a new one.
  mutating func fenced(
    _ process: ProcessID, in slot: Slot?, _ sentence: String, at wallTime: UInt64
  ) -> BarredSlot? {
    hopeful.removeValue(forKey: process)
    guard let slot, !excused.contains(process) else { return nil }
    return bar(slot, sentence, at: wallTime)
  }

  /// A process is gone: nothing is to be remembered of it.
  mutating func gone(_ process: ProcessID) { excused.remove(process) }

  private mutating func bar(_ slot: Slot, _ sentence: String, at wallTime: UInt64) -> BarredSlot? {
    guard !bars.contains(where: { $0.slot == slot }) else { return nil }
    let bar = BarredSlot(slot: slot, sentence: sentence, sinceRealtimeMicroseconds: wallTime)
    bars.append(bar)
    bars.sort { $0.slot.rawValue < $1.slot.rawValue }
    return bar
  }

  /// Somebody owns the next epoch: what failed before is forgotten, who waits goes on waiting.
  mutating func committed(to process: ProcessID) {
    hopeful.removeValue(forKey: process)
    bars = []
  }

  /// An operator asks: every slot may try again.
  ///
  /// - Returns: The slots that were barred.
  mutating func allowAll() -> [Slot] {
    defer { bars = [] }
    return bars.map(\.slot)
  }

  /// The guest begins, or is over.
  mutating func reset() { self = BarredSlots() }
}
