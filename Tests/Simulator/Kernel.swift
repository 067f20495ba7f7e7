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

/// The descriptors of one record.
struct Descriptors: Hashable {
  var ram = false
  var state: SavedState?
  /// The source's VM, as the manifest says.
  var vm: Int?
  /// Way `move`: the VMs that follow.
  var contextVMs: [Int] = []

  static let none = Descriptors()

  var vms: [Int] { (vm.map { [$0] } ?? []) + contextVMs }
}

/// The part of the kernel that the protocol is about: where the guest's context is.
///
/// As kernel.pml: way `none` has no context, only RAM and saved state; with way `move` the context goes into a
/// VM out of any other one of which the taker has a descriptor.
struct Kernel {
  enum Context: Hashable {
    case inVM(Int)
    case inToken(Token)
    case destroyed
  }

  /// Whether the guest has a context that only the kernel can move.
  let isEncrypted: Bool
  private(set) var context = Context.destroyed
  /// Raised whenever the guest enters KVM_RUN: what was saved before is stale then.
  var clock: UInt64 = 0
  private var lastVM = 0

  init(isEncrypted: Bool) { self.isEncrypted = isEncrypted }

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

  /// LOCAL_RECEIVE, or MOVE out of one of `vms`: the first one wins.
  mutating func receive(_ token: Token?, outOf vms: [Int], into vm: Int) -> Bool {
    guard isEncrypted else { return true }
    guard isUsable(token, vms), context != .inVM(vm) else { return false }
    context = .inVM(vm)
    return true
  }

  /// Whether who has this token and descriptors of these VMs could still take the context.
  func isUsable(_ token: Token?, _ vms: [Int]) -> Bool {
    guard isEncrypted else { return true }
    switch context {
    case .inToken(let sent): return token == sent
    case .inVM(let vm): return vms.contains(vm)
    case .destroyed: return false
    }
  }

  func isIn(_ vm: Int?) -> Bool {
    guard isEncrypted else { return true }
    guard let vm else { return false }
    return context == .inVM(vm)
  }

  /// The VM whose last reference takes the context, or the unused token, along.
  var vmWithContext: Int? {
    guard isEncrypted else { return nil }
    switch context {
    case .inVM(let vm): return vm
    case .inToken(let token): return token.vm
    case .destroyed: return nil
    }
  }

  mutating func destroyContext() { context = .destroyed }
}
