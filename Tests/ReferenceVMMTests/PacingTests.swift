import Testing

@testable import ReferenceVMM

@Suite("A paced software vCPU")
struct PacingTests {
  @Test(
    "rests as long after a piece of work as its part of the time says",
    arguments: [1, 2, 10, 50, 99, 100] as [UInt64])
  func proportion(_ duty: UInt64) {
    for work in [100_000, 170_000, 2_000_000] as [UInt64] {
      #expect(SoftwareVCPU.rest(after: work, dutyPercent: duty) == work * (100 - duty) / duty)
    }
  }

  @Test("goes on within a second when it was kept from its processor, or its process was stopped for hours")
  func stoppedProcess() {
    for kept in [500_000_000, 5_000_000_000, 86_400_000_000_000, .max] as [UInt64] {
      #expect(SoftwareVCPU.rest(after: kept, dutyPercent: 1) < 1_000_000_000)
    }
  }
}
