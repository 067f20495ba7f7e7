import LinuxOS

/// How the control thread orders a vCPU's thread to run, to park or to end, and learns that it parked.
///
/// Each order has a number, so that an acknowledgement always belongs to the latest order: a vCPU that
/// had not even woken up when it was stopped again acknowledges that stop and no other.
final class VCPUGate: Sendable {
  private enum Order {
    static let park: UInt32 = 0
    static let run: UInt32 = 1
    static let end: UInt32 = 2
    static let mask: UInt32 = 3
  }

  private let order = FutexWord(Order.park)
  private let acknowledged = FutexWord(UInt32.max)

  /// A token for one run: it holds as long as no other order came.
  struct Permission: Hashable { fileprivate let word: UInt32 }

  private func give(_ kind: UInt32) -> UInt32 {
    let word = (order.value & ~Order.mask) &+ 4 | kind
    order.value = word
    order.wakeAll()
    return word
  }

  // Control thread.

  func letRun() { _ = give(Order.run) }

  /// Orders the vCPU to park; ``waitUntilParked(_:)`` with the result waits for it.
  func park() -> UInt32 { give(Order.park) }

  func waitUntilParked(_ word: UInt32) {
    // A vCPU leaves the guest within a microsecond or two when its thread is on a core.
    for _ in 0..<2000 where acknowledged.value == word { return }
    while true {
      let seen = acknowledged.value
      if seen == word { return }
      acknowledged.wait(while: seen)
    }
  }

  func end() { _ = give(Order.end) }

  // vCPU's thread.

  /// Parks until the vCPU may run; nil when its thread is to end.
  func waitForPermission() -> Permission? {
    while true {
      let word = order.value
      switch word & Order.mask {
      case Order.run: return Permission(word: word)
      case Order.end: return nil
      default:
        acknowledged.value = word
        acknowledged.wakeAll()
        order.wait(while: word)
      }
    }
  }

  @inline(__always)
  func isValid(_ permission: Permission) -> Bool { order.value == permission.word }

  /// Sleeps while the permission holds, at most so long.
  func sleep(_ permission: Permission, nanoseconds: UInt64) {
    order.wait(while: permission.word, timeoutNanoseconds: nanoseconds)
  }
}
