import SEVABI
import SEVModel
import Testing

/// INIT, ES_INIT, INIT2 and machine types; the INIT2 rows are those of the kernel's `sev_init2_tests`.
@Suite("Initialising a guest")
struct KernelInitializeTests {
  private static func typed(_ type: MachineType, in bench: inout Bench) -> VirtualMachineID? {
    try? bench.host.makeMachine(type: type.rawValue, creator: bench.caller.addressSpace)
  }

  private static func initialize2(
    _ type: MachineType, _ parameters: Initialize2Parameters = Initialize2Parameters()
  ) -> KernelError? {
    var bench = Bench(.mainline611)
    guard let machine = typed(type, in: &bench) else { preconditionFailure("no VM of type \(type)") }
    bench.memory.store(parameters.bytes, at: Address.parameters)
    return bench.issue(rawID: 22, machine).error
  }

  static let initialize2: [KernelCase] = [
    KernelCase("type SEV, zeroed struct: 0") { #expect(initialize2(.sev) == nil) },
    KernelCase("type SEV_ES, zeroed struct: 0") { #expect(initialize2(.sevES) == nil) },
    KernelCase("type DEFAULT: EINVAL") { #expect(initialize2(.standard) == .invalidArgument) },
    KernelCase("type SW_PROTECTED: EINVAL") {
      #expect(initialize2(.softwareProtected) == .invalidArgument)
    },
    KernelCase("any bit of the flags: EINVAL") {
      for bit in 0..<32 {
        for type in [MachineType.sev, .sevES] {
          let parameters = Initialize2Parameters(flags: 1 << UInt32(bit))
          #expect(initialize2(type, parameters) == .invalidArgument)
        }
      }
    },
    KernelCase("any VMSA feature outside KVM's mask: EINVAL; inside and with SEV-ES: 0") {
      let supported = Bench(.mainline611).host.supportedVMSAFeatures
      #expect(supported == 1 << 5)
      for bit in 0..<64 {
        let feature: UInt64 = 1 << UInt64(bit)
        let parameters = Initialize2Parameters(vmsaFeatures: feature)
        #expect(initialize2(.sev, parameters) == .invalidArgument)
        #expect(initialize2(.sevES, parameters) == (supported & feature != 0 ? nil : .invalidArgument))
      }
    },
    KernelCase("GHCB version above 2, or any without SEV-ES: EINVAL") {
      for version in UInt16(0)...4 {
        let parameters = Initialize2Parameters(ghcbVersion: version)
        #expect(initialize2(.sevES, parameters) == (version <= 2 ? nil : .invalidArgument))
        #expect(initialize2(.sev, parameters) == (version == 0 ? nil : .invalidArgument))
      }
    },
    KernelCase("struct that cannot be read: EFAULT, before vCPUs") {
      var bench = Bench(.mainline611)
      let machine = try #require(typed(.sev, in: &bench))
      bench.makeVCPUs(1, on: machine)
      #expect(bench.issue(rawID: 22, machine, data: 8) == .failed(.badAddress))
    },
    KernelCase("vCPUs created: EINVAL") {
      var bench = Bench(.mainline611)
      let machine = try #require(typed(.sev, in: &bench))
      bench.makeVCPUs(1, on: machine)
      #expect(bench.issue(rawID: 22, machine) == .failed(.invalidArgument))
    },
    KernelCase("twice: EINVAL, without the struct being read") {
      var bench = Bench(.mainline611)
      let machine = try #require(typed(.sev, in: &bench))
      #expect(bench.issue(rawID: 22, machine).error == nil)
      #expect(bench.issue(rawID: 22, machine, data: 8) == .failed(.invalidArgument))
    },
    KernelCase("INIT and ES_INIT on a typed VM: EINVAL") {
      for id in [SEVCommandID.initialize, .esInitialize] {
        var bench = Bench(.mainline611)
        let machine = try #require(typed(.sev, in: &bench))
        #expect(bench.issue(id, machine) == .failed(.invalidArgument))
      }
    },
    KernelCase("a typed VM runs after INIT2 and not before: EINVAL") {
      var bench = Bench(.mainline611)
      let machine = try #require(typed(.sev, in: &bench))
      #expect(bench.run(bench.makeVCPU(0, on: machine)) == .invalidArgument)
      let other = try #require(typed(.sev, in: &bench))
      #expect(bench.issue(rawID: 22, other).error == nil)
      #expect(bench.run(bench.makeVCPU(0, on: other)) == nil)
    },
    KernelCase("a guest of type SEV_ES has an ASID of that kind and launches") {
      var bench = Bench(.mainline611)
      let machine = try #require(typed(.sevES, in: &bench))
      #expect(bench.issue(rawID: 22, machine).error == nil)
      #expect(bench.host.freeEncryptedStateASIDCount == 99)
      bench.makeVCPUs(1, on: machine)
      #expect(bench.start(machine, policy: .encryptedState) == .ok)
      #expect(bench.issue(.launchUpdateVMSA, machine) == .ok)
    },
  ]

  @Test("with INIT2", arguments: initialize2)
  func withInitialize2(row: KernelCase) throws {
    try row.run()
  }

  static let initialize: [KernelCase] = [
    KernelCase("ES_INIT with SEV-ES off: ENOTTY, before all else") {
      var bench = Bench(ModelConfiguration(profile: .mainline611))
      let machine = bench.makeGuest()
      #expect(bench.issue(.esInitialize, machine) == .failed(.notSupported))
    },
    KernelCase("vCPUs created: EINVAL, before the VM is found a guest") {
      for profile in KernelProfile.allCases {
        var bench = Bench(profile)
        let machine = bench.makePlain(vcpus: 1)
        #expect(bench.issue(.initialize, machine) == .failed(.invalidArgument))
        let guest = bench.makeGuest(.sev, vcpus: 1)
        #expect(bench.issue(.initialize, guest) == .failed(.invalidArgument))
      }
    },
    KernelCase("a guest already: EINVAL, in 2021 EBUSY") {
      for profile in KernelProfile.allCases {
        var bench = Bench(profile)
        let isOld = profile == .rfc || profile == .v10SharedPages
        #expect(bench.issue(.initialize, bench.makeGuest()) == .failed(isOld ? .busy : .invalidArgument))
      }
    },
    KernelCase("cgroup without an ASID left: EBUSY, also if there are free ones") {
      var bench = Bench(.mainline611)
      bench.host.limit(.root, encryptedState: true, to: 0)
      #expect(bench.issue(.esInitialize, bench.makeMachine()) == .failed(.busy))
      #expect(bench.issue(.initialize, bench.makeMachine()).error == nil)
    },
    KernelCase("no ASID left: EBUSY, and the cgroup is not charged for it") {
      var bench = Bench(.mainline611, asids: 1)
      bench.host.limit(.root, encryptedState: false, to: 2)
      let first = bench.makeGuest()
      #expect(bench.issue(.initialize, bench.makeMachine()) == .failed(.busy))
      bench.host.destroy(first)
      _ = bench.makeGuest()
    },
    KernelCase("no ASID of the kind at all: ENOTTY") {
      var bench = Bench(ModelConfiguration(profile: .mainline611, asidCount: 0, encryptedStateASIDCount: 2))
      #expect(bench.issue(.initialize, bench.makeMachine()) == .failed(.notSupported))
      #expect(bench.issue(.esInitialize, bench.makeMachine()).error == nil)
    },
    KernelCase("the ranges are apart: each kind runs out for itself") {
      var bench = Bench(.mainline611, asids: 1)
      _ = bench.makeGuest(.sev)
      #expect(bench.issue(.initialize, bench.makeMachine()) == .failed(.busy))
      _ = bench.makeGuest(.sevES)
      #expect(bench.issue(.esInitialize, bench.makeMachine()) == .failed(.busy))
    },
  ]

  @Test("with INIT and ES_INIT", arguments: initialize)
  func withInitialize(row: KernelCase) throws {
    try row.run()
  }

  static let types: [KernelCase] = [
    KernelCase("mainline 6.11 with SEV-ES makes types 0 to 3 and says so") {
      var bench = Bench(.mainline611)
      #expect(bench.host.checkExtension(235) == 0b1111)
      for type in UInt64(0)..<4 {
        _ = try bench.host.makeMachine(type: type, creator: bench.caller.addressSpace)
      }
    },
    KernelCase("mainline 6.11 without SEV-ES does not make type 3") {
      var bench = Bench(ModelConfiguration(profile: .mainline611))
      #expect(bench.host.checkExtension(235) == 0b0111)
      #expect(Self.typed(.sevES, in: &bench) == nil)
    },
    KernelCase("mainline 6.11 without SEV makes types 0 and 1") {
      let bench = Bench(ModelConfiguration(isEnabled: false, profile: .mainline611))
      #expect(bench.host.checkExtension(235) == 0b0011)
    },
    KernelCase("SEV-SNP, TDX and unknown types: EINVAL") {
      var bench = Bench(.mainline611)
      for type in [UInt64(4), 5, 6, 1 << 32, .max] {
        #expect(
          kernelError { () throws(KernelError) in
            _ = try bench.host.makeMachine(type: type, creator: bench.caller.addressSpace)
          } == .invalidArgument)
      }
    },
    KernelCase("older kernels make type 0 only and know no types") {
      for profile in KernelProfile.allCases where profile != .mainline611 {
        var bench = Bench(profile)
        #expect(bench.host.checkExtension(235) == 0)
        #expect(Self.typed(.standard, in: &bench) != nil)
        #expect(Self.typed(.sev, in: &bench) == nil)
      }
    },
  ]

  @Test("in a VM of a type", arguments: types)
  func machineTypes(row: KernelCase) throws {
    try row.run()
  }
}

@Suite("KVM_CHECK_EXTENSION")
struct KernelCapabilityTests {
  @Test("answers by kernel: mirrors, moves, hypercall exits", arguments: KernelProfile.allCases)
  func capabilities(profile: KernelProfile) {
    let host = Bench(profile).host
    let isOld = profile == .v10SharedPages
    #expect(host.checkExtension(197) == (isOld ? 0 : 1))
    #expect(host.checkExtension(206) == (isOld ? 0 : 1))
    #expect(host.checkExtension(201) == (isOld ? 0 : 0x1000))
  }

  @Test("has moves and mirrors also where SEV is off: they are no probe for it")
  func withoutSEV() {
    var bench = Bench(ModelConfiguration(isEnabled: false, profile: .mainline611))
    #expect(bench.host.checkExtension(197) == 1)
    #expect(bench.host.checkExtension(206) == 1)
    let machine = bench.makeMachine()
    let step = bench.host.memoryEncryptOperation(on: machine, argument: 0, caller: bench.caller)
    #expect(bench.host.run(step, in: &bench.memory) == .notSupported)
  }

  @Test("leaves capabilities alone that SEV has no part in")
  func others() {
    let host = Bench(.mainline611).host
    let numbers: [UInt64] = [0, 98, 188, 207, 1 << 32 | 206]
    for number in numbers { #expect(host.checkExtension(number) == nil) }
  }

  @Test("goes with CPUID: SEV and SEV-ES, how many ASIDs, and which is the first without SEV-ES")
  func cpuid() {
    let with = Bench(.mainline611, asids: 5).host.memoryEncryptionCPUID
    #expect(with.eax == 0b1010)
    #expect(with.ecx == 10)
    #expect(with.edx == 6)
    let without = Bench(ModelConfiguration(asidCount: 5)).host.memoryEncryptionCPUID
    #expect(without.eax == 0b0010)
    #expect(without.ecx == 5)
    #expect(without.edx == 1)
    let off = Bench(ModelConfiguration(isEnabled: false)).host.memoryEncryptionCPUID
    #expect(off == (0, 0, 0, 0))
  }
}
