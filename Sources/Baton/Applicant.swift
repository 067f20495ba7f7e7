import BatonCore
public import BatonWire
public import LinuxOS

/// A VMM that wants a guest: it becomes its first owner or the successor of its owner.
///
/// Each step consumes the value and gives the next one, so that no step can be left out or taken
/// twice: ``Applicant`` → ``Offer`` → ``PreparedSuccessor`` → ``Claim`` → ``ReceivedGuest`` →
/// ``RunningGuest``. Dropping a value closes the connection; the guest then stays with its source.
public struct Applicant: ~Copyable {
  let link: RegistryLink

  /// Comes to the registry.
  ///
  /// - Parameters:
  ///   - isFresh: Insist on being the first owner; refused as second owner when there is one.
  ///   - neverBegins: Only become the successor of somebody who has the guest; refused (`unknownGuest`, `guestEnded`,
  ///     `guestLost`, `departed`) when nobody has it here.
  ///   - patienceMilliseconds: How long to wait for a registry that is not there.
  /// - Throws: ``BatonError/refused(_:_:)`` (wrong peer, second owner, second successor, quota …),
  ///   ``BatonError/registryUnreachable(path:milliseconds:)``.
  public init(
    _ identity: VMMIdentity, isFresh: Bool = false, neverBegins: Bool = false,
    patienceMilliseconds: UInt64 = 5_000
  ) throws(BatonError) {
    link = RegistryLink(identity, .successor(Successor(isFresh: isFresh, neverBegins: neverBegins)))
    try link.connectPatiently(milliseconds: patienceMilliseconds)
  }

  /// Whether the guest has an owner already, so that an offer comes instead of a verdict.
  public var isSuccessor: Bool { link.role == .successor }
  /// How long each phase may take.
  public var deadlines: Deadlines { link.deadlines }

  /// What the registry decided.
  public enum Admission: ~Copyable {
    /// The guest is new, and this VMM its first owner.
    case firstOwner(RunPermit)
    case offered(Offer)
    /// Not wanted: give up everything and exit.
    case released(Refusal?)
  }

  /// Waits for what the registry decides.
  ///
  /// - Parameter milliseconds: How long at most.
  /// - Throws: ``BatonError/refused(_:_:)`` with `deadlinePassed` when nothing came in time.
  public consuming func awaitAdmission(milliseconds: UInt64) throws(BatonError) -> Admission {
    let link = link
    let deadline = MonotonicClock.now() + milliseconds * 1_000_000
    while true {
      guard let action = try link.nextSuccessorAction(until: deadline) else {
        throw .refused(.deadlinePassed, "the registry decided nothing within \(milliseconds) ms")
      }
      switch action {
      case .run(let epoch, _): return .firstOwner(RunPermit(link: link, epoch: epoch, isFresh: true))
      case .prepare(let handoff, let manifest, let isGuestStopped):
        return .offered(
          Offer(
            link: link, handoff: handoff, manifest: manifest, isGuestStopped: isGuestStopped,
            descriptors: link.takeDescriptors()))
      case .release(let refusal): return .released(refusal)
      case .claim: continue
      }
    }
  }
}

/// What a source offers: the manifest and the descriptors, checked but not mapped yet.
public struct Offer: ~Copyable {
  let link: RegistryLink
  public let handoff: UInt64
  public let manifest: Manifest
  /// Whether the guest stands still already, in custody, and waits for this VMM: then time counts, and what can
  /// be done while the guest runs, such as populating its RAM, is left to the guest's own page faults.
  public let isGuestStopped: Bool
  private var descriptors: DescriptorList

  init(
    link: RegistryLink, handoff: UInt64, manifest: Manifest, isGuestStopped: Bool,
    descriptors: consuming DescriptorList
  ) {
    self.link = link
    self.handoff = handoff
    self.manifest = manifest
    self.isGuestStopped = isGuestStopped
    self.descriptors = descriptors
  }

  /// The descriptors of an offer by their roles.
  @frozen public struct Parts: ~Copyable {
    /// One for each of the manifest's files.
    public var ram: DescriptorList
    /// The source's VM, if its manifest has one and the way is not `move`.
    public var vm: OwnedDescriptor?
    /// One for each of the manifest's names.
    public var named: DescriptorList
  }

  /// Checks that each RAM descriptor is the memfd that the manifest names: identity, size, seals.
  ///
  /// - Throws: ``BatonError/unacceptable(_:_:)``; decline with its refusal then.
  public func check() throws(BatonError) {
    do throws(Manifest.Problem) {
      try manifest.validate()
    } catch {
      throw .unacceptable(.badManifest, "\(error)")
    }
    for (index, file) in manifest.files.enumerated() {
      let found: FileIdentity
      let seals: Seals
      do throws(SystemError) {
        found = try descriptors.identity(at: index)
        seals = found.isRegularFile ? try descriptors.seals(at: index) : []
      } catch {
        throw .unacceptable(.notAMemfd, "RAM file \(index) is no memfd: \(error)")
      }
      guard found.isRegularFile else {
        throw .unacceptable(.notAMemfd, "RAM file \(index) is no memfd")
      }
      guard seals.isSuperset(of: .ram) else {
        throw .unacceptable(.sealsMissing, "RAM file \(index) lacks a seal of SHRINK, GROW, SEAL")
      }
      guard found.device == file.device, found.inode == file.inode else {
        throw .unacceptable(.foreignMemory, "RAM file \(index) is not the one of the manifest")
      }
      guard found.byteCount == file.byteCount else {
        throw .unacceptable(
          .memoryTooShort,
          "RAM file \(index) has \(found.byteCount) bytes, the manifest says \(file.byteCount)")
      }
    }
  }

  /// Takes the descriptors out and gives the value on which to go on.
  public consuming func take() throws(BatonError) -> Taken {
    let link = link
    let handoff = handoff
    let manifest = manifest
    link.manifest = manifest
    do throws(SystemError) {
      link.presented = try descriptors.duplicate()
    } catch {
      throw .system(error, doing: "keeping the offered descriptors")
    }
    let ram = descriptors.removeFirst(manifest.files.count)
    _ = descriptors.popFirst()
    // With way `move` something else is in the VM's place: only a claimant sees the baton.
    let place = manifest.hasVM ? descriptors.popFirst() : nil
    let vm = manifest.way == .move ? nil : place
    let named = descriptors.removeFirst(manifest.names.count)
    return Taken(
      parts: Parts(ram: ram, vm: vm, named: named),
      next: Preparing(link: link, handoff: handoff, isGuestStopped: isGuestStopped))
  }

  /// An offer whose descriptors belong to the VMM now.
  @frozen public struct Taken: ~Copyable {
    public var parts: Parts
    public var next: Preparing
  }

  /// Says that this VMM cannot take the guest; it stays with its source.
  public consuming func decline(_ refusal: Refusal, _ text: String) throws(BatonError) {
    try link.send(.declined(handoff: handoff, refusal, text))
  }
}

/// A successor that maps RAM and makes VM and vCPUs while the guest runs on at its source.
public struct Preparing: ~Copyable {
  let link: RegistryLink
  public let handoff: UInt64
  let isGuestStopped: Bool

  /// Everything that takes time is done.
  ///
  /// - Parameter vm: Way `move`: the borrowed VM into which this process takes the context, so that the guest
  ///   outlives it; nil to keep it here. With the other ways nothing can be taken out of it again.
  public consuming func ready(vm: Int32? = nil) throws(BatonError) -> PreparedSuccessor {
    let link = link
    let handoff = handoff
    do throws(SystemError) {
      link.ownVM = try vm.map { number throws(SystemError) in try DescriptorList(duplicating: [number]) }
    } catch {
      throw .system(error, doing: "keeping the VM that is given into custody")
    }
    Rehearsal.performHandoff(isGuestStopped: isGuestStopped)
    let message = link.changeSuccessor { $0.prepared(handoff) }
    let numbers = link.ownVM?.borrowedNumbers ?? []
    try link.send(message, descriptors: numbers, contextVMs: numbers.count)
    return PreparedSuccessor(link: link, handoff: handoff)
  }

  /// Says that this VMM cannot take the guest; it stays with its source.
  public consuming func decline(_ refusal: Refusal, _ text: String) throws(BatonError) {
    try link.send(.declined(handoff: handoff, refusal, text))
  }
}

/// A successor that waits for the baton.
public struct PreparedSuccessor: ~Copyable {
  let link: RegistryLink
  public let handoff: UInt64

  public enum Next: ~Copyable {
    case claim(Claim)
    /// The source offers once more, for a new attempt.
    case offered(Offer)
    case released(Refusal?)
  }

  /// Waits for the baton. The connection is renewed when it breaks.
  ///
  /// - Throws: ``BatonError/refused(_:_:)`` with `deadlinePassed` when nothing came in time.
  public consuming func awaitClaim(milliseconds: UInt64) throws(BatonError) -> Next {
    let link = link
    let deadline = MonotonicClock.now() + milliseconds * 1_000_000
    while true {
      guard let action = try link.nextSuccessorAction(until: deadline) else {
        throw .refused(.deadlinePassed, "no baton came within \(milliseconds) ms")
      }
      switch action {
      case .claim(let handoff, let stage):
        var list = link.takeDescriptors()
        guard let memfd = list.popFirst() else { continue }
        return .claim(Claim(link: link, handoff: handoff, stage: stage, memfd: memfd, vms: list))
      case .prepare(let handoff, let manifest, let isGuestStopped):
        return .offered(
          Offer(
            link: link, handoff: handoff, manifest: manifest, isGuestStopped: isGuestStopped,
            descriptors: link.takeDescriptors()))
      case .release(let refusal): return .released(refusal)
      case .run: continue
      }
    }
  }
}
