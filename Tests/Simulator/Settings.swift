import BatonWire

/// What a seed makes of a run: drawn once, before the first step.
struct Settings {
  /// How VMMs hand the guest on; each draws one of them.
  var ways: [Way]
  /// Whether what keeps the guest alive without its VMM is given along: the VM of way `token`, and the other
  /// VMs of way `move`.
  var hasCustody: Bool
  /// Whether custody outlives the registry in the service manager's descriptor store.
  var storesCustody: Bool
  var successors: Int
  var faults: Int
  /// A fault every so many steps while an attempt is under way, and otherwise.
  var faultEvery: Int
  var activeSteps: Int
  var mayLoseJournal: Bool
  var beginsWithoutJournal: Bool
  /// How often owners ask to be parked.
  var parks: Int
  var breakage: Breakage?

  /// - Parameter others: Chance for what came later, so that seeds from before mean what they meant.
  init(random: inout RandomSource, others: inout RandomSource, breakage: Breakage?) {
    ways = random.pick([[.none], [.token], [.move], [.move], [.token, .move]])
    hasCustody = ways != [.none] && random.once(in: 2)
    successors = 1 + random.below(5)
    let draw = random.below(10)
    faults = draw < 1 ? 0 : draw < 5 ? 1 : draw < 8 ? 2 + random.below(2) : 4 + random.below(5)
    faultEvery = [3, 6, 12, 24][random.below(4)]
    activeSteps = 30 + random.below(50 * successors)
    mayLoseJournal = random.once(in: 12)
    beginsWithoutJournal = random.once(in: 2)
    storesCustody = random.once(in: 2)
    parks = others.once(in: 2) ? 1 + others.below(4) : 0
    if others.once(in: 10) {
      // Only here nothing in the kernel says whether anybody has run a guest since its journal was lost.
      ways = [.none]
      mayLoseJournal = true
      faults = max(faults, 3)
      faultEvery = 3
    }
    self.breakage = breakage
    if breakage != nil, faults == 0 { faults = 3 }
    if breakage == .reuseNumbers { mayLoseJournal = true }
    if breakage?.isOfParking ?? false { parks = 4 }
    if breakage == .forgetReleasedOwner {
      storesCustody = true
      mayLoseJournal = false
      faults = max(faults, 4)
      faultEvery = 3
    }
    if let way = breakage?.way {
      ways = [way]
      hasCustody = true
    }
  }
}
