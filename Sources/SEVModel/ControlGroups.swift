import SEVABI

/// A cgroup of the `misc` controller, which limits how many ASIDs its processes may hold.
public struct ControlGroupID: Hashable, Sendable {
  public let rawValue: UInt64

  public init(rawValue: UInt64) {
    self.rawValue = rawValue
  }

  public static let root = ControlGroupID(rawValue: 0)
}

/// How many ASIDs each control group holds, and may hold.
struct ControlGroups: Sendable {
  /// SEV and SEV-ES guests are counted apart.
  private struct Account: Hashable {
    let group: ControlGroupID
    let encryptedState: Bool
  }

  private var charges: [Account: UInt32] = [:]
  private var limits: [Account: UInt32] = [:]

  mutating func limit(_ group: ControlGroupID, encryptedState: Bool, to count: UInt32?) {
    limits[Account(group: group, encryptedState: encryptedState)] = count
  }

  /// Counts one more ASID, or fails with EBUSY at the limit.
  mutating func charge(_ group: ControlGroupID, encryptedState: Bool) throws(KernelError) {
    let account = Account(group: group, encryptedState: encryptedState)
    let charged = charges[account, default: 0]
    if let limit = limits[account], charged >= limit { throw .busy }
    charges[account] = charged + 1
  }

  /// Counts an ASID again that was given up a moment ago, whatever the limit is.
  mutating func recharge(_ group: ControlGroupID, encryptedState: Bool) {
    charges[Account(group: group, encryptedState: encryptedState), default: 0] += 1
  }

  mutating func uncharge(_ group: ControlGroupID, encryptedState: Bool) {
    charges[Account(group: group, encryptedState: encryptedState), default: 1] -= 1
  }

  func charged(_ group: ControlGroupID, encryptedState: Bool) -> UInt32 {
    charges[Account(group: group, encryptedState: encryptedState), default: 0]
  }
}
