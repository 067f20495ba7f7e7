import KVM
import LinuxOS
import Testing

@Suite("The state of a KVM VM", .enabled(if: KVMHost.isThere, "/dev/kvm cannot be opened here"))
struct KVMOrderTests {
  let system: KVMSystem
  let memory: SharedMapping

  init() throws {
    system = try KVMSystem()
    let memfd = try Memfd.create(name: "kvm-test", byteCount: 4 << 20)
    memory = try SharedMapping(memfd, byteCount: 4 << 20)
  }

  private func machine(vcpus: Int, trace: KVMTrace? = nil) throws -> KVMVirtualMachine {
    try KVMVirtualMachine(
      system, vcpuCount: vcpus,
      memory: [
        KVMVirtualMachine.MemorySlot(guestAddress: 0, byteCount: 4 << 20, hostAddress: memory.address)
      ], trace: trace)
  }

  @Test("is made with interrupt controllers before the PIT, memory and vCPUs")
  func creationOrder() throws {
    let trace = KVMTrace()
    _ = try machine(vcpus: 2, trace: trace)
    let made = trace.operations.filter {
      $0.vcpu == nil
    }.map(\.request)
    #expect(
      made == [
        .setTSSAddress, .setIdentityMapAddress, .createIRQChip, .createPIT2, .setUserMemoryRegion,
        .createVCPU, .createVCPU,
      ])
  }

  @Test("is saved with MP_STATE first and events last for each vCPU, then the board, then TSC offsets")
  func saveOrder() throws {
    let trace = KVMTrace()
    let vm = try machine(vcpus: 2, trace: trace)
    trace.clear()
    _ = try vm.save()
    let vcpu: [KVMRequest] = [
      .getMPState, .getRegs, .getSregs, .getXSAVE, .getXCRs, .getDebugRegs, .getLAPIC,
      .getTSCKilohertz, .getCPUID2, .getMSRs, .getVCPUEvents,
    ]
    var expected: [KVMOperation] = []
    for index in 0..<2 { expected += vcpu.map { KVMOperation($0, vcpu: index) } }
    expected += [.getClock, .getIRQChip, .getIRQChip, .getIRQChip, .getPIT2].map { KVMOperation($0) }
    expected += (0..<2).map { KVMOperation(.getDeviceAttribute, vcpu: $0) }
    #expect(normalized(trace.operations) == expected)
  }

  @Test("is restored with CPUID first, LAPIC after SREGS and before MSRs, then board, clock, TSC offset")
  func restoreOrder() throws {
    let source = try machine(vcpus: 2)
    let state = try source.save()
    let trace = KVMTrace()
    let target = try machine(vcpus: 2, trace: trace)
    trace.clear()
    _ = try target.restore(vcpus: state.vcpus, board: state.board)
    let vcpu: [KVMRequest] = [
      .setCPUID2, .setTSCKilohertz, .setMPState, .setRegs, .setSregs, .setXSAVE, .setXCRs,
      .setDebugRegs, .setLAPIC, .setMSRs, .setVCPUEvents,
    ]
    var expected: [KVMOperation] = []
    for index in 0..<2 { expected += vcpu.map { KVMOperation($0, vcpu: index) } }
    expected += [.setIRQChip, .setIRQChip, .setIRQChip, .setPIT2, .setClock].map { KVMOperation($0) }
    for index in 0..<2 {
      expected += [
        KVMOperation(.setDeviceAttribute, vcpu: index), KVMOperation(.getDeviceAttribute, vcpu: index),
      ]
    }
    #expect(normalized(trace.operations) == expected)
  }

  /// A host with a large XSAVE area is asked by another request for the same thing.
  private func normalized(_ operations: [KVMOperation]) -> [KVMOperation] {
    operations.map {
      $0.request == .getXSAVE2 ? KVMOperation(.getXSAVE, vcpu: $0.vcpu) : $0
    }
  }

  @Test("is the same after a round trip through bytes and a second VM")
  func roundTrip() throws {
    let source = try machine(vcpus: 1)
    try source.vcpus[0].prepareLongMode(
      entry: 0x1000, stack: 0x3000, firstArgument: 7, pageTables: 0x8000,
      descriptorTable: (0x5000, 23), interruptTable: (0x6000, 4095))
    let saved = try source.save()
    let bytes = saved.vcpus[0].encoded()
    let decoded = try KVMVCPUState(decoding: bytes)
    #expect(decoded == saved.vcpus[0])
    let board = try KVMBoardState(decoding: saved.board.encoded())
    #expect(board == saved.board)

    let target = try machine(vcpus: 1)
    _ = try target.restore(vcpus: [decoded], board: board)
    let again = try target.save()
    #expect(again.vcpus[0].regs == saved.vcpus[0].regs)
    #expect(again.vcpus[0].sregs == saved.vcpus[0].sregs)
    #expect(again.vcpus[0].xsave == saved.vcpus[0].xsave)
    #expect(again.vcpus[0].lapic == saved.vcpus[0].lapic)
    #expect(again.vcpus[0].events == saved.vcpus[0].events)
    #expect(again.vcpus[0].cpuid == saved.vcpus[0].cpuid)
    #expect(again.vcpus[0].tscOffset == saved.vcpus[0].tscOffset)
    #expect(again.board.irqchips == saved.board.irqchips)
  }

  @Test("is refused when it is cut off at any length")
  func truncations() throws {
    let saved = try machine(vcpus: 1).save()
    let vcpu = saved.vcpus[0].encoded()
    for length in 0..<vcpu.count {
      #expect(throws: KVMStateError.self) { try KVMVCPUState(decoding: [UInt8](vcpu.prefix(length))) }
    }
    #expect(throws: KVMStateError.trailingBytes(1)) { try KVMVCPUState(decoding: vcpu + [0]) }
    let board = saved.board.encoded()
    for length in 0..<board.count {
      #expect(throws: KVMStateError.self) { try KVMBoardState(decoding: [UInt8](board.prefix(length))) }
    }
  }

  @Test("is refused by the kernel with an error that names the request, the vCPU and the reason")
  func namedErrors() throws {
    let source = try machine(vcpus: 1)
    let saved = try source.save()
    // SREGS follow 4 bytes of MP_STATE and 144 of REGS; CR4 lies at 248 in them. All its bits cannot be.
    var bytes = saved.vcpus[0].encoded()
    for index in 0..<8 { bytes[4 + 144 + 248 + index] = 0xFF }
    let broken = try KVMVCPUState(decoding: bytes)
    let target = try machine(vcpus: 1)
    let error = try #require(throws: KVMError.self) {
      try target.restore(vcpus: [broken], board: saved.board)
    }
    #expect(error.request == .setSregs)
    #expect(error.code == 22)
    #expect(error.description.hasPrefix("KVM_SET_SREGS on vCPU 0 failed: "))
  }
}
