import BatonCore
import BatonWire
import LinuxOS

/// A guest that stands still in its owner's hands; nothing has left the process.
public struct FrozenGuest: ~Copyable {
  let link: RegistryLink
  public let handoff: UInt64
  /// `CLOCK_MONOTONIC` of when the freeze order was read, nanoseconds.
  public let since: UInt64

  init(link: RegistryLink, handoff: UInt64, since: UInt64) {
    self.link = link
    self.handoff = handoff
    self.since = since
  }

  /// Whether the time to stage is over; let the guest go on then.
  public var isOverdue: Bool {
    MonotonicClock.now() > since + UInt64(link.deadlines.freeze) * 1_000_000
  }

  /// LOCAL_SEND was done: from now on going on needs a self-receive first.
  public mutating func gaveUpContext() {
    guard case .source(var source) = link.side else { preconditionFailure("not an owner") }
    source.gaveUpContext()
    link.side = .source(source)
  }

  /// Lets the guest go on here; the handoff is over.
  ///
  /// After ``gaveUpContext()`` the caller has received the context back into its take-back VM.
  ///
  /// - Parameter start: Starts the vCPUs.
  public consuming func goOn(_ start: () -> Void) -> RunningGuest {
    let link = link
    let handoff = handoff
    guard case .source(var source) = link.side else { preconditionFailure("not an owner") }
    source.wentOn()
    link.side = .source(source)
    start()
    link.presented = nil
    link.isParkAsked = false
    link.tell(.resumed(handoff: handoff))
    return RunningGuest(link: link)
  }

  /// Gives baton and state to the registry. From here on only the registry's orders count, whether or
  /// not the record arrives.
  ///
  /// - Parameters:
  ///   - state: Device state as the manifest's format says.
  ///   - lastInstruction: `CLOCK_MONOTONIC` of the last guest instruction, nanoseconds.
  ///   - placeBaton: Writes the 8 bytes of the baton at ``StateEnvelope/batonOffset`` of the buffer
  ///     it is given; way `none` writes nothing. The buffer is wiped afterwards.
  /// - Throws: only before anything left the process; the guest is frozen then and ``link`` says so:
  ///   the process must end, and the guest with it, or wait as staged. A send that fails is no error.
  /// - Complexity: Three system calls.
  public consuming func stage(
    state: [UInt8], lastInstruction: UInt64, placeBaton: (inout [UInt8]) -> Void
  ) throws(BatonError) -> StagedGuest {
    let link = link
    let handoff = handoff
    guard case .source(var source) = link.side, let manifest = link.manifest else {
      preconditionFailure("not an owner that has offered")
    }
    var envelope = StateEnvelope.encode(way: manifest.way, handoff: handoff, state: state)
    placeBaton(&envelope)
    defer { ThisProcess.wipe(&envelope) }
    let stage = Stage(
      envelopeByteCount: UInt64(envelope.count), format: manifest.format,
      lastInstruction: lastInstruction, freezeStarted: since, contextSent: MonotonicClock.now())
    do throws(SystemError) {
      try link.writeAndSealState(envelope, at: manifest.files.count)
    } catch {
      throw .system(error, doing: "writing the staged state")
    }
    source.staged(stage)
    link.side = .source(source)
    let number = link.presented?.borrowedNumbers[manifest.files.count]
    link.tell(.stage(handoff: handoff, stage), descriptors: number.map { [$0] } ?? [])
    return StagedGuest(link: link, handoff: handoff)
  }
}

extension RegistryLink {
  /// Fills the state memfd among what was offered and seals it for ever.
  func writeAndSealState(_ envelope: [UInt8], at index: Int) throws(SystemError) {
    guard var list = presented.take() else { return }
    var before = list.removeFirst(index)
    if let memfd = list.popFirst() {
      let outcome: Result<Void, SystemError>
      do throws(SystemError) {
        try memfd.write(envelope, at: 0)
        try memfd.addSeals(.state)
        outcome = .success(())
      } catch {
        outcome = .failure(error)
      }
      before.append(memfd)
      before.append(contentsOf: list)
      presented = consume before
      try outcome.get()
    }
  }
}
