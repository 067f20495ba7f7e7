import BatonCore
import BatonWire
import LinuxOS

extension RegistryLink {
  /// Changes the successor's machine and returns what it wants said.
  func changeSuccessor(_ change: (inout Successor) -> VMMMessage) -> VMMMessage {
    guard case .successor(var successor) = side else { preconditionFailure("not a successor") }
    let message = change(&successor)
    side = .successor(successor)
    return message
  }

  /// The next order that means something to a successor; the connection is renewed as needed.
  func nextSuccessorAction(until deadline: UInt64) throws(BatonError) -> Successor.Action? {
    while true {
      guard case .successor(var successor) = side else { preconditionFailure("not a successor") }
      if let message = try nextMessage(until: deadline) {
        if case .refusal(let refusal, let text) = message {
          disconnect()
          if hasGuest, !refusal.endsOwnership { continue }
          throw .refused(refusal, text)
        }
        let action = successor.take(message)
        side = .successor(successor)
        if let action { return action }
        _ = takeDescriptors()
      } else if MonotonicClock.now() >= deadline {
        return nil
      }
    }
  }

  /// The next message; reconnects when there is no connection. Nil when nothing came for now.
  func nextMessage(until deadline: UInt64) throws(BatonError) -> RegistryMessage? {
    if !isConnected {
      let now = MonotonicClock.now()
      guard now < deadline else { return nil }
      if try !connect(timeoutNanoseconds: min(deadline - now, 2_000_000_000)) {
        _ = try? Poller.waitReadable(-1, timeoutNanoseconds: min(deadline - now, 20_000_000))
        return nil
      }
    }
    return try receive(until: deadline)
  }

  /// Waits until the registry releases this process, which has nothing to lose any more.
  func awaitRelease() throws(BatonError) {
    let deadline = MonotonicClock.now() + UInt64(deadlines.release) * 1_000_000
    while let action = try nextSuccessorAction(until: deadline) {
      if case .release = action { return }
    }
  }

  /// Puts what came with a claim into its place among what is presented after a reconnect: the state memfd,
  /// and with way `move` the VMs.
  func presentClaim(_ memfd: borrowing OwnedDescriptor, _ vms: borrowing DescriptorList) {
    guard let manifest, var list = presented.take(), let state = try? memfd.duplicate() else { return }
    var renewed = list.removeFirst(manifest.files.count)
    _ = list.popFirst()
    renewed.append(state)
    if manifest.way == .move, var given = try? vms.duplicate() {
      if manifest.hasVM { _ = list.popFirst() }
      if let first = given.popFirst() { renewed.append(first) }
      renewed.append(contentsOf: list)
      renewed.append(contentsOf: given)
    } else {
      renewed.append(contentsOf: list)
    }
    presented = consume renewed
  }
}
