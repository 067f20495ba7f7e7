import BatonCore
import BatonWire
import LinuxOS
import RegistryInterface
import Systemd

/// A guest that is lost or ended.
struct OverGuest {
  let name: GuestName
  /// Since when, `CLOCK_MONOTONIC` in nanoseconds; after a restart since then.
  let since: UInt64
}

/// Guests that are over are remembered for a while, so that people see how they ended, and then forgotten:
/// a registry that lives long must not grow with every guest that it ever had.
extension RegistryDriver {
  /// Takes up what a note says about a guest's end.
  ///
  /// - Returns: Whether there may be something to forget.
  func noticeEnd(_ stamped: StampedNote) -> Bool {
    switch stamped.note {
    // Of an arrival that came to nothing the guest is as before, which may be over.
    case .ended, .lost, .departureConfirmed, .arrivalFailed:
      over.removeAll { $0.name == stamped.guest }
      over.append(OverGuest(name: stamped.guest, since: stamped.moment))
      return true
    case .died: return over.count > configuration.remembering.guests
    case .ownerRegistered, .attached, .attemptStarted, .offered, .ready, .freezeOrdered, .staged, .claimed,
      .committed, .runOrdered, .running, .rollingBack, .takenBack, .aborted, .fenced, .alarm,
      .migrationStarted,
      .departing, .departed, .migrationStayed, .arriving, .arrived, .arrivalCommitted:
      return false
    }
  }

  /// Forgets the guests that are over for long, and the oldest ones of too many. A guest of which a process
  /// is left that still has to go is kept until that process is seen dead.
  func forgetOverGuests() {
    let now = MonotonicClock.now()
    let lifetime = configuration.remembering.seconds * 1_000_000_000
    var excess = over.count - configuration.remembering.guests
    var kept: [OverGuest] = []
    for guest in over {
      if !isOver(guest.name) {
        excess -= 1
      } else if excess > 0 || now - min(now, guest.since) >= lifetime, forget(guest.name) {
        excess -= 1
      } else {
        kept.append(guest)
      }
    }
    over = kept
    armForgetTimer(now, lifetime)
  }

  private func armForgetTimer(_ now: UInt64, _ lifetime: UInt64) {
    forgetTimer = over.first.map { first in
      // One that could not be forgotten when it was time is looked at again a second later.
      loop.schedule(at: max(first.since &+ lifetime, now &+ 1_000_000_000)) { [unowned self] in
        forgetOverGuests()
      }
    }
  }

  /// Whether the guest did not begin anew since its end was noticed.
  private func isOver(_ name: GuestName) -> Bool {
    guard let machine = registry[name], isOver(machine.record.phase) else { return false }
    return machine.record.phase != .departed || machine.leavingMigration == nil
  }

  private func forget(_ name: GuestName) -> Bool {
    let last = view(name)
    guard registry.forget(name) else { return false }
    let context = guests.removeValue(forKey: name)
    for deadline in context?.deadlines.values.map({ $0 }) ?? [] { deadline.timer.cancel() }
    journal.forget(name)
    write(.info, .guestForgotten, "guest \(name) is over and forgotten", [("BATON_VM", name.text)])
    observer?(TimelineEvent(kind: .guestGone, guest: name, last: last))
    return true
  }
}
