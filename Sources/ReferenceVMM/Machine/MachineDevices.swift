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

  /// The features that a guest with these devices needs.
  func features(_ state: DeviceState) -> UInt64 {
    (disk == nil ? 0 : MachineStateFormat.Feature.disk)
      | (state.pendingConsole.isEmpty ? 0 : MachineStateFormat.Feature.pendingConsole)
  }

  /// Refuses state of a guest that needs a device which is not here.
  func check(_ state: MachineState) throws(MachineStateError) {
    if state.features & MachineStateFormat.Feature.disk != 0 && disk == nil { throw .missingDisk }
  }
}
