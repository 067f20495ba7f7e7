/// What a check says.
public enum CheckVerdict: String, Codable, Hashable, Sendable, CaseIterable {
  /// All is well.
  case pass
  /// It works, but something is worth knowing.
  case warn
  /// A handoff would fail, or must not be tried.
  case fail
  /// It could not be found out.
  case unknown

  /// The worst of some checks: fail, then unknown, then warn, then pass.
  public static func worst(of checks: [Check]) -> CheckVerdict {
    for verdict in [CheckVerdict.fail, .unknown, .warn]
    where checks.contains(where: { $0.verdict == verdict }) {
      return verdict
    }
    return .pass
  }
}

/// One check of `Preflight`.
public struct Check: Codable, Hashable, Sendable {
  /// What is checked, in one word of camelCase; stays the same between versions.
  public var name: String
  /// What came out.
  public var verdict: CheckVerdict
  /// What was found, for people.
  public var detail: String
  /// What to do about it.
  public var remedy: String?

  /// A check that is known by name.
  public init(_ name: CheckName, _ verdict: CheckVerdict, _ detail: String, remedy: String? = nil) {
    self.name = name.rawValue
    self.verdict = verdict
    self.detail = detail
    self.remedy = remedy
  }
}

/// The checks of rule 10, in the order in which they are shown. The wire carries names, so that a peer may know
/// more checks than we do.
public enum CheckName: String, Hashable, Sendable, CaseIterable {
  /// Owner alive, connected, and of this epoch.
  case owner
  /// Which way the context can move.
  case way
  /// An ASID is free for the target.
  case freeASID
  /// `RLIMIT_MEMLOCK` covers the guest's RAM.
  case memoryLockLimit
  /// The file descriptor store has room.
  case descriptorStore
  /// CPUID of both sides.
  case cpuid
  /// MSRs of both sides.
  case modelSpecificRegisters
  /// KVM capabilities of both sides.
  case capabilities
  /// State format that the other binary reads.
  case stateFormat
  /// Features in that state.
  case stateFeatures
  /// irqfds and ioeventfds can be deassigned and assigned again.
  case interruptDescriptors
  /// vhost devices.
  case vhost
  /// VFIO devices.
  case vfio
  /// Devices whose descriptors travel with the guest.
  case devices
  /// State of nested guests.
  case nestedState
  /// RAM is in sealed memfds.
  case sealedMemory
  /// The registry may end the source.
  case fence
  /// The guest's TSC and clock can be kept.
  case guestTime
  /// How long each phase may take.
  case deadlines
}
