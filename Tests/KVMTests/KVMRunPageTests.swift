import KVM
import LinuxOS
import Testing

@Suite("The page that a vCPU shares with the VMM")
struct KVMRunPageTests {
  /// The page's bytes as the kernel writes them; the vCPU's descriptor is a memfd here.
  private let kernel: SharedMapping
  private let page: KVMRunPage

  init() throws {
    let memfd = try Memfd.create(name: "run-page", byteCount: 4096)
    kernel = try SharedMapping(memfd, byteCount: 4096)
    page = try KVMRunPage(memfd, byteCount: 4096)
  }

  private func exit(_ reason: UInt32) { kernel.store64(UInt64(reason), at: 8) }

  @Test("tells a hypercall with its number, six arguments and mode, and takes the answer for RAX")
  func hypercall() {
    exit(3)
    kernel.store64(12, at: 32)
    for index in 0..<6 { kernel.store64(UInt64(0x1111 * (index + 1)), at: 40 + 8 * index) }
    kernel.store64(0x77, at: 88)
    kernel.store64(1, at: 96)
    let arguments: [UInt64] = [0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666]
    #expect(
      page.takeExit() == .hypercall(KVMHypercall(number: 12, arguments: arguments, isLongMode: true)))
    page.answerHypercall(-22)
    #expect(kernel.load64(at: 88) == UInt64(bitPattern: -22))
    #expect(kernel.load64(at: 80) == 0x6666 && kernel.load64(at: 96) == 1)
    kernel.store64(0, at: 96)
    guard case .hypercall(let call) = page.takeExit() else {
      Issue.record("the hypercall is gone")
      return
    }
    #expect(!call.isLongMode)
  }

  @Test("tells a read of an MSR, and takes the value or a refusal")
  func readMSR() {
    exit(29)
    kernel.store64(0xFFFF_FFFF_FFFF_FF00, at: 32)
    kernel.store64(4 | 0x4B56_4D08 << 32, at: 40)
    kernel.store64(0xDEAD, at: 48)
    let access = KVMMSRAccess(index: 0x4B56_4D08, value: 0, reason: .filtered)
    #expect(page.takeExit() == .readMSR(access))
    #expect(kernel.load64(at: 48) == 0, "what was there is not given to the guest")
    page.answerMSR(1)
    #expect(kernel.load64(at: 48) == 1)
    #expect(kernel.load64(at: 32) & 0xFF == 0)
    page.refuseMSR()
    #expect(kernel.load64(at: 32) & 0xFF == 1)
  }

  @Test("tells a write of an MSR with its value, and takes a refusal")
  func writeMSR() {
    exit(30)
    kernel.store64(0, at: 32)
    kernel.store64(6 | 0x4B56_4D08 << 32, at: 40)
    kernel.store64(0x1_0000_0001, at: 48)
    #expect(
      page.takeExit()
        == .writeMSR(
          KVMMSRAccess(index: 0x4B56_4D08, value: 0x1_0000_0001, reason: [.unknown, .filtered])))
    #expect(kernel.load64(at: 32) & 0xFF == 0)
    page.refuseMSR()
    #expect(kernel.load64(at: 32) == 1)
    #expect(kernel.load64(at: 48) == 0x1_0000_0001)
  }

  @Test("tells any other exit with its reason and what follows")
  func others() {
    exit(10)
    #expect(page.takeExit() == .interrupted)
    exit(8)
    kernel.store64(5, at: 32)
    #expect(page.takeExit() == .failed(reason: 8, detail: 5))
  }

  @Test("tells output with its bytes, and gives all ones to input")
  func ports() {
    exit(2)
    // Direction out, one byte wide, port 0x3F8, three times, data at 0x200.
    kernel.store64(1 | 1 << 8 | 0x3F8 << 16 | 3 << 32, at: 32)
    kernel.store64(0x200, at: 40)
    kernel.store64(0x0063_6261, at: 0x200)
    #expect(page.takeExit() == .output(port: 0x3F8, bytes: [0x61, 0x62, 0x63]))
    kernel.store64(0 | 2 << 8 | 0x70 << 16 | 1 << 32, at: 32)
    #expect(page.takeExit() == .input(port: 0x70))
    #expect(kernel.load64(at: 0x200) == 0x0063_FFFF)
  }
}
