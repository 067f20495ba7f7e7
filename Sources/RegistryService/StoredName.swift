import BatonCore
import BatonWire

/// The name of a descriptor in the service manager's store: what it is, of which guest, in which epoch and
/// handoff. It is all that comes back with it.
///
/// `KIND-INDEX.EPOCH.HANDOFF.GUEST`; a guest's name may have dots and so stands last.
struct StoredName: Hashable {
  enum Kind: Hashable {
    /// What the registry knows beyond its journal; see ``StoredFacts``.
    case facts
    case ram(Int)
    case state
    /// The source's VM.
    case vm
    /// Way `move`: the VM into which the source takes back.
    case takeBackVM(Int)
    /// Way `move`: a successor's own VM.
    case successorVM(ProcessID, Int)
    case named(Int)
  }

  let kind: Kind
  let epoch: UInt64
  let handoff: UInt64
  let guest: GuestName

  var text: String { "\(kind.text).\(epoch).\(handoff).\(guest)" }

  init(_ kind: Kind, _ attempt: StoredAttempt) {
    self.kind = kind
    epoch = attempt.epoch
    handoff = attempt.handoff
    guest = attempt.guest
  }

  /// Nil when `text` is none of ours, or not written as we write it.
  init?(_ text: String) {
    let parts = text.split(separator: ".", maxSplits: 3, omittingEmptySubsequences: false)
    guard parts.count == 4, let kind = Kind(parts[0]), let epoch = UInt64(parts[1]),
      let handoff = UInt64(parts[2]), let guest = GuestName(String(parts[3]))
    else { return nil }
    self.kind = kind
    self.epoch = epoch
    self.handoff = handoff
    self.guest = guest
    guard self.text == text else { return nil }
  }

  var attempt: StoredAttempt { StoredAttempt(guest: guest, epoch: epoch, handoff: handoff) }
}

/// The handoff to which descriptors in the store belong.
struct StoredAttempt: Hashable {
  let guest: GuestName
  let epoch: UInt64
  let handoff: UInt64
}

extension StoredName.Kind {
  var text: String {
    switch self {
    case .facts: "facts"
    case .ram(let index): "ram-\(index)"
    case .state: "state"
    case .vm: "vm"
    case .takeBackVM(let index): "takeback-\(index)"
    case .successorVM(let process, let index): "successor-\(process.pid)-\(process.startTime)-\(index)"
    case .named(let index): "named-\(index)"
    }
  }

  init?(_ text: Substring) {
    let words = text.split(separator: "-", omittingEmptySubsequences: false)
    switch (words[0], words.count) {
    case ("facts", 1): self = .facts
    case ("state", 1): self = .state
    case ("vm", 1): self = .vm
    case ("ram", 2):
      guard let index = Int(words[1]) else { return nil }
      self = .ram(index)
    case ("takeback", 2):
      guard let index = Int(words[1]) else { return nil }
      self = .takeBackVM(index)
    case ("named", 2):
      guard let index = Int(words[1]) else { return nil }
      self = .named(index)
    case ("successor", 4):
      guard let pid = Int32(words[1]), let start = UInt64(words[2]), let index = Int(words[3]) else {
        return nil
      }
      self = .successorVM(ProcessID(pid: pid, startTime: start), index)
    default: return nil
    }
  }
}
