/// What a guest of a test is like; the same plan starts its first owner and every successor.
public struct GuestPlan: Sendable {
  public enum Protection: String, Sendable, CaseIterable {
    /// A SEV guest of the software model, handed on as ``GuestPlan/handoff`` says.
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
  /// How a SEV guest is handed on: `token`, `move` or `auto`.
  public var handoff = "token"
  /// Whether the register state of a SEV guest is encrypted too.
  public var encryptsState = false
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
