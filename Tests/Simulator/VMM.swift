import BatonCore
import BatonWire

/// A simulated VMM process: the real machine of its side, and what it holds of the kernel's.
final class VMM {
  let id: ProcessID
  var isAlive = true
  /// Stopped by SIGSTOP.
  var isHung = false
  /// SIGKILL was sent to it and has not struck yet.
  var isSentenced = false
  /// Exactly one of these two is there.
  var successor: Successor?
  var source: Source?
  var link: Link?
  /// Inside KVM_RUN.
  var isExecuting = false
  /// How it hands the guest on once it owns it.
  let way: Way
  /// The VM it uses or will use.
  var vm: Int
  /// Made in prepare, to receive its own token into.
  var takeBackVM: Int?
  /// The source's VM descriptor that came with an offer (way `token`).
  var sourceVM: Int?
  /// VMs that came with a claim or with an order to take back (way `move`).
  var givenVMs: [Int] = []
  /// Guest RAM is open or mapped here.
  var hasRAM = false
  /// As a source: saved when the guest stood still.
  var saved: SavedState?
  /// As a successor: what came with the claim.
  var given: SavedState?
  /// The connection over which the claim came.
  var claimLink: Link?
  var manifest: Manifest?
  /// An order to prepare that was read and is not answered yet.
  var preparing: UInt64?
  /// A record that is written as soon as the process goes on.
  var saying: VMMMessage?
  /// How likely it is to be the next to do something.
  var speed: Int
  /// Cannot read anybody's state.
  var isIlliterate = false
  /// The registry has refused it and has nothing to do with it any more.
  var isRefused = false
  /// Refused, and not going to try again.
  var gaveUp = false
  /// As an owner: has asked to be parked, and nothing has come of it yet.
  var isParkAsked = false

  init(id: ProcessID, way: Way, vm: Int, speed: Int, successor: Successor) {
    self.id = id
    self.way = way
    self.vm = vm
    self.speed = speed
    self.successor = successor
  }

  var works: Bool { isAlive && !isHung }
  var isConnected: Bool { link?.isOpen ?? false }

  func refers(to vm: Int) -> Bool {
    isAlive && (self.vm == vm || takeBackVM == vm || sourceVM == vm || givenVMs.contains(vm))
  }

  /// The VMs out of which it may MOVE: as a source its own first, and what came with a record.
  var movableVMs: [Int] {
    guard let source else { return manifest?.way == .move ? givenVMs : [] }
    return source.way == .move ? [vm] + givenVMs : []
  }

  /// The state it would enter the guest from as a successor, if it has the baton.
  var baton: SavedState? {
    guard isAlive, let successor else { return nil }
    switch successor.state {
    case .claiming, .received: return given
    case .attached, .prepared, .refused, .running, .released: return nil
    }
  }

  /// The handoff whose outcome it waits for with its guest stopped.
  var stagedHandoff: UInt64? {
    guard isAlive, let source else { return nil }
    switch source.state {
    case .staged, .tookBack: return source.handoff
    case .running, .frozen, .contextSent, .released: return nil
    }
  }
}
