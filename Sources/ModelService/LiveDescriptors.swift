import LinuxOS
import SEVDevice
import SEVModel

/// The VMs and firmware devices that callers hold descriptors of.
///
/// Each is one end of a socket pair. The caller's end carries identity (its inode) and life, nothing else:
/// when its last duplicate is closed, in whatever process, this process's end hangs up.
struct LiveDescriptors: ~Copyable {
  enum Kind: Hashable {
    case machine(VirtualMachineID)
    case firmware
  }

  private final class Entry {
    let kind: Kind
    let end: OwnedDescriptor

    init(kind: Kind, end: consuming OwnedDescriptor) {
      self.kind = kind
      self.end = end
    }
  }

  /// By the inode of the caller's end. Both ends are sockets of one kernel-internal file system, so that no
  /// other file has the same device and inode.
  private var entries: [UInt64: Entry] = [:]
  private var device: UInt64 = 0
  private let queue: EventQueue

  init() throws(SystemError) {
    queue = try EventQueue()
  }

  var count: Int { entries.count }
  /// Readable while a hang-up waits.
  var pollNumber: Int32 { queue.descriptor.number }

  /// Makes a descriptor for a caller.
  mutating func make(_ kind: Kind) throws(SystemError) -> OwnedDescriptor {
    let pair = try ServerSupport.makeLifeline()
    let end = OwnedDescriptor(adopting: pair.watched)
    let callersEnd = OwnedDescriptor(adopting: pair.held)
    let identity = try callersEnd.identity()
    try queue.watch(end.number, forData: false, key: identity.inode)
    entries[identity.inode] = Entry(kind: kind, end: end)
    device = identity.device
    return callersEnd
  }

  /// What a received descriptor stands for; nothing if it is not one of these.
  func find(_ identity: FileIdentity) -> Kind? {
    guard identity.device == device else { return nil }
    return entries[identity.inode]?.kind
  }

  /// Takes out everything that hung up by now.
  mutating func removeHungUp() throws(SystemError) -> [Kind] {
    var gone: [Kind] = []
    while true {
      let events = try queue.events(waits: false)
      for event in events where event.isHungUp {
        if let entry = entries.removeValue(forKey: event.key) { gone.append(entry.kind) }
      }
      if events.isEmpty { return gone }
    }
  }
}
