import BatonCore
public import BatonWire
public import LinuxOS

/// A guest whose baton has left the process. There is no way back but a verdict: this type cannot
/// resume, run or stage.
public struct StagedGuest: ~Copyable {
  let link: RegistryLink
  public let handoff: UInt64

  init(link: RegistryLink, handoff: UInt64) {
    self.link = link
    self.handoff = handoff
  }

  public enum Verdict: ~Copyable {
    /// The successor runs the guest, or it waits in custody for one: close everything and exit.
    case release(Refusal?)
    /// The guest was taken back and may run here.
    case run(RunPermit)
  }

  /// Waits for the verdict, for as long as it takes: only the registry may decide.
  ///
  /// - Parameters:
  ///   - takeBack: Called when the registry orders to take the guest back: receive the context into
  ///     the take-back VM and restore the staged state, but do not run; false when the kernel says
  ///     that the baton was used, nil when that could not be found out: the registry is told nothing then, and
  ///     calls an operator. May be called more than once. Never called for way `none`.
  ///     With way `move` it gets the VMs of claimants that died: the context is in this process's own
  ///     old VM or in one of them, or the baton was used. Never run the old VM again.
  ///   - alarm: Called each time the registry has been gone or silent for its deadline.
  public consuming func awaitVerdict(
    takingBack takeBack: (consuming DescriptorList) -> Bool?, alarm: () -> Void = {}
  ) throws(BatonError) -> Verdict {
    let link = link
    var deadline = MonotonicClock.now() + UInt64(link.deadlines.registry) * 1_000_000
    while true {
      guard let message = try nextMessage(link, until: deadline) else {
        if MonotonicClock.now() >= deadline {
          alarm()
          deadline = MonotonicClock.now() + UInt64(link.deadlines.registry) * 1_000_000
        }
        continue
      }
      guard case .source(var source) = link.side else { preconditionFailure("not an owner") }
      let action = source.take(message)
      link.side = .source(source)
      switch action {
      case .takeBack:
        guard let succeeded = takeBack(link.takeDescriptors()) else { continue }
        let answer = source.tookBack(succeeded)
        link.side = .source(source)
        link.tell(answer)
      case .sayTookBack(let handoff): link.tell(.tookBack(handoff: handoff))
      case .run(let epoch): return .run(RunPermit(link: link, epoch: epoch, isFresh: false))
      case .release(let refusal): return .release(refusal)
      case .prepare, .freeze, .goOn, .sayResumed, .sayRunning, nil: continue
      }
    }
  }

  /// ``awaitVerdict(takingBack:alarm:)`` for the ways `token` and `none`, where no VMs come along.
  public consuming func awaitVerdict(
    takeBack: () -> Bool, alarm: () -> Void = {}
  ) throws(BatonError) -> Verdict {
    try awaitVerdict(takingBack: { _ in takeBack() }, alarm: alarm)
  }

  /// A refusal of the first record releases too: the registry knows another owner.
  private func nextMessage(
    _ link: RegistryLink, until deadline: UInt64
  ) throws(BatonError) -> RegistryMessage? {
    do throws(BatonError) {
      return try link.nextMessage(until: deadline)
    } catch .refused(let refusal, _) {
      return .release(refusal)
    }
  }
}
