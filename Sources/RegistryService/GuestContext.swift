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
  /// Since when the guest waits in custody with nobody to take it, in microseconds since 1970.
  var waitingSince: UInt64?
  /// The last entry in the journal.
  var journalled: GuestRecord?
  /// Why the registry itself turned something down; says more than the machine's reason.
  var ownReason: (refusal: BatonWire.Refusal, detail: String)?
  var preflights: [PreflightRequestState] = []
  var isAnnounced = false

  struct ArmedDeadline {
    let timer: LoopTimer
    let expires: UInt64
  }

  init(name: GuestName) {
    self.name = name
    timeline = Timeline(guest: name)
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
