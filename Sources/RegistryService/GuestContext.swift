import BatonCore
import BatonWire
import LinuxOS
import RegistryInterface
import Systemd

/// What the registry knows about a guest beyond what its machine decides with.
final class GuestContext {
  let name: GuestName
  /// Whose guest it is: who else may take part is measured by this.
  var user: UInt32?
  var custody = Custody()
  /// What goes with custody into the descriptor store; nil when nothing did.
  var facts: StoredFacts?
  /// To whom the descriptors in custody are charged.
  var custodyUser: UInt32?
  var timeline: Timeline
  /// What travels with the guest, as its owner said last.
  var manifest: Manifest?
  var deadlines: [Deadline: ArmedDeadline] = [:]
  var alarm: Alarm?
  /// What that alarm is about.
  var silence: RegistryDriver.Silence?
  /// Since when the guest waits in custody with nobody to take it, in microseconds since 1970.
  var waitingSince: UInt64?
  /// Waits until a guest that is to be taken over at once is an alarm.
  var waitingTimer: LoopTimer?
  /// Waits for the owner's answer to its verdict.
  var verdictTimer: LoopTimer?
  /// The alarm about its waiting was told.
  var isWaitTold = false
  /// The last entry in the journal.
  var journalled: GuestRecord?
  /// Why the registry itself turned something down; says more than the machine's reason.
  var ownReason: (refusal: BatonWire.Refusal, detail: String)?
  /// Who said that it does not take part in the attempt.
  var declinedBy: ProcessID?
  var preflights: [PreflightRequestState] = []
  var isAnnounced = false
  /// The migration under way, or the last one.
  var migration: Migration?
  /// It is only to be planned, and the plan is made.
  var isPlanMade = false
  /// Who owns the guest or did last, also after its end.
  private(set) var owner: Owner?
  /// Its owner's slot, as the descriptor store has it: the owner ended before this registry began.
  var storedSlot: Slot?
  var barred = BarredSlots()
  /// The last of its processes that was seen dead.
  var lastDeath: ProcessID?
  /// How the guest came to its end.
  var end: End?

  struct ArmedDeadline {
    let timer: LoopTimer
    let expires: UInt64
  }

  struct Owner {
    let id: ProcessID
    let unit: String?
  }

  struct End {
    let sentence: String
    /// Microseconds since 1970.
    let wallTime: UInt64
  }

  init(name: GuestName) {
    self.name = name
    timeline = Timeline(guest: name)
  }

  /// A process owns the guest.
  func takeOwner(_ process: WatchedProcess) {
    user = process.user
    takeOwner(process.id, in: process.unit)
  }

  /// A process owns the guest that has ended already.
  func takeOwner(_ id: ProcessID, in unit: String?) {
    owner = Owner(id: id, unit: unit)
    storedSlot = nil
  }

  /// The slot of who owns the guest, or did last; nil outside of slots.
  var ownerSlot: Slot? {
    guard let owner else { return storedSlot }
    guard let unit = owner.unit.flatMap({ SlotUnit($0) }), unit.guest == name.text else { return nil }
    return unit.slot
  }
}

/// Somebody waits for the owner's answer to a preflight.
final class PreflightRequestState {
  private var completion: (([PreflightCheck]?) -> Void)?
  var timer: LoopTimer?

  init(_ completion: @escaping ([PreflightCheck]?) -> Void) { self.completion = completion }

  /// - Parameter checks: Nil when no answer came.
  func complete(_ checks: [PreflightCheck]?) {
    timer?.cancel()
    let completion = completion
    self.completion = nil
    completion?(checks)
  }
}
