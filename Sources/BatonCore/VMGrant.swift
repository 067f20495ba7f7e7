/// The VMs that go along with a claim or with an order to take back (way `move`).
///
/// A context can be moved out of any VM of which somebody has a descriptor. So whoever takes next gets the
/// staged VM and those of the dead, and nobody gets the VM of a process that lives: it may run the guest in it.
public struct VMGrant: Hashable, Sendable {
  /// The source's staged VM.
  public var staged = false
  /// The source's take-back VM; only of a source that was seen dead.
  public var takeBack = false
  /// VMs that a claimant brought back with the baton.
  public var returned = false
  /// Successors that were seen dead, by whom their VMs were made.
  public var successors: [ProcessID] = []

  public init() {}
}
