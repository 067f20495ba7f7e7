import SEVABI

/// What KVM keeps per VM for SEV (`struct kvm_sev_info`), and of the VM itself what SEV depends on.
struct VirtualMachine: Sendable {
  /// The address space that made the VM; nobody else may use it.
  let creator: AddressSpaceID
  let type: MachineType
  /// Its context was moved away: every ioctl on the VM and its vCPUs is EIO.
  var isDead = false
  /// A typed VM before INIT2 (`need_init`), in which no vCPU runs. A move does not clear it.
  var needsInitialization: Bool
  /// A SEV guest: INIT was done, or a context was received or moved in.
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
  /// Who pays for the ASID.
  var controlGroup = ControlGroupID.root
  /// Chosen at INIT2; a move carries the features but not the version.
  var vmsaFeatures: UInt64 = 0
  var ghcbVersion: UInt16 = 0
  /// The guest's address for starting its other vCPUs. A move leaves it behind.
  var applicationProcessorJumpTable: UInt64 = 0
  /// The context was sent away under this name; all commands but the two debugging ones are refused.
  var sent: StagedContextID?

  /// The VM whose context this one mirrors. It lives as long as its mirrors.
  var owner: VirtualMachineID?
  var mirrors: Set<VirtualMachineID> = []
  /// A move or a mirroring to or from this VM is under way.
  var isInTransfer = false
  /// No descriptor is open any more; only mirrors keep the VM.
  var isClosed = false

  /// In the order in which they came online.
  var vcpus: [VirtualCPUID] = []
  /// Also those whose creation has not ended.
  var createdVCPUCount = 0
  /// Whether the VM's own descriptor is open, and how many of its vCPUs'.
  var isDescriptorOpen = true
  var openVCPUCount = 0

  /// KVM_CAP_EXIT_HYPERCALL was enabled for the page-status hypercall.
  var exitsOnPageStatus = false
  /// KVM_CAP_X86_USER_SPACE_MSR: the reasons (bits) for which MSR accesses end the run.
  var userSpaceMSRReasons: UInt64 = 0
  /// The MSRs that the filter keeps from the guest.
  var deniedMSRs: [ClosedRange<UInt32>] = []
  /// What the v10 kernel itself keeps.
  var sharedPages = SharedPageRanges()
  var isLiveMigrationEnabled = false

  init(creator: AddressSpaceID, type: MachineType) {
    self.creator = creator
    self.type = type
    switch type {
    case .sev, .sevES, .snp: needsInitialization = true
    case .standard, .softwareProtected, .tdx: needsInitialization = false
    }
  }

  var isMirror: Bool { owner != nil }
  /// Whether a vCPU's creation has begun and not ended.
  var isCreatingVCPU: Bool { createdVCPUCount != vcpus.count }
}

/// A registered region and the pages it pins.
struct PinnedRegion: Hashable, Sendable {
  let region: EncryptedRegion
  let pageCount: UInt64
}
