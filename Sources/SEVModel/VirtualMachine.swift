import SEVABI

/// What KVM keeps per VM for SEV (`struct kvm_sev_info`).
struct VirtualMachine: Sendable {
  /// The address space that made the VM; nobody else may use it.
  let creator: AddressSpaceID
  /// A SEV guest: INIT was done, or a context was received.
  var isActive = false
  var hasEncryptedState = false
  var asid: UInt32 = 0
  /// The firmware's handle; 0 before LAUNCH_START.
  var handle: UInt32 = 0
  /// The number of `/dev/sev` that LAUNCH_START gave. INIT does not set it and a move does not carry it, so
  /// it is 0 in a VM that received its context.
  var firmwareDescriptor: Int32 = 0
  /// Pages pinned by registered regions. Compared with the limit of whoever calls.
  var lockedPages: UInt64 = 0
  var regions: [PinnedRegion] = []
  /// The context was sent away under this name; all commands but the two debugging ones are refused.
  var sent: StagedContextID?
}

/// A registered region and the pages it pins.
struct PinnedRegion: Hashable, Sendable {
  let region: EncryptedRegion
  let pageCount: UInt64
}
