/// The devices that a machine is given; they live in the VMM and may serve several machines in turn
/// (the one that runs and the one made ahead for taking back), never two running ones.
public struct MachineDevices: Sendable {
  public let console: Console
  /// The disk image, or nil.
  public let disk: Disk?

  public init(console: Console, disk: Disk? = nil) {
    self.console = console
    self.disk = disk
  }
}
