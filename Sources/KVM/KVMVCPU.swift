import CLinux
import Glibc
import LinuxOS

/// A vCPU of a VM. Its thread calls ``run()``; state is read and written while it does not run.
public final class KVMVCPU: Sendable {
  public let index: Int
  private let handle: KVMHandle
  private let page: KVMRunPage
  private let xsaveBytes: Int
  /// The MSRs of this vCPU that can be read, found out once.
  private let readableMSRs: [UInt32]
  private let hasTSCOffset: Bool

  /// `KVM_VCPU_TSC_CTRL` and `KVM_VCPU_TSC_OFFSET`.
  private enum TSCAttribute {
    static let group: UInt32 = 0
    static let offset: UInt64 = 0
  }

  init(
    _ descriptor: consuming OwnedDescriptor, index: Int, system: KVMSystem, guestFeatures: UInt32,
    trace: KVMTrace?
  ) throws(KVMError) {
    self.index = index
    page = try KVMRunPage(descriptor, byteCount: system.runPageBytes)
    let handle = KVMHandle(descriptor, subject: "vCPU \(index)", vcpu: index, trace: trace)
    xsaveBytes = max(KVMVCPUState.Size.xsave, try system.capability(.xsave2))
    let cpuid = CPUIDTable.table(
      system.supportedCPUID, apicID: UInt32(index), guestFeatures: guestFeatures)
    try handle.set(.setCPUID2, cpuid, byteCount: cpuid.count)
    readableMSRs = Self.findReadableMSRs(handle, system.stateMSRs)
    hasTSCOffset =
      try system.capability(.vcpuAttributes) > 0
      && Self.attribute(handle, .hasDeviceAttribute, 0) != nil
    self.handle = handle
  }

  // MARK: Running

  /// Executes the guest until something happens. Only on the vCPU's own thread.
  public func run() throws(KVMError) -> KVMExit {
    let result = clinux_kvm_ioctl_value(handle.descriptor.number, KVMRequest.run.rawValue, 0)
    if result >= 0 { return page.takeExit() }
    if result == -EINTR || result == -EAGAIN { return .interrupted }
    throw KVMError(.run, on: "vCPU \(index)", code: -result)
  }

  /// Answers ``KVMExit/hypercall(_:)`` with what the guest finds in RAX: 0, or a negative `KVM_E…`. On the vCPU's
  /// own thread, before the next ``run()``.
  public func answerHypercall(_ value: Int64) { page.answerHypercall(value) }

  /// Answers ``KVMExit/readMSR(_:)``. On the vCPU's own thread, before the next ``run()``.
  public func answerMSR(_ value: UInt64) { page.answerMSR(value) }

  /// Refuses an access to an MSR: the guest gets a general-protection fault. On the vCPU's own thread, before the
  /// next ``run()``.
  public func refuseMSR() { page.refuseMSR() }

  /// Finishes input or output that the last exit left half done, without executing the guest.
  public func completePendingInputOutput() throws(KVMError) {
    page.setImmediateExit(true)
    _ = try run()
  }

  /// While set, ``run()`` returns at once.
  public func setImmediateExit(_ enabled: Bool) { page.setImmediateExit(enabled) }

  /// Prepares the process for kicks. Once, before the first vCPU's thread starts.
  public static func prepareKicks() throws(KVMError) {
    let result = clinux_kvm_prepare_kick()
    if result < 0 { throw KVMError(.run, on: "the kick signal", code: -result) }
  }

  /// Called on the vCPU's thread, whose number is returned for ``kick(thread:)``.
  public static func acceptKicks() -> Int32 {
    _ = clinux_kvm_accept_kick()
    return clinux_thread_id()
  }

  /// Brings the thread out of `KVM_RUN`. Set immediate exit before, or it may go in again.
  public static func kick(thread: Int32) { _ = clinux_kvm_kick(thread) }

  // MARK: First start

  /// Puts a fresh vCPU into 64-bit mode at `entry`, with flat segments and interrupts off.
  public func prepareLongMode(
    entry: UInt64, stack: UInt64, firstArgument: UInt64, pageTables: UInt64,
    descriptorTable: (base: UInt64, limit: UInt16), interruptTable: (base: UInt64, limit: UInt16)
  ) throws(KVMError) {
    try makeRunnable()
    var sregs = try handle.get(.getSregs, byteCount: KVMVCPUState.Size.sregs)
    /// `struct kvm_segment`: base 8, limit 4, selector 2, type, present, dpl, db, s, l, g.
    func segment(_ number: Int, selector: UInt16, type: UInt8, db: UInt8, s: UInt8, l: UInt8) {
      let offset = number * 24
      sregs.setInteger(UInt64(0), at: offset)
      sregs.setInteger(s == 1 ? UInt32.max : UInt32(0x67), at: offset + 8)
      sregs.setInteger(selector, at: offset + 12)
      for (position, value) in [type, 1, 0, db, s, l, s, 0, 0].enumerated() {
        sregs[offset + 14 + position] = value
      }
    }
    segment(0, selector: 0x08, type: 0xB, db: 0, s: 1, l: 1)
    for data in 1...5 { segment(data, selector: 0x10, type: 0x3, db: 1, s: 1, l: 0) }
    segment(6, selector: 0, type: 0xB, db: 0, s: 0, l: 0)
    sregs.setInteger(descriptorTable.base, at: 192)
    sregs.setInteger(descriptorTable.limit, at: 200)
    sregs.setInteger(interruptTable.base, at: 208)
    sregs.setInteger(interruptTable.limit, at: 216)
    sregs.setInteger(UInt64(0x8000_0031), at: 224)  // CR0: PG, NE, ET, PE
    sregs.setInteger(pageTables, at: 240)  // CR3
    sregs.setInteger(UInt64(0x20), at: 248)  // CR4: PAE
    sregs.setInteger(UInt64(0x500), at: 264)  // EFER: LMA, LME
    try handle.set(.setSregs, sregs, byteCount: KVMVCPUState.Size.sregs)

    var regs = [UInt8](repeating: 0, count: KVMVCPUState.Size.regs)
    regs.setInteger(firstArgument, at: 40)  // RDI
    regs.setInteger(stack, at: 48)  // RSP
    regs.setInteger(entry, at: 128)  // RIP
    regs.setInteger(UInt64(2), at: 136)  // RFLAGS
    try handle.set(.setRegs, regs, byteCount: KVMVCPUState.Size.regs)
  }

  /// Makes a secondary vCPU, which waits for a start-up interrupt, runnable (`KVM_MP_STATE_RUNNABLE`).
  public func makeRunnable() throws(KVMError) {
    try handle.set(.setMPState, [0, 0, 0, 0], byteCount: KVMVCPUState.Size.mpState)
  }

  /// Ticks of the guest's TSC in a millisecond.
  public func tscKilohertz() throws(KVMError) -> UInt32 {
    UInt32(try handle.call(.getTSCKilohertz))
  }

  // MARK: Saving and restoring

  /// Reads everything but the TSC offset, in an order that loses nothing: MP_STATE first, because
  /// reading it may deliver INIT or SIPI; VCPU_EVENTS last.
  public func save() throws(KVMError) -> KVMVCPUState {
    let mpState = try handle.get(.getMPState, byteCount: KVMVCPUState.Size.mpState)
    let regs = try handle.get(.getRegs, byteCount: KVMVCPUState.Size.regs)
    let sregs = try handle.get(.getSregs, byteCount: KVMVCPUState.Size.sregs)
    let xsave = try handle.get(
      xsaveBytes > KVMVCPUState.Size.xsave ? .getXSAVE2 : .getXSAVE, byteCount: xsaveBytes)
    let xcrs = try handle.get(.getXCRs, byteCount: KVMVCPUState.Size.xcrs)
    let debugRegs = try handle.get(.getDebugRegs, byteCount: KVMVCPUState.Size.debugRegs)
    let lapic = try handle.get(.getLAPIC, byteCount: KVMVCPUState.Size.lapic)
    let kilohertz = try tscKilohertz()
    let cpuid = try readCPUID()
    let msrs = try readMSRs()
    let events = try handle.get(.getVCPUEvents, byteCount: KVMVCPUState.Size.events)
    return KVMVCPUState(
      mpState: mpState, regs: regs, sregs: sregs, xsave: xsave, xcrs: xcrs, debugRegs: debugRegs,
      lapic: lapic, tscKilohertz: kilohertz, cpuid: cpuid, msrs: msrs, events: events)
  }

  /// Writes everything but the TSC offset: CPUID first, because it decides what the later calls
  /// accept; LAPIC after SREGS, where its base is, and before MSRs; VCPU_EVENTS last, because
  /// SET_REGS drops pending exceptions.
  ///
  /// IA32_TSC is left out where there is an offset (its value would lag by the blackout), the
  /// deadline of the timer waits for ``restoreTimeOffset(_:)``, and MSRs that make KVM write guest
  /// memory wait for ``attachMemory(_:)``.
  public func restore(_ state: KVMVCPUState) throws(KVMError) {
    try handle.set(.setCPUID2, state.cpuid, byteCount: state.cpuid.count)
    if state.tscKilohertz != 0 { try handle.call(.setTSCKilohertz, UInt(state.tscKilohertz)) }
    try handle.set(.setMPState, state.mpState, byteCount: KVMVCPUState.Size.mpState)
    try handle.set(.setRegs, state.regs, byteCount: KVMVCPUState.Size.regs)
    try handle.set(.setSregs, state.sregs, byteCount: KVMVCPUState.Size.sregs)
    try handle.set(.setXSAVE, state.xsave, byteCount: xsaveBytes)
    try handle.set(.setXCRs, state.xcrs, byteCount: KVMVCPUState.Size.xcrs)
    try handle.set(.setDebugRegs, state.debugRegs, byteCount: KVMVCPUState.Size.debugRegs)
    try handle.set(.setLAPIC, state.lapic, byteCount: KVMVCPUState.Size.lapic)
    let offsetIsUsed = hasTSCOffset && state.tscOffset != nil
    try writeMSRs(
      state.msrs.filter {
        $0.index != KVMVCPUState.MSR.deadline
          && !KVMVCPUState.MSR.pointingIntoMemory.contains($0.index)
          && !(offsetIsUsed && $0.index == KVMVCPUState.MSR.timestampCounter)
      })
    try handle.set(.setVCPUEvents, state.events, byteCount: KVMVCPUState.Size.events)
  }

  /// What KVM adds to the host's TSC, or nil where it does not tell.
  public func readTSCOffset() -> UInt64? {
    hasTSCOffset ? Self.attribute(handle, .getDeviceAttribute, 0) : nil
  }

  /// Sets the offset; whether it reads back as it was set.
  @discardableResult
  func setTSCOffset(_ offset: UInt64) -> Bool {
    Self.attribute(handle, .setDeviceAttribute, offset) != nil && readTSCOffset() == offset
  }

  /// Sets the offset, reads it back, then arms a deadline timer, which depends on it.
  ///
  /// - Returns: Whether the offset is what it should be (true when there is none to set).
  public func restoreTimeOffset(_ state: KVMVCPUState) throws(KVMError) -> Bool {
    var isRight = true
    if let offset = state.tscOffset, hasTSCOffset { isRight = setTSCOffset(offset) }
    let deadline = state.msrs.filter { $0.index == KVMVCPUState.MSR.deadline && $0.value != 0 }
    if !deadline.isEmpty { try writeMSRs(deadline) }
    return isRight
  }

  /// Sets the MSRs that make KVM write guest memory, the clock's above all. Only with the right to
  /// run the guest.
  public func attachMemory(_ state: KVMVCPUState) throws(KVMError) {
    try writeMSRs(
      state.msrs.filter {
        $0.value != 0 && KVMVCPUState.MSR.pointingIntoMemory.contains($0.index)
      })
  }

  /// Tells a guest with a kvmclock that it was paused; false when it has none.
  public func noteGuestPaused() throws(KVMError) -> Bool {
    do throws(KVMError) {
      try handle.call(.kvmclockControl)
      return true
    } catch {
      if error.code == EINVAL { return false }
      throw error
    }
  }

  private static func attribute(
    _ handle: borrowing KVMHandle, _ request: KVMRequest, _ value: UInt64
  ) -> UInt64? {
    var value = value
    let succeeded = unsafe withUnsafeMutablePointer(to: &value) { pointer in
      // struct kvm_device_attr: flags 4, group 4, attribute 8, address 8.
      var attribute = [UInt8](repeating: 0, count: 24)
      attribute.setInteger(TSCAttribute.group, at: 4)
      attribute.setInteger(TSCAttribute.offset, at: 8)
      // SAFETY: the kernel reads or writes 8 bytes there, during the call only.
      attribute.setInteger(UInt64(UInt(bitPattern: pointer)), at: 16)
      return (try? handle.exchange(request, &attribute)) != nil
    }
    return succeeded ? value : nil
  }

  private func readCPUID() throws(KVMError) -> [UInt8] {
    let room = CPUIDTable.maximumEntries
    var cpuid = [UInt8](repeating: 0, count: CPUIDTable.headerBytes + room * CPUIDTable.entryBytes)
    cpuid.setInteger(UInt32(room), at: 0)
    try handle.exchange(.getCPUID2, &cpuid)
    let count = min(Int(cpuid.integer(at: 0, as: UInt32.self)), room)
    return [UInt8](cpuid.prefix(CPUIDTable.headerBytes + count * CPUIDTable.entryBytes))
  }

  // MARK: MSRs

  /// More than 255 entries in one call are refused.
  private static let msrsPerCall = 255

  /// `struct kvm_msrs`: count, padding, then index 4, reserved 4, value 8 for each.
  private static func msrTable(_ msrs: ArraySlice<KVMVCPUState.MSR>) -> [UInt8] {
    var table = [UInt8](repeating: 0, count: 8 + 16 * msrs.count)
    table.setInteger(UInt32(msrs.count), at: 0)
    for (position, msr) in msrs.enumerated() {
      table.setInteger(msr.index, at: 8 + 16 * position)
      table.setInteger(msr.value, at: 16 + 16 * position)
    }
    return table
  }

  private static func findReadableMSRs(
    _ handle: borrowing KVMHandle, _ indices: [UInt32]
  ) -> [UInt32] {
    var readable: [UInt32] = []
    for index in indices {
      var table = msrTable([KVMVCPUState.MSR(index: index, value: 0)])
      if let count = try? handle.exchange(.getMSRs, &table), count == 1 { readable.append(index) }
    }
    return readable
  }

  private func readMSRs() throws(KVMError) -> [KVMVCPUState.MSR] {
    var msrs: [KVMVCPUState.MSR] = []
    var rest = readableMSRs[...]
    while !rest.isEmpty {
      let chunk = rest.prefix(Self.msrsPerCall)
      rest = rest.dropFirst(chunk.count)
      var table = Self.msrTable(chunk.map { KVMVCPUState.MSR(index: $0, value: 0) }[...])
      let count = Int(try handle.exchange(.getMSRs, &table))
      guard count == chunk.count else {
        throw KVMError(
          .getMSRs, on: "vCPU \(index)", code: 0,
          detail: "MSR 0x\(String(chunk[chunk.startIndex + count], radix: 16)) cannot be read any more")
      }
      for position in 0..<count {
        msrs.append(
          KVMVCPUState.MSR(
            index: table.integer(at: 8 + 16 * position, as: UInt32.self),
            value: table.integer(at: 16 + 16 * position, as: UInt64.self)))
      }
    }
    return msrs
  }

  private func writeMSRs(_ msrs: [KVMVCPUState.MSR]) throws(KVMError) {
    var rest = msrs[...]
    while !rest.isEmpty {
      let chunk = rest.prefix(Self.msrsPerCall)
      rest = rest.dropFirst(chunk.count)
      var table = Self.msrTable(chunk)
      let count = Int(try handle.exchange(.setMSRs, &table))
      guard count == chunk.count else {
        let refused = chunk[chunk.startIndex + count]
        throw KVMError(
          .setMSRs, on: "vCPU \(index)", code: 0,
          detail: "MSR 0x\(String(refused.index, radix: 16)) does not take "
            + "0x\(String(refused.value, radix: 16))")
      }
    }
  }
}
