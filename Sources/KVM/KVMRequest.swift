/// The requests of the KVM interface that this module makes, by their number in `linux/kvm.h`.
public enum KVMRequest: UInt, Hashable, Sendable, CaseIterable {
  // /dev/kvm
  case getAPIVersion = 0xAE00
  case createVM = 0xAE01
  case getMSRIndexList = 0xC004_AE02
  case checkExtension = 0xAE03
  case getVCPUMapSize = 0xAE04
  case getSupportedCPUID = 0xC008_AE05
  // VM
  case createVCPU = 0xAE41
  case getDirtyLog = 0x4010_AE42
  case setUserMemoryRegion = 0x4020_AE46
  case setTSSAddress = 0xAE47
  case setIdentityMapAddress = 0x4008_AE48
  case createIRQChip = 0xAE60
  case getIRQChip = 0xC208_AE62
  case setIRQChip = 0x8208_AE63
  case createPIT2 = 0x4040_AE77
  case setClock = 0x4030_AE7B
  case getClock = 0x8030_AE7C
  case getPIT2 = 0x8070_AE9F
  case setPIT2 = 0x4070_AEA0
  case enableCapability = 0x4068_AEA3
  case setMSRFilter = 0x4188_AEC6
  // vCPU
  case run = 0xAE80
  case getRegs = 0x8090_AE81
  case setRegs = 0x4090_AE82
  case getSregs = 0x8138_AE83
  case setSregs = 0x4138_AE84
  case getMSRs = 0xC008_AE88
  case setMSRs = 0x4008_AE89
  case getLAPIC = 0x8400_AE8E
  case setLAPIC = 0x4400_AE8F
  case setCPUID2 = 0x4008_AE90
  case getCPUID2 = 0xC008_AE91
  case getMPState = 0x8004_AE98
  case setMPState = 0x4004_AE99
  case getVCPUEvents = 0x8040_AE9F
  case setVCPUEvents = 0x4040_AEA0
  case getDebugRegs = 0x8080_AEA1
  case setDebugRegs = 0x4080_AEA2
  case setTSCKilohertz = 0xAEA2
  case getTSCKilohertz = 0xAEA3
  case getXSAVE = 0x9000_AEA4
  case setXSAVE = 0x5000_AEA5
  case getXSAVE2 = 0x9000_AECF
  case getXCRs = 0x8188_AEA6
  case setXCRs = 0x4188_AEA7
  case kvmclockControl = 0xAEAD
  case setDeviceAttribute = 0x4018_AEE1
  case getDeviceAttribute = 0x4018_AEE2
  case hasDeviceAttribute = 0x4018_AEE3

  /// The name in `linux/kvm.h`.
  public var name: String {
    switch self {
    case .getAPIVersion: "KVM_GET_API_VERSION"
    case .createVM: "KVM_CREATE_VM"
    case .getMSRIndexList: "KVM_GET_MSR_INDEX_LIST"
    case .checkExtension: "KVM_CHECK_EXTENSION"
    case .getVCPUMapSize: "KVM_GET_VCPU_MMAP_SIZE"
    case .getSupportedCPUID: "KVM_GET_SUPPORTED_CPUID"
    case .createVCPU: "KVM_CREATE_VCPU"
    case .getDirtyLog: "KVM_GET_DIRTY_LOG"
    case .setUserMemoryRegion: "KVM_SET_USER_MEMORY_REGION"
    case .setTSSAddress: "KVM_SET_TSS_ADDR"
    case .setIdentityMapAddress: "KVM_SET_IDENTITY_MAP_ADDR"
    case .createIRQChip: "KVM_CREATE_IRQCHIP"
    case .getIRQChip: "KVM_GET_IRQCHIP"
    case .setIRQChip: "KVM_SET_IRQCHIP"
    case .createPIT2: "KVM_CREATE_PIT2"
    case .setClock: "KVM_SET_CLOCK"
    case .getClock: "KVM_GET_CLOCK"
    case .getPIT2: "KVM_GET_PIT2"
    case .setPIT2: "KVM_SET_PIT2"
    case .enableCapability: "KVM_ENABLE_CAP"
    case .setMSRFilter: "KVM_X86_SET_MSR_FILTER"
    case .run: "KVM_RUN"
    case .getRegs: "KVM_GET_REGS"
    case .setRegs: "KVM_SET_REGS"
    case .getSregs: "KVM_GET_SREGS"
    case .setSregs: "KVM_SET_SREGS"
    case .getMSRs: "KVM_GET_MSRS"
    case .setMSRs: "KVM_SET_MSRS"
    case .getLAPIC: "KVM_GET_LAPIC"
    case .setLAPIC: "KVM_SET_LAPIC"
    case .setCPUID2: "KVM_SET_CPUID2"
    case .getCPUID2: "KVM_GET_CPUID2"
    case .getMPState: "KVM_GET_MP_STATE"
    case .setMPState: "KVM_SET_MP_STATE"
    case .getVCPUEvents: "KVM_GET_VCPU_EVENTS"
    case .setVCPUEvents: "KVM_SET_VCPU_EVENTS"
    case .getDebugRegs: "KVM_GET_DEBUGREGS"
    case .setDebugRegs: "KVM_SET_DEBUGREGS"
    case .setTSCKilohertz: "KVM_SET_TSC_KHZ"
    case .getTSCKilohertz: "KVM_GET_TSC_KHZ"
    case .getXSAVE: "KVM_GET_XSAVE"
    case .setXSAVE: "KVM_SET_XSAVE"
    case .getXSAVE2: "KVM_GET_XSAVE2"
    case .getXCRs: "KVM_GET_XCRS"
    case .setXCRs: "KVM_SET_XCRS"
    case .kvmclockControl: "KVM_KVMCLOCK_CTRL"
    case .setDeviceAttribute: "KVM_SET_DEVICE_ATTR"
    case .getDeviceAttribute: "KVM_GET_DEVICE_ATTR"
    case .hasDeviceAttribute: "KVM_HAS_DEVICE_ATTR"
    }
  }
}

/// Capabilities asked about with `KVM_CHECK_EXTENSION`.
public enum KVMCapability: UInt, Hashable, Sendable {
  case vcpuAttributes = 127
  case immediateExit = 136
  /// KVM_CAP_X86_USER_SPACE_MSR: a mask of the reasons for which a guest can be left.
  case userSpaceMSR = 188
  case msrFilter = 189
  /// KVM_CAP_EXIT_HYPERCALL: a mask of the hypercalls for which a guest can be left.
  case exitHypercall = 201
  case xsave2 = 208
}
