/// What a guest of a test is like; the same plan starts its first owner and every successor.
public struct GuestPlan: Sendable {
  public enum Protection: String, Sendable, CaseIterable {
    /// A SEV guest of the software model: way `token`.
    case model
    /// A plain guest: way `none`.
    case none
  }

  public var name: String
  public var memory: String
  public var vcpus = 2
  public var vcpu = "software"
  public var protection: Protection
  public var hasCustody = true
  public var disk: String?
  public var duty = 100
  public var patienceMilliseconds = 60_000
  public var build: String?

  public init(_ name: String = "vm1", memory: String = "16M", protection: Protection = .none) {
    self.name = name
    self.memory = memory
    self.protection = protection
  }
}
