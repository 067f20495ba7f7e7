import BatonCore
public import BatonWire
public import LinuxOS

/// The baton and the staged state, in the successor's hands.
///
/// Receive the context and restore the state into kernel objects only (no guest RAM is written before
/// the verdict), then say how it went. Exactly one of the three endings is called.
public struct Claim: ~Copyable {
  let link: RegistryLink
  public let handoff: UInt64
  public let stage: Stage
  let memfd: OwnedDescriptor
  /// Way `move`: the VMs out of which the context may be moved, the source's first. Try them in this order; the
  /// baton is used when none of them has the context any more.
  public let vms: DescriptorList

  init(
    link: RegistryLink, handoff: UInt64, stage: Stage, memfd: consuming OwnedDescriptor,
    vms: consuming DescriptorList
  ) {
    self.link = link
    self.handoff = handoff
    self.stage = stage
    self.memfd = memfd
    self.vms = vms
  }

  /// Reads and checks the sealed envelope: seals, size, handoff, checksum.
  ///
  /// - Returns: header, baton and device state as ``StateEnvelope`` lays them out. It holds the
  ///   baton: wipe it with ``SecureBytes/wipe(_:)`` when done.
  /// - Throws: ``BatonError/badState(_:)``; give the baton back then.
  /// - Complexity: Three system calls, O(bytes of state).
  public func readEnvelope() throws(BatonError) -> [UInt8] {
    let expected = Int(clamping: stage.envelopeByteCount)
    let seals: Seals
    let bytes: [UInt8]
    do throws(SystemError) {
      seals = try memfd.seals()
      bytes = try memfd.read(count: expected + 1, at: 0)
    } catch {
      throw .system(error, doing: "reading the staged state")
    }
    guard seals.isSuperset(of: .state) else { throw .badState("the memfd is not sealed") }
    guard bytes.count == expected else { throw .badState("it has another length than announced") }
    do throws(WireError) {
      let header = try StateEnvelope.decodeHeader(bytes)
      guard header.handoff == handoff else { throw .badValue(field: "handoff") }
      guard header.stateByteCount == bytes.count - StateEnvelope.headerByteCount else {
        throw .badValue(field: "state length")
      }
      guard header.checksum == CRC32C.checksum(Array(bytes[StateEnvelope.headerByteCount...])) else {
        throw .badValue(field: "state checksum")
      }
    } catch {
      throw .badState("\(error)")
    }
    return bytes
  }

  /// The context is in this process's VM and the state is restored.
  public consuming func received() -> ReceivedGuest {
    let link = link
    let message = link.changeSuccessor { $0.received() }
    link.tell(message)
    return ReceivedGuest(link: link)
  }

  /// The kernel says that the baton is used or unknown. The registry releases this process.
  public consuming func foundUsed() throws(BatonError) {
    let link = link
    let message = link.changeSuccessor { $0.foundUsed() }
    link.tell(message)
    try link.awaitRelease()
  }

  /// Gives the baton back unused: the source takes the guest back, or another successor claims it.
  public consuming func giveBack() throws(BatonError) {
    let link = link
    let message = link.changeSuccessor { $0.returnedBaton() }
    link.presentClaim(memfd, vms)
    link.tell(message)
    try link.awaitRelease()
  }
}

/// A guest whose context is here and which may not run before the verdict.
public struct ReceivedGuest: ~Copyable {
  let link: RegistryLink

  public enum Verdict: ~Copyable {
    case run(RunPermit)
    case release(Refusal?)
  }

  /// Waits for the verdict, for as long as it takes: only the registry may decide.
  ///
  /// - Parameter alarm: Called once each time the registry has been gone for its deadline.
  public consuming func awaitVerdict(alarm: () -> Void = {}) throws(BatonError) -> Verdict {
    let link = link
    while true {
      let deadline = MonotonicClock.now() + UInt64(link.deadlines.registry) * 1_000_000
      guard let action = try link.nextSuccessorAction(until: deadline) else {
        alarm()
        continue
      }
      switch action {
      case .run(let epoch, _): return .run(RunPermit(link: link, epoch: epoch, isFresh: false))
      case .release(let refusal): return .release(refusal)
      case .prepare, .claim: continue
      }
    }
  }
}

/// The verdict `run`: the only way to a ``RunningGuest``.
public struct RunPermit: ~Copyable {
  let link: RegistryLink
  public let epoch: UInt64
  /// Whether the guest begins here instead of coming from a source.
  public let isFresh: Bool

  init(link: RegistryLink, epoch: UInt64, isFresh: Bool) {
    self.link = link
    self.epoch = epoch
    self.isFresh = isFresh
  }

  /// Starts the guest and says so.
  ///
  /// - Parameters:
  ///   - manifest: What travels with the guest, for the next handoff.
  ///   - start: Starts the vCPUs; returns `CLOCK_MONOTONIC` of the first instruction in nanoseconds,
  ///     0 if unknown. Called exactly once, at once.
  public consuming func run(
    manifest: Manifest, _ start: () -> UInt64
  ) -> RunningGuest {
    let link = link
    let epoch = epoch
    let isFresh = isFresh
    let firstInstruction = start()
    link.manifest = manifest
    link.presented = nil
    link.isParkAsked = false
    link.migration = nil
    link.side = .source(Source(way: manifest.way, epoch: epoch))
    link.tell(.running(epoch: epoch, firstInstruction: firstInstruction))
    if isFresh { link.tell(.described(manifest)) }
    link.ownVM = nil
    return RunningGuest(link: link)
  }
}

/// Wiping of buffers that held a baton.
public enum SecureBytes {
  /// Overwrites every byte in a way that the compiler may not leave out.
  public static func wipe(_ bytes: inout [UInt8]) { ThisProcess.wipe(&bytes) }
}
