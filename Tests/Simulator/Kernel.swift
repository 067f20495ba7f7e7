import BatonWire

/// What LOCAL_SEND gave for a VM: good for one LOCAL_RECEIVE as long as that VM exists.
struct Token: Hashable {
  let vm: Int
  let handoff: UInt64
}

/// What a source saved when its guest stood still.
struct SavedState: Hashable {
  let handoff: UInt64
  /// The guest's clock then: older than the guest's last instruction when the clock has gone on.
  let clock: UInt64
  let token: Token?
}

/// The descriptors of one record, of custody, or in a process.
struct Descriptors: Hashable {
  var ram = false
  var state: SavedState?
  var vm: Int?

  static let none = Descriptors()
}

/// The part of the kernel that the protocol is about: where the guest's context is.
///
/// As kernel.pml: way `none` has no context, only RAM and saved state.
struct Kernel {
  enum Context: Hashable {
    case inVM(Int)
    case inToken(Token)
    case destroyed
  }

  let way: Way
  private(set) var context = Context.destroyed
  /// Raised whenever the guest enters KVM_RUN: what was saved before is stale then.
  var clock: UInt64 = 0
  private var lastVM = 0

  init(way: Way) { self.way = way }

  mutating func makeVM() -> Int {
    lastVM += 1
    return lastVM
  }

  /// A new life of the guest, launched in this VM.
  mutating func launch(in vm: Int) {
    context = .inVM(vm)
    clock += 1
  }

  mutating func localSend(from vm: Int, handoff: UInt64) -> Token? {
    guard context == .inVM(vm) else { return nil }
    let token = Token(vm: vm, handoff: handoff)
    context = .inToken(token)
    return token
  }

  /// LOCAL_RECEIVE: the first one wins.
  mutating func receive(_ token: Token?, into vm: Int) -> Bool {
    guard way == .token else { return true }
    guard let token, context == .inToken(token) else { return false }
    context = .inVM(vm)
    return true
  }

  /// Whether a state with this token could still be received.
  func isUsable(_ token: Token?) -> Bool {
    guard way == .token else { return true }
    guard let token else { return false }
    return context == .inToken(token)
  }

  func isIn(_ vm: Int?) -> Bool {
    guard way == .token else { return true }
    guard let vm else { return false }
    return context == .inVM(vm)
  }

  /// The VM whose last reference takes the context, or the unused token, along.
  var vmWithContext: Int? {
    guard way == .token else { return nil }
    switch context {
    case .inVM(let vm): return vm
    case .inToken(let token): return token.vm
    case .destroyed: return nil
    }
  }

  mutating func destroyContext() { context = .destroyed }
}
