import SEVABI
import SEVModel
import Testing

extension Bench {
  /// The page-status hypercall of a guest.
  mutating func report(
    pages: Range<UInt64>, attributes: UInt64, on vcpu: VirtualCPUID, privilege: UInt8 = 0
  ) -> ModelHost.HypercallOutcome? {
    try? host.hypercall(
      PageStatus.hypercall, [pages.lowerBound * 4096, UInt64(pages.count), attributes], privilege: privilege,
      on: vcpu, caller: caller)
  }

  mutating func writeMSR(_ value: UInt64, on vcpu: VirtualCPUID) -> ModelHost.MSROutcome? {
    try? host.writeMSR(PageStatus.migrationControlMSR, value, on: vcpu, caller: caller)
  }

  func readMSR(on vcpu: VirtualCPUID) -> ModelHost.MSROutcome? {
    try? host.readMSR(PageStatus.migrationControlMSR, on: vcpu, caller: caller)
  }
}

/// KVM_HC_MAP_GPA_RANGE and the migration-control MSR of mainline.
@Suite("What a guest says about its pages")
struct KernelPageStatusTests {
  private static let encrypted = PageStatus.encryptedAttribute

  static let mainline: [KernelCase] = [
    KernelCase("not enabled: the guest gets -1000") {
      var bench = Bench(.mainline611)
      let vcpu = bench.makeVCPU(0, on: bench.makeGuest())
      #expect(bench.report(pages: 1..<2, attributes: encrypted, on: vcpu) == .returned(-1000))
    },
    KernelCase("other bits than that of the hypercall cannot be enabled: EINVAL") {
      var bench = Bench(.mainline611)
      let machine = bench.makeMachine()
      for bit in 0..<64 {
        let expected: KernelError? = bit == 12 ? nil : .invalidArgument
        #expect(bench.enable(201, 1 << UInt64(bit), on: machine) == expected)
      }
    },
    KernelCase("enabled: the run ends with number and arguments, and the guest gets what the VMM answers") {
      var bench = Bench(.mainline611)
      let machine = bench.makeGuest()
      #expect(bench.enable(201, 1 << 12, on: machine) == nil)
      let vcpu = bench.makeVCPU(0, on: machine)
      #expect(
        bench.report(pages: 3..<5, attributes: encrypted, on: vcpu)
          == .exit(number: 12, arguments: [0x3000, 2, encrypted]))
      #expect(bench.host.completeHypercall(on: vcpu, result: 0) == 0)
      #expect(bench.host.completeHypercall(on: vcpu, result: 0) == nil)
    },
    KernelCase("no pages, an unaligned address or a range that wraps: the guest gets -22") {
      var bench = Bench(.mainline611)
      let machine = bench.makeGuest()
      #expect(bench.enable(201, 1 << 12, on: machine) == nil)
      let vcpu = bench.makeVCPU(0, on: machine)
      for arguments: [UInt64] in [[0x1000, 0, 0], [0x1008, 1, 0], [0x1000, .max, 0]] {
        let outcome = try bench.host.hypercall(12, arguments, on: vcpu, caller: bench.caller)
        #expect(outcome == .returned(-22))
      }
    },
    KernelCase("from a guest's user space: -1; another number: -1000") {
      var bench = Bench(.mainline611)
      let machine = bench.makeGuest()
      #expect(bench.enable(201, 1 << 12, on: machine) == nil)
      let vcpu = bench.makeVCPU(0, on: machine)
      #expect(bench.report(pages: 1..<2, attributes: 0, on: vcpu, privilege: 3) == .returned(-1))
      let outcome = try bench.host.hypercall(11, [0, 1, 0], on: vcpu, caller: bench.caller)
      #expect(outcome == .returned(-1000))
    },
    KernelCase("the migration MSR is not KVM's: #GP") {
      var bench = Bench(.mainline611)
      let vcpu = bench.makeVCPU(0, on: bench.makeGuest())
      #expect(bench.readMSR(on: vcpu) == .generalProtection)
      #expect(bench.writeMSR(1, on: vcpu) == .generalProtection)
    },
    KernelCase("with exits for unknown MSRs the run ends with reason 2, with a filter and its exits with 4") {
      var bench = Bench(.mainline611)
      let machine = bench.makeGuest()
      let vcpu = bench.makeVCPU(0, on: machine)
      #expect(bench.enable(188, 0b10, on: machine) == nil)
      #expect(bench.readMSR(on: vcpu) == .exit(reason: 2))
      bench.host.denyMSRs([0x4B56_4D00...0x4B56_4DFF], on: machine)
      #expect(bench.writeMSR(1, on: vcpu) == .generalProtection)
      #expect(bench.enable(188, 0b100, on: machine) == nil)
      #expect(bench.writeMSR(1, on: vcpu) == .exit(reason: 4))
      #expect(bench.enable(188, 0b1000, on: machine) == .invalidArgument)
    },
  ]

  @Test("in mainline", arguments: mainline)
  func inMainline(row: KernelCase) throws {
    try row.run()
  }
}

@Suite("The list of shared pages")
struct SharedPageRangesTests {
  @Test("merges what touches and splits what is encrypted again")
  func updates() {
    var pages = SharedPageRanges()
    pages.update(10..<20, isEncrypted: false)
    pages.update(30..<40, isEncrypted: false)
    #expect(pages.ranges == [10..<20, 30..<40])
    pages.update(20..<30, isEncrypted: false)
    #expect(pages.ranges == [10..<40])
    pages.update(15..<16, isEncrypted: true)
    #expect(pages.ranges == [10..<15, 16..<40])
    pages.update(0..<12, isEncrypted: true)
    #expect(pages.ranges == [12..<15, 16..<40])
    pages.update(0..<100, isEncrypted: true)
    #expect(pages.ranges.isEmpty)
  }

  @Test("agrees with a set of pages over many random reports")
  func randomReports() {
    var seed: UInt64 = 42
    func draw(_ bound: UInt64) -> UInt64 {
      seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (seed >> 33) % bound
    }
    var ranges = SharedPageRanges()
    var set: Set<UInt64> = []
    for _ in 0..<5000 {
      let first = draw(100)
      let pages = first..<(first + draw(12))
      let isEncrypted = draw(2) == 0
      ranges.update(pages, isEncrypted: isEncrypted)
      if isEncrypted { set.subtract(pages) } else { set.formUnion(pages) }
      let listed = ranges.ranges.flatMap { Array($0) }
      #expect(listed == set.sorted())
    }
  }
}

/// The list that the kernel of the v10 live-migration series keeps.
@Suite("KVM_GET_ and KVM_SET_SHARED_PAGES_LIST of the v10 series")
struct KernelSharedPagesTests {
  private static let count: UInt64 = 0x30_000
  private static let entries: UInt64 = 0x31_000

  private static func get(_ bench: inout Bench, _ machine: VirtualMachineID, size: UInt32) -> KernelError? {
    let list = SharedPagesList(countAddress: count, bufferAddress: entries, size: size)
    bench.memory.store(list.bytes, at: Address.block)
    return bench.host.run(
      bench.host.getSharedPages(on: machine, argument: Address.block, caller: bench.caller),
      in: &bench.memory)
  }

  private static func set(
    _ bench: inout Bench, _ machine: VirtualMachineID, _ pages: [UInt64], buffer: UInt64 = entries
  ) -> KernelError? {
    bench.memory.store([UInt8(pages.count / 2), 0, 0, 0], at: count)
    for (index, page) in pages.enumerated() {
      var bytes = [UInt8](repeating: 0, count: 8)
      var span = bytes.mutableSpan
      span.store(page, at: 0)
      bench.memory.store(bytes, at: entries + 8 * UInt64(index))
    }
    let list = SharedPagesList(countAddress: count, bufferAddress: buffer, size: 0)
    bench.memory.store(list.bytes, at: Address.block)
    return bench.host.run(
      bench.host.setSharedPages(on: machine, argument: Address.block, caller: bench.caller),
      in: &bench.memory)
  }

  /// A guest that has enabled migration, and its vCPU.
  private static func guest(_ bench: inout Bench) -> (VirtualMachineID, VirtualCPUID) {
    let machine = bench.makeLaunched()
    let vcpu = bench.makeVCPU(0, on: machine)
    precondition(bench.writeMSR(1, on: vcpu) == .done)
    return (machine, vcpu)
  }

  static let rows: [KernelCase] = [
    KernelCase("on another kernel: ENOTTY") {
      for profile in KernelProfile.allCases where profile != .v10SharedPages {
        var bench = Bench(profile)
        let machine = bench.makeLaunched()
        #expect(get(&bench, machine, size: 64) == .notSupported)
        #expect(set(&bench, machine, []) == .notSupported)
      }
    },
    KernelCase("on a VM that is no guest: ENOTTY, after the argument was read") {
      var bench = Bench(.v10SharedPages)
      let machine = bench.makeMachine()
      #expect(get(&bench, machine, size: 0) == .notSupported)
      #expect(set(&bench, machine, []) == .notSupported)
      bench.memory.faults = [Address.block]
      #expect(get(&bench, machine, size: 0) == .badAddress)
      #expect(set(&bench, machine, []) == .badAddress)
    },
    KernelCase("before the guest enabled migration, and with a size of 0: EINVAL") {
      var bench = Bench(.v10SharedPages)
      let machine = bench.makeLaunched()
      #expect(get(&bench, machine, size: 64) == .invalidArgument)
      let (ready, _) = guest(&bench)
      #expect(get(&bench, ready, size: 0) == .invalidArgument)
    },
    KernelCase("empty: the count is 0 and it succeeds") {
      var bench = Bench(.v10SharedPages)
      let (machine, _) = guest(&bench)
      bench.memory.store([1, 2, 3, 4], at: count)
      #expect(get(&bench, machine, size: 1) == nil)
      #expect(bench.memory.load(4, at: count) == [0, 0, 0, 0])
    },
    KernelCase("too small a buffer: E2BIG; just enough: the entries, their ends exclusive") {
      var bench = Bench(.v10SharedPages)
      let (machine, vcpu) = guest(&bench)
      #expect(bench.report(pages: 5..<7, attributes: 0, on: vcpu) == .returned(0))
      #expect(bench.report(pages: 9..<10, attributes: 0, on: vcpu) == .returned(0))
      #expect(bench.report(pages: 6..<7, attributes: 1, on: vcpu) == .returned(0))
      #expect(get(&bench, machine, size: 31) == .tooBig)
      #expect(get(&bench, machine, size: 32) == nil)
      #expect(bench.memory.load(4, at: count) == [2, 0, 0, 0])
      let words = (0..<4).map { bench.memory.load(8, at: entries + 8 * UInt64($0)).span.uint64(at: 0) }
      #expect(words == [5, 6, 9, 10])
    },
    KernelCase("a buffer or a count that cannot be written: EFAULT") {
      var bench = Bench(.v10SharedPages)
      let (machine, vcpu) = guest(&bench)
      _ = bench.report(pages: 5..<7, attributes: 0, on: vcpu)
      bench.memory.readOnly = [entries]
      #expect(get(&bench, machine, size: 64) == .badAddress)
      bench.memory.readOnly = [count]
      #expect(get(&bench, machine, size: 64) == .badAddress)
    },
    KernelCase("set appends; a null buffer or no entries empty it") {
      var bench = Bench(.v10SharedPages)
      let (machine, _) = guest(&bench)
      #expect(set(&bench, machine, [8, 9]) == nil)
      #expect(set(&bench, machine, [1, 3, 5, 6]) == nil)
      #expect(bench.host.sharedPages(of: machine) == [8..<9, 1..<3, 5..<6])
      #expect(set(&bench, machine, [1, 2], buffer: 0) == nil)
      #expect(bench.host.sharedPages(of: machine).isEmpty)
      #expect(set(&bench, machine, [1, 2]) == nil)
      #expect(set(&bench, machine, []) == nil)
      #expect(bench.host.sharedPages(of: machine).isEmpty)
    },
    KernelCase("more entries than one copy holds go and come whole") {
      var bench = Bench(.v10SharedPages)
      let (machine, vcpu) = guest(&bench)
      for page in 0..<UInt64(2500) {
        _ = bench.report(pages: (2 * page)..<(2 * page + 1), attributes: 0, on: vcpu)
      }
      #expect(get(&bench, machine, size: 2500 * 16) == nil)
      #expect(bench.memory.load(4, at: count) == [0xC4, 0x09, 0, 0])
      let last = bench.memory.load(16, at: entries + 2499 * 16)
      #expect(last.span.uint64(at: 0) == 4998)
      #expect(last.span.uint64(at: 8) == 4999)
      let list = SharedPagesList(countAddress: count, bufferAddress: entries, size: 0)
      bench.memory.store(list.bytes, at: Address.block)
      let step = bench.host.setSharedPages(on: machine, argument: Address.block, caller: bench.caller)
      #expect(bench.host.run(step, in: &bench.memory) == nil)
      #expect(bench.host.sharedPages(of: machine).count == 5000)
    },
    KernelCase("the MSR is the kernel's: bit 0 is kept, any other bit is #GP") {
      var bench = Bench(.v10SharedPages)
      let vcpu = bench.makeVCPU(0, on: bench.makeLaunched())
      #expect(bench.readMSR(on: vcpu) == .value(0))
      #expect(bench.writeMSR(3, on: vcpu) == .generalProtection)
      #expect(bench.writeMSR(1, on: vcpu) == .done)
      #expect(bench.readMSR(on: vcpu) == .value(1))
      #expect(bench.writeMSR(0, on: vcpu) == .done)
      #expect(bench.readMSR(on: vcpu) == .value(0))
    },
    KernelCase("the v10 kernel ends no run for the hypercall: KVM_CAP_EXIT_HYPERCALL is EINVAL") {
      var bench = Bench(.v10SharedPages)
      #expect(bench.enable(201, 1 << 12, on: bench.makeMachine()) == .invalidArgument)
    },
  ]

  @Test("row", arguments: rows)
  func row(_ row: KernelCase) throws {
    try row.run()
  }
}
