import SEVABI

/// The VMSA: the page with a SEV-ES vCPU's registers that the firmware measures and encrypts.
///
/// The layout is that of AMD's Architecture Programmer's Manual, volume 2, appendix B ("VMCB state save area",
/// SEV-ES part).
enum SaveArea {
  static let byteCount = 4096

  /// `struct kvm_sregs` holds its segments in another order than the VMSA.
  private static let segments: [(kernel: Int, saved: Int)] = [
    (48, 0x00), (0, 0x10), (120, 0x20), (24, 0x30), (72, 0x40), (96, 0x50), (168, 0x70), (144, 0x90),
  ]
  /// `struct kvm_regs` in its order, each with its place in the VMSA.
  private static let registers: [Int] = [
    0x1F8, 0x318, 0x308, 0x310, 0x330, 0x338, 0x1D8, 0x328, 0x340, 0x348, 0x350, 0x358, 0x360, 0x368, 0x370,
    0x378, 0x178, 0x170,
  ]
  /// CR0, CR2, CR3 and CR4 of `struct kvm_sregs`.
  private static let control: [(kernel: Int, saved: Int)] = [
    (224, 0x158), (232, 0x240), (240, 0x150), (248, 0x148),
  ]

  /// A vCPU's registers as KVM puts them into the page for LAUNCH_UPDATE_VMSA.
  static func page(_ file: RegisterFile, features: UInt64) -> [UInt8] {
    var page = [UInt8](repeating: 0, count: byteCount)
    let special = file.specialRegisters.span
    let general = file.registers.span
    let debug = file.debugRegisters.span
    var span = page.mutableSpan
    for (kernel, saved) in segments { storeSegment(special, at: kernel, into: &span, at: saved) }
    // GDTR and IDTR have a limit and a base only.
    for (kernel, saved) in [(192, 0x60), (208, 0x80)] {
      span.store(special.uint32(at: kernel + 8) & 0xFFFF, at: saved + 4)
      span.store(special.uint64(at: kernel), at: saved + 8)
    }
    for (index, saved) in registers.enumerated() { span.store(general.uint64(at: 8 * index), at: saved) }
    for (kernel, saved) in control { span.store(special.uint64(at: kernel), at: saved) }
    // The privilege level is that of the stack segment.
    span[0xCB] = special[136] & 3
    // Every guest under SVM runs with EFER.SVME set.
    span.store(special.uint64(at: 264) | 0x1000, at: 0xD0)
    span.store(debug.uint64(at: 40), at: 0x160)
    span.store(debug.uint64(at: 32), at: 0x168)
    // The page-attribute table and XCR0 after reset.
    span.store(0x0007_0406_0007_0406 as UInt64, at: 0x268)
    span.store(features, at: 0x3B0)
    span.store(1 as UInt64, at: 0x3E8)
    return page
  }

  /// Packs a `struct kvm_segment` into selector, attributes, limit and base.
  private static func storeSegment(
    _ special: Span<UInt8>, at kernel: Int, into page: inout MutableSpan<UInt8>, at saved: Int
  ) {
    func bit(_ offset: Int, _ place: UInt16) -> UInt16 { UInt16(special[kernel + offset] & 1) << place }
    let level = UInt16(special[kernel + 16] & 3) << 5
    let type = UInt16(special[kernel + 14] & 0xF)
    let attributes =
      type | bit(18, 4) | level | bit(15, 7) | bit(21, 8) | bit(19, 9) | bit(17, 10) | bit(20, 11)
    page.store(UInt16(truncatingIfNeeded: special.uint32(at: kernel + 12)), at: saved)
    page.store(attributes, at: saved + 2)
    page.store(special.uint32(at: kernel + 8), at: saved + 4)
    page.store(special.uint64(at: kernel), at: saved + 8)
  }
}
