import Crypto
import SEVABI
import SEVModel
import Testing

/// The launch as the kernel's selftests make it, LAUNCH_UPDATE_VMSA, LAUNCH_SECRET and the attestation report.
@Suite("Launching a guest")
struct KernelLaunchTests {
  @Test("goes through the states that the selftests look for", arguments: GuestKind.allCases)
  func helper(kind: GuestKind) {
    var bench = Bench(.mainline611)
    let machine = bench.makeGuest(kind, vcpus: 2)
    let policy = kind.policy.union(.noKeySharing)
    #expect(bench.start(machine, policy: policy) == .ok)
    #expect(
      bench.status(machine).status
        == GuestStatusParameters(handle: 1, policy: policy.rawValue, state: GuestState.launching.rawValue))
    for slot in 0..<UInt64(3) {
      let address = Address.guestMemory + slot * 0x4000
      #expect(bench.register(machine, address: address, size: 0x4000) == nil)
      #expect(bench.update(machine, address: address, length: 0x4000) == .ok)
    }
    if kind.encryptedState { #expect(bench.issue(.launchUpdateVMSA, machine) == .ok) }
    #expect(bench.measure(machine) == .ok)
    #expect(bench.state(of: machine) == .measured)
    #expect(bench.issue(.launchFinish, machine) == .ok)
    #expect(bench.state(of: machine) == .running)
  }

  static let registers: [KernelCase] = [
    KernelCase("on a guest without SEV-ES: ENOTTY") {
      var bench = Bench(.mainline611)
      #expect(bench.issue(.launchUpdateVMSA, bench.makeStarted(.sev)) == .failed(.notSupported))
    },
    KernelCase("without vCPUs: 0, and the firmware is not asked") {
      var bench = Bench(.mainline611)
      let machine = bench.makeStarted(.sevES, vcpus: 0)
      bench.memory.firmware = []
      #expect(bench.issue(.launchUpdateVMSA, machine) == Ending(error: nil, firmware: .neverCalled))
    },
    KernelCase("before LAUNCH_START: EIO") {
      var bench = Bench(.mainline611)
      bench.openFirmwareAtZero()
      let machine = bench.makeGuest(.sevES, vcpus: 1)
      #expect(bench.issue(.launchUpdateVMSA, machine) == .refused(.invalidPlatformState))
    },
    KernelCase("after LAUNCH_MEASURE: EIO with INVALID_GUEST_STATE") {
      var bench = Bench(.mainline611)
      let machine = bench.makeStarted(.sevES)
      _ = bench.measure(machine)
      #expect(bench.issue(.launchUpdateVMSA, machine) == .refused(.invalidGuestState))
    },
    KernelCase("stops at the first vCPU that is debugged (EINVAL); those before it stay protected") {
      for state in [VCPUState.guestDebug, .debugRegisters] {
        var bench = Bench(.mainline611)
        let machine = bench.makeGuest(.sevES)
        let vcpus = bench.makeVCPUs(3, on: machine)
        #expect(bench.start(machine, policy: .encryptedState) == .ok)
        var bytes = [UInt8](repeating: 0, count: state.byteCount)
        // Debugging enabled, or a breakpoint in DR7.
        bytes[state == .guestDebug ? 0 : 40] = 1
        try bench.host.setVCPUState(state, of: vcpus[1], to: bytes, caller: bench.caller)
        #expect(bench.issue(.launchUpdateVMSA, machine).error == .invalidArgument)
        #expect(vcpus.map { bench.access($0) } == [.meaningless, .live, .live])
      }
    },
    KernelCase("without the firmware device: EBADF, and nothing is protected") {
      var bench = Bench(.mainline611)
      let machine = bench.makeGuest(.sevES)
      let vcpu = bench.makeVCPU(0, on: machine)
      #expect(bench.start(machine, policy: .encryptedState) == .ok)
      bench.memory.firmware = []
      #expect(bench.issue(.launchUpdateVMSA, machine) == .failed(.badDescriptor))
      #expect(bench.access(vcpu) == .live)
    },
    KernelCase(
      "takes the registers from the VMM: zeros and ignored on the default type, EINVAL on a typed VM"
    ) {
      for isTyped in [false, true] {
        var bench = Bench(.mainline611)
        let machine: VirtualMachineID
        if isTyped {
          machine = try bench.host.makeMachine(type: 3, creator: bench.caller.addressSpace)
          #expect(bench.issue(rawID: 22, machine).error == nil)
        } else {
          machine = bench.makeGuest(.sevES)
        }
        let vcpu = bench.makeVCPU(0, on: machine)
        let bytes = [UInt8](repeating: 3, count: 144)
        try bench.host.setVCPUState(.registers, of: vcpu, to: bytes, caller: bench.caller)
        let before = try bench.host.vcpuState(.registers, of: vcpu, caller: bench.caller)
        #expect(before == bytes)
        #expect(bench.start(machine, policy: .encryptedState) == .ok)
        #expect(bench.issue(.launchUpdateVMSA, machine) == .ok)
        #expect(bench.access(vcpu) == (isTyped ? .refused : .meaningless))
        for state in [VCPUState.registers, .specialRegisters, .specialRegisters2, .debugRegisters] {
          let zeros = [UInt8](repeating: 0, count: state.byteCount)
          let host = bench.host
          let caller = bench.caller
          var shown: [UInt8]?
          let getError = kernelError { () throws(KernelError) in
            shown = try host.vcpuState(state, of: vcpu, caller: caller)
          }
          #expect(getError == (isTyped ? .invalidArgument : nil))
          #expect(shown == (isTyped ? nil : zeros))
          var changed = host
          let setError = kernelError { () throws(KernelError) in
            try changed.setVCPUState(state, of: vcpu, to: zeros, caller: caller)
          }
          #expect(setError == (isTyped ? .invalidArgument : nil))
        }
      }
    },
    KernelCase("leaves a protected vCPU that cannot be debugged: EINVAL") {
      var bench = Bench(.mainline611)
      let machine = bench.makeGuest(.sevES)
      let vcpu = bench.makeVCPU(0, on: machine)
      #expect(bench.start(machine, policy: .encryptedState) == .ok)
      #expect(bench.issue(.launchUpdateVMSA, machine) == .ok)
      #expect(
        kernelError { () throws(KernelError) in
          try bench.host.setVCPUState(
            .guestDebug, of: vcpu, to: [UInt8](repeating: 0, count: 72), caller: bench.caller)
        } == .invalidArgument)
    },
  ]

  @Test("LAUNCH_UPDATE_VMSA", arguments: registers)
  func launchUpdateVMSA(row: KernelCase) throws {
    try row.run()
  }

  @Test("measures the registers of every vCPU behind the memory, and an owner can recompute it")
  func digest() throws {
    let owner = SessionOwner()
    var bench = Bench(.mainline611)
    bench.host = ModelHost(
      configuration: bench.host.configuration, random: ScriptedRandom(),
      identity: PlatformIdentity(key: owner.platformKey))
    let machine = bench.makeGuest(.sevES)
    let vcpu = bench.makeVCPU(0, on: machine)
    var registers = [UInt8](repeating: 0, count: 144)
    registers[128] = 0x34  // RIP
    registers[136] = 0x02  // RFLAGS
    try bench.host.setVCPUState(.registers, of: vcpu, to: registers, caller: bench.caller)
    #expect(bench.start(machine, session: owner, policy: .encryptedState) == .ok)
    #expect(bench.issue(.launchUpdateVMSA, machine) == .ok)
    #expect(bench.measure(machine) == .ok)

    let digest = SHA256.hash(data: Self.resetPage(instructionPointer: 0x34))
    let blob = bench.memory.load(48, at: Address.buffer)
    let version = bench.host.configuration.firmwareVersion
    let message =
      [0x04, version.major, version.minor, version.build, 4, 0, 0, 0] + Array(digest) + Array(blob[32...])
    #expect(
      HMAC<SHA256>.isValidAuthenticationCode(
        blob[..<32], authenticating: message, using: SymmetricKey(data: owner.integrityKey)))
  }

  /// The VMSA of a vCPU after reset, but for the general registers, which are 0, RIP and RFLAGS; written down field
  /// by field from AMD's manual.
  private static func resetPage(instructionPointer: UInt64) -> [UInt8] {
    var page = [UInt8](repeating: 0, count: 4096)
    var span = page.mutableSpan
    let segments: [(offset: Int, selector: UInt16, attributes: UInt16, base: UInt64)] = [
      (0x00, 0, 0x93, 0), (0x10, 0xF000, 0x9B, 0xFFFF_0000), (0x20, 0, 0x93, 0), (0x30, 0, 0x93, 0),
      (0x40, 0, 0x93, 0), (0x50, 0, 0x93, 0), (0x60, 0, 0, 0), (0x70, 0, 0x82, 0), (0x80, 0, 0, 0),
      (0x90, 0, 0x8B, 0),
    ]
    for segment in segments {
      span.store(segment.selector, at: segment.offset)
      span.store(segment.attributes, at: segment.offset + 2)
      span.store(0xFFFF as UInt32, at: segment.offset + 4)
      span.store(segment.base, at: segment.offset + 8)
    }
    span.store(0x1000 as UInt64, at: 0xD0)  // EFER: SVME
    span.store(0x6000_0010 as UInt64, at: 0x158)  // CR0
    span.store(0x400 as UInt64, at: 0x160)  // DR7
    span.store(0xFFFF_0FF0 as UInt64, at: 0x168)  // DR6
    span.store(2 as UInt64, at: 0x170)  // RFLAGS
    span.store(instructionPointer, at: 0x178)
    span.store(0x0007_0406_0007_0406 as UInt64, at: 0x268)  // PAT
    span.store(1 as UInt64, at: 0x3E8)  // XCR0
    return page
  }

  // MARK: LAUNCH_SECRET and the report

  static let secrets: [KernelCase] = [
    KernelCase("empty or wrapping range: EINVAL; not pinnable: ENOMEM; before the buffers are read") {
      var bench = Bench(.mainline611)
      let machine = bench.makeStarted(.sev, vcpus: 0)
      let nowhere = Buffer(address: 8, count: 16)
      func secret(_ guest: Buffer) -> Ending {
        bench.packet(.launchSecret, machine, header: nowhere, guest: guest, transport: nowhere)
      }
      #expect(secret(Buffer(address: Address.guestMemory, count: 0)) == .failed(.invalidArgument))
      #expect(secret(Buffer(address: .max - 7, count: 16)) == .failed(.invalidArgument))
      bench.memory.unpinnable = [Address.guestMemory]
      #expect(secret(Buffer(address: Address.guestMemory, count: 16)) == .failed(.outOfMemory))
    },
    KernelCase("range over pages that are not contiguous: EINVAL, before the buffers are read") {
      var bench = Bench(.mainline611)
      let machine = bench.makeStarted(.sev, vcpus: 0)
      let nowhere = Buffer(address: 8, count: 16)
      #expect(
        bench.packet(
          .launchSecret, machine, header: nowhere,
          guest: Buffer(address: Address.guestMemory + 4080, count: 32), transport: nowhere)
          == .failed(.invalidArgument))
    },
    KernelCase("transport buffer before header: EINVAL for an absent, empty or long one, then EFAULT") {
      var bench = Bench(.mainline611)
      let machine = bench.makeStarted(.sev, vcpus: 0)
      let guest = Buffer(address: Address.guestMemory, count: 16)
      for bad in [
        Buffer(address: 0, count: 16), Buffer(address: 0x80_000, count: 0),
        Buffer(address: 0x80_000, count: 0x4001),
      ] {
        #expect(
          bench.packet(
            .launchSecret, machine, header: Buffer(address: 8, count: 52), guest: guest, transport: bad)
            == .failed(.invalidArgument))
        #expect(bench.packet(.launchSecret, machine, header: bad, guest: guest) == .failed(.invalidArgument))
      }
      #expect(
        bench.packet(.launchSecret, machine, header: Buffer(address: 8, count: 52), guest: guest)
          == .failed(.badAddress))
    },
    KernelCase("in a guest that is not measured: INVALID_GUEST_STATE") {
      var bench = Bench(.mainline611)
      let machine = bench.makeStarted(.sev, vcpus: 0)
      let size = Buffer(address: Bench.TransportBuffer.transport.address, count: 16)
      #expect(
        bench.packet(
          .launchSecret, machine, guest: Buffer(address: Address.guestMemory, count: 16), transport: size)
          == .refused(.invalidGuestState))
    },
    KernelCase("that is not authentic: BAD_MEASUREMENT, and nothing is written") {
      var bench = Bench(.mainline611)
      let machine = bench.makeStarted(.sev, vcpus: 0)
      _ = bench.measure(machine)
      let size = Buffer(address: Bench.TransportBuffer.transport.address, count: 16)
      bench.memory.store([UInt8](repeating: 9, count: 16), at: Address.guestMemory)
      #expect(
        bench.packet(
          .launchSecret, machine, guest: Buffer(address: Address.guestMemory, count: 16), transport: size)
          == .refused(.badMeasurement))
      #expect(bench.memory.load(16, at: Address.guestMemory) == [UInt8](repeating: 9, count: 16))
    },
  ]

  @Test("LAUNCH_SECRET", arguments: secrets)
  func launchSecret(row: KernelCase) throws {
    try row.run()
  }

  static let reports: [KernelCase] = [
    KernelCase("length 0: EIO with INVALID_LENGTH, and 208 written back") {
      var bench = Bench(.mainline611)
      let machine = bench.makeLaunched()
      #expect(bench.report(machine, Buffer(address: 0, count: 0)) == .refused(.invalidLength))
      #expect(bench.parameters(as: AttestationReportParameters.self).length == 208)
    },
    KernelCase("length without address: INVALID_LENGTH, and no length written back") {
      var bench = Bench(.mainline611)
      let machine = bench.makeLaunched()
      #expect(bench.report(machine, Buffer(address: 0, count: 300)) == .refused(.invalidLength))
      #expect(bench.parameters(as: AttestationReportParameters.self).length == 300)
    },
    KernelCase("too long: EINVAL; too short: INVALID_LENGTH") {
      var bench = Bench(.mainline611)
      let machine = bench.makeLaunched()
      #expect(
        bench.report(machine, Buffer(address: Address.buffer, count: 0x4001)) == .failed(.invalidArgument))
      #expect(bench.report(machine, Buffer(address: Address.buffer, count: 207)) == .refused(.invalidLength))
    },
    KernelCase("has the caller's nonce and the policy; zeros fill a longer buffer; 208 is written back") {
      var bench = Bench(.mainline611)
      let machine = bench.makeLaunched(policy: .noKeySharing)
      bench.memory.store([UInt8](repeating: 0xEE, count: 300), at: Address.buffer)
      #expect(bench.report(machine, Buffer(address: Address.buffer, count: 220)) == .ok)
      let report = bench.memory.load(221, at: Address.buffer)
      #expect(Array(report[..<16]) == (1...16).map { UInt8($0) })
      #expect(report.span.uint32(at: 48) == GuestPolicy.noKeySharing.rawValue)
      #expect(Array(report[208...]) == [UInt8](repeating: 0, count: 12) + [0xEE])
      #expect(bench.parameters(as: AttestationReportParameters.self).length == 208)
    },
    KernelCase("that cannot be copied out: EFAULT") {
      var bench = Bench(.mainline611)
      let machine = bench.makeLaunched()
      bench.memory.readOnly = [Address.buffer]
      #expect(
        bench.report(machine, Buffer(address: Address.buffer, count: 208))
          == Ending(error: .badAddress, firmware: .success))
    },
  ]

  @Test("GET_ATTESTATION_REPORT", arguments: reports)
  func attestationReport(row: KernelCase) throws {
    try row.run()
  }
}

extension Bench {
  /// GET_ATTESTATION_REPORT with the nonce 1, 2, … 16.
  mutating func report(_ machine: VirtualMachineID, _ buffer: Buffer) -> Ending {
    issue(
      .getAttestationReport, machine,
      AttestationReportParameters(
        nonceLow: 0x0807_0605_0403_0201, nonceHigh: 0x100F_0E0D_0C0B_0A09, address: buffer.address,
        length: buffer.count
      ).bytes)
  }
}
