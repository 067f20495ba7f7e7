import LinuxOS
import SEVDevice
import Synchronization

/// Guest memory as one software vCPU sees it that has the guest's key: the model's ciphertext mode.
///
/// In RAM is ciphertext. Every access goes through the model, by the VM that the vCPU belongs to, as a real vCPU's
/// goes through the memory controller with the VM's address-space identifier.
final class PrivateMemory: Sendable {
  private struct Access: ~Copyable {
    var session: SEVSession
    /// A vCPU keeps its VM alive.
    let vm: OwnedDescriptor
  }

  private let access: Mutex<Access>
  private let memory: GuestMemory

  init(
    _ session: consuming SEVSession, vm: consuming OwnedDescriptor, _ memory: GuestMemory
  ) throws(SEVError) {
    // Asked for now, so that the guest's first access is like every other one.
    _ = try session.isCiphertext()
    access = Mutex(Access(session: session, vm: vm))
    self.memory = memory
  }

  func read(at offset: Int, count: Int) throws(SEVError) -> [UInt8] {
    try access.withLock { (access) throws(SEVError) in
      try access.session.readGuest(access.vm, memory, offset: offset, byteCount: count)
    }
  }

  func write(_ bytes: [UInt8], at offset: Int) throws(SEVError) {
    try access.withLock { (access) throws(SEVError) in
      try access.session.writeGuest(access.vm, memory, offset: offset, bytes: bytes)
    }
  }
}
