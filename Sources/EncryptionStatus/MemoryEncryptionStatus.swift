import SEVABI

/// What a VMM must know about the encryption of a guest's memory to migrate it: the shared pages and the guest's
/// own readiness, both learnt from the guest.
///
/// This is the part without side effects of what QEMU calls ConfidentialGuestMemoryEncryptionOps, for VMMs that
/// keep their own loop over RAM:
///
/// | QEMU's duty | here |
/// | --- | --- |
/// | is_gfn_in_unshared_region | ``regions``; MigrationCore: `kind(ofFrame:)`, `runs(in:)` |
/// | save_outgoing_page, load_incoming_page | MigrationCore: `kind(ofFrame:)` says which pages go through the firmware |
/// | save_outgoing_shared_regions_list | ``savedRegions()`` |
/// | load_incoming_shared_regions_list | ``loadRegions(_:)`` |
/// | save_setup (certificates, session) | `MigrationPolicy.checkBeforeSending` in SEVCertificates |
///
/// A value of one VMM thread; vCPU threads hand their exits to it under a lock of the VMM.
public struct MemoryEncryptionStatus: Hashable, Sendable {
  /// Whether the guest's memory is encrypted.
  public let isEncrypted: Bool
  /// Whether the guest was offered hypercall and register (CPUID 0x40000001, EAX bits 16 and 17).
  public let isOffered: Bool
  public private(set) var regions = SharedRegions()
  public private(set) var control: MigrationControl
  /// The pages of which the list says nothing true, because it had no room when the guest changed them.
  private var lost: Range<UInt64>?

  /// A guest that has not run yet.
  public init(isEncrypted: Bool, isOffered: Bool = true) {
    self.isEncrypted = isEncrypted
    self.isOffered = isOffered
    control = MigrationControl(isEncrypted: isEncrypted)
  }

  /// Whether the list has everything that the guest said. If not, the guest cannot be migrated.
  public var isComplete: Bool { lost == nil }

  /// What the guest sees of it in CPUID 0x40000001, EAX.
  public var offeredFeatures: UInt32 {
    isOffered ? PageStatus.mapRangeFeature | PageStatus.migrationControlFeature : 0
  }

  // MARK: What the guest does

  /// A hypercall.
  ///
  /// - Returns: What the guest finds in RAX.
  public mutating func hypercall(_ exit: HypercallExit) -> Int64 {
    switch exit.decision(isOffered: isOffered) {
    case .returns(let result): return result
    case .map(let pages):
      return mark(pages.frames, encrypted: pages.isEncrypted)
        ? HypercallExit.Result.done : HypercallExit.Result.tooMuch
    }
  }

  /// Pages become private or shared, as the hypercall makes them.
  ///
  /// - Returns: Whether the list had room for it; if not, it says nothing true about these pages any more.
  public mutating func mark(_ frames: Range<UInt64>, encrypted: Bool) -> Bool {
    do throws(SharedRegionsError) {
      if encrypted { try regions.markPrivate(frames) } else { try regions.markShared(frames) }
    } catch {
      let before = lost ?? frames
      lost = min(before.lowerBound, frames.lowerBound)..<max(before.upperBound, frames.upperBound)
      return false
    }
    if let lost, frames.lowerBound <= lost.lowerBound, lost.upperBound <= frames.upperBound {
      self.lost = nil
    }
    return true
  }

  /// The guest reads a register.
  ///
  /// - Returns: Nothing for a register that is not this one or was not offered: the guest gets a
  ///   general-protection fault.
  public func readMSR(_ index: UInt32) -> UInt64? {
    isOffered && index == MigrationControl.register ? control.value : nil
  }

  /// The guest writes a register.
  ///
  /// A guest that starts another kernel (kexec) writes 0 first, which only forbids a migration: the pages stay as
  /// they are until the new kernel reports all of its memory as private.
  ///
  /// - Returns: Whether it may; otherwise it gets a general-protection fault.
  public mutating func writeMSR(_ index: UInt32, _ value: UInt64) -> Bool {
    isOffered && index == MigrationControl.register && control.write(value)
  }

  /// The guest was reset by the VMM: all pages are private and it has to say again that it is ready.
  public mutating func guestWasReset() {
    self = MemoryEncryptionStatus(isEncrypted: isEncrypted, isOffered: isOffered)
  }

  // MARK: What a migration asks

  /// The list as it goes to the target.
  public func savedRegions() -> [UInt8] { regions.encoded() }

  /// Takes over the list that the source sent.
  ///
  /// - Throws: ``SharedRegionsError``; nothing has changed then.
  public mutating func loadRegions(_ bytes: [UInt8]) throws(SharedRegionsError) {
    regions = try SharedRegions(decoding: bytes)
    lost = nil
  }

  // MARK: Saved state

  private static let version: UInt32 = 1
  private enum Flag {
    static let encrypted: UInt32 = 1
    static let offered: UInt32 = 2
    static let incomplete: UInt32 = 4
    static let all: UInt32 = 7
  }

  /// Everything, for a guest's saved state: version, flags, register, lost pages, list.
  public func encoded() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.appendHalfWord(Self.version)
    bytes.appendHalfWord(
      (isEncrypted ? Flag.encrypted : 0) | (isOffered ? Flag.offered : 0)
        | (isComplete ? 0 : Flag.incomplete))
    bytes.appendWord(control.value)
    bytes.appendWord(lost?.lowerBound ?? 0)
    bytes.appendWord(lost?.upperBound ?? 0)
    return bytes + regions.encoded()
  }

  /// Reads what ``encoded()`` wrote.
  public init(decoding bytes: [UInt8]) throws(SharedRegionsError) {
    var reader = WordReader(bytes)
    let version = try reader.halfWord()
    guard version == Self.version else { throw .unknownVersion(version) }
    let flags = try reader.halfWord()
    guard flags & ~Flag.all == 0 else { throw .unknownFlags(flags) }
    let value = try reader.word()
    guard let control = MigrationControl(value: value) else { throw .badControl(value) }
    let (first, end) = (try reader.word(), try reader.word())
    // Lost pages are named exactly if there are some.
    guard flags & Flag.incomplete != 0 ? first < end : first == 0 && end == 0 else {
      throw .unknownFlags(flags)
    }
    isEncrypted = flags & Flag.encrypted != 0
    isOffered = flags & Flag.offered != 0
    self.control = control
    lost = first < end ? first..<end : nil
    regions = try SharedRegions(decoding: reader.rest)
  }
}
