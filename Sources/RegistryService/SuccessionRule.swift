import BatonWire
import RegistryInterface

/// Decides who may come to a guest as its VMM, and from where.
///
/// Pure: names of units and numbers of users in, an objection or none out. The guest's machine then decides
/// what becomes of who was let in.
///
/// * Who comes from a slot's unit is a VMM of that unit's guest and of no other.
/// * While the owner lives in a slot, its successor comes from the other slot of the same guest; once it is
///   gone, from either. The service manager put both where they are, so that users are not compared.
/// * Outside of slots a successor is of the guest's user, root, or of a user that was allowed.
/// * A slot that failed in this epoch is refused until an operator asks for an upgrade.
struct SuccessionRule {
  /// Users that may be a successor for any guest outside of slots.
  let allowedUsers: Set<UInt32>

  /// Who comes.
  struct Applicant: Hashable {
    let user: UInt32
    /// The systemd unit it is in.
    let unit: String?
    let standing: Standing
  }

  /// What an applicant says, and whether the guest's machine knows it.
  enum Standing: Hashable {
    /// It owns the guest, had its baton, or waits for it: what it says is for the machine.
    case known
    /// It says that it has something of the guest, as after the journal was lost.
    case returning
    /// It wants the guest.
    case newcomer
  }

  /// The guest as far as it matters here.
  struct Guest: Hashable {
    let name: GuestName
    /// Nil when nobody has the guest: it is not known, lost or ended.
    var owner: Owner?
    var barred: [BarredSlot] = []
  }

  /// Who owns the guest, or did last while it waits for a next owner.
  struct Owner: Hashable {
    /// Nil when it is not known whose guest it is.
    let user: UInt32?
    let slot: Slot?
    let isAlive: Bool
  }

  /// Why an applicant is not let in.
  struct Objection: Error, Hashable {
    let refusal: BatonWire.Refusal
    let sentence: String
  }

  /// What speaks against an applicant, or nil.
  func objection(to applicant: Applicant, for guest: Guest) -> Objection? {
    let unit = applicant.unit.flatMap { SlotUnit($0) }
    if let unit, unit.guest != guest.name.text {
      return Objection(
        refusal: .wrongPeer,
        sentence:
          "\(applicant.unit ?? "") is the unit of guest \(unit.guest), and its processes may not be a VMM of guest "
          + "\(guest.name); nothing was changed, start the VMM in \(unit.slot.unit(of: guest.name.text))")
    }
    guard applicant.standing != .known, let owner = guest.owner else { return nil }
    return origin(of: applicant, unit?.slot, guest, owner) ?? bar(applicant, unit?.slot, guest)
  }

  /// What speaks against a user's VMM that waits for a guest which left this host as a guest of `former`: it may come
  /// back, and is not to come to somebody else. Nil for `former`: nobody remembers whose it was.
  func objection(toArrivalBy user: UInt32, of name: GuestName, formerlyOf former: UInt32?) -> Objection? {
    guard let former, user != 0, user != former, !allowedUsers.contains(user) else { return nil }
    return Objection(
      refusal: .wrongPeer,
      sentence: "\(Refusal.wrongPeer.sentence): guest \(name) left this host as a guest of user \(former)")
  }

  private func origin(
    of applicant: Applicant, _ slot: Slot?, _ guest: Guest, _ owner: Owner
  ) -> Objection? {
    guard let home = owner.slot else {
      let isAllowed =
        applicant.user == 0 || allowedUsers.contains(applicant.user) || owner.user == nil
        || owner.user == applicant.user
      if isAllowed { return nil }
      return Objection(
        refusal: .wrongPeer,
        sentence:
          "\(Refusal.wrongPeer.sentence): guest \(guest.name) is not a guest of user \(applicant.user)")
    }
    let name = guest.name.text
    let allowed =
      owner.isAlive
      ? home.other.unit(of: name) : "\(home.unit(of: name)) or \(home.other.unit(of: name))"
    let place = applicant.unit ?? "a process outside of units"
    let whose = "the VMM of guest \(guest.name) \(owner.isAlive ? "is" : "was") in \(home.unit(of: name))"
    if slot == nil {
      return Objection(
        refusal: .wrongPeer,
        sentence:
          "\(whose), and \(place) is no slot of it; the guest is not changed, start its successor with "
          + "systemctl start \(allowed), or batonctl upgrade \(name)")
    }
    if owner.isAlive, slot == home, applicant.standing == .newcomer {
      return Objection(
        refusal: .wrongPeer,
        sentence:
          "\(whose), and its successor has to be in the other slot; the guest is not changed, start it with "
          + "systemctl start \(allowed), or batonctl upgrade \(name)")
    }
    return nil
  }

  private func bar(_ applicant: Applicant, _ slot: Slot?, _ guest: Guest) -> Objection? {
    guard applicant.standing == .newcomer, let slot,
      let bar = guest.barred.first(where: { $0.slot == slot })
    else { return nil }
    return Objection(
      refusal: .fencedInThisEpoch,
      sentence:
        "slot \(slot.rawValue) of guest \(guest.name) is barred: \(bar.sentence); the guest is not changed, find "
        + "out why, and let the slot try again with batonctl upgrade \(guest.name)")
  }
}
