import LinuxOS
import SEVDevice
import SEVModel

/// The VMs, vCPUs and firmware devices that callers hold descriptors of.
///
/// Each is one end of a socket pair. The caller's end carries identity (its inode) and life, nothing else:
/// when its last duplicate is closed, in whatever process, this process's end hangs up.
struct LiveDescriptors: ~Copyable {
  enum Kind: Hashable {
    case machine(VirtualMachineID)
    case vcpu(VirtualCPUID, of: VirtualMachineID)
    case firmware(isWritable: Bool)

    /// The VM that it is, or is a vCPU of.
    var machine: VirtualMachineID? {
      switch self {
      case .machine(let machine), .vcpu(_, of: let machine): machine
      case .firmware: nil
      }
    }
  }

  private final class Entry {
    /// Not the firmware.
    let kind: Kind
    let end: OwnedDescriptor
    var isMarked = false

    init(kind: Kind, end: consuming OwnedDescriptor) {
      self.kind = kind
      self.end = end
    }
  }

  /// A descriptor for a caller, and how it is known.
  struct Made: ~Copyable {
    let descriptor: OwnedDescriptor
    let identity: FileIdentity
  }

  /// By the inode of the caller's end. Both ends are sockets of one kernel-internal file system, so that no
  /// other file has the same device and inode.
  private var entries: [UInt64: Entry] = [:]
  private let queue: EventQueue
  private let firmware: FirmwareSocket
  private let readOnlyFirmware: FirmwareSocket

  /// The firmware device has no state of its own in each open file, so that all callers get duplicates of one
  /// of two. A caller may open it as often as it likes and never close it.
  private final class FirmwareSocket {
    let held: OwnedDescriptor
    let identity: FileIdentity
    /// Nobody watches it.
    private let other: OwnedDescriptor

    init() throws(SystemError) {
      let pair = try ServerSupport.makeLifeline()
      let held = OwnedDescriptor(adopting: pair.held)
      other = OwnedDescriptor(adopting: pair.watched)
      identity = try held.identity()
      self.held = held
    }

    func open() throws(SystemError) -> Made {
      Made(descriptor: try held.duplicate(), identity: identity)
    }
  }

  init() throws(SystemError) {
    let queue = try EventQueue()
    let sockets = [try FirmwareSocket(), try FirmwareSocket()]
    self.queue = queue
    firmware = sockets[0]
    readOnlyFirmware = sockets[1]
  }

  /// VMs and vCPUs.
  var count: Int { entries.count }
  /// Readable while a hang-up waits.
  var pollNumber: Int32 { queue.descriptor.number }

  /// Makes a descriptor of a VM or vCPU for a caller.
  mutating func make(_ kind: Kind) throws(SystemError) -> Made {
    let pair = try ServerSupport.makeLifeline()
    let end = OwnedDescriptor(adopting: pair.watched)
    let callersEnd = OwnedDescriptor(adopting: pair.held)
    let identity = try callersEnd.identity()
    try queue.watch(end.number, forData: false, key: identity.inode)
    entries[identity.inode] = Entry(kind: kind, end: end)
    return Made(descriptor: callersEnd, identity: identity)
  }

  /// Makes a descriptor of the firmware device for a caller.
  func openFirmware(forWriting: Bool) throws(SystemError) -> Made {
    try (forWriting ? firmware : readOnlyFirmware).open()
  }

  /// Takes back what was made and not given to anybody.
  mutating func forget(_ made: borrowing Made) {
    _ = remove(made.identity.inode)
  }

  /// What a received descriptor stands for; nothing if it is not one of these.
  func find(_ identity: FileIdentity) -> Kind? {
    guard identity.device == firmware.identity.device else { return nil }
    switch identity.inode {
    case firmware.identity.inode: return .firmware(isWritable: true)
    case readOnlyFirmware.identity.inode: return .firmware(isWritable: false)
    default: return entries[identity.inode]?.kind
    }
  }

  /// Marks the descriptors of a VM and its vCPUs as those of a dead VM, so that callers see it without asking:
  /// from now on there is something to be read, which nobody takes.
  func markDead(_ machine: VirtualMachineID) {
    for entry in entries.values where entry.kind.machine == machine && !entry.isMarked {
      ServerSupport.mark(entry.end)
      entry.isMarked = true
    }
  }

  private mutating func remove(_ inode: UInt64) -> Kind? {
    entries.removeValue(forKey: inode)?.kind
  }

  /// Takes out everything that hung up by now.
  mutating func removeHungUp() throws(SystemError) -> [Kind] {
    var gone: [Kind] = []
    while true {
      let events = try queue.events(waits: false)
      for event in events where event.isHungUp {
        if let kind = remove(event.key) { gone.append(kind) }
      }
      if events.isEmpty { return gone }
    }
  }
}
