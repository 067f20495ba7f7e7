import BatonWire
import MigrationCore
import Testing

@Suite("The lock of an arrival") struct DepartureLockTests {
  @Test("is what another implementation of SHA-256 makes of the words, the id and the receipt")
  func golden() {
    #expect(StreamSamples.lock.bytes == StreamGoldens.bytes("lock"))
    #expect(
      Digest.sha256(
        Array("baton departure receipt".utf8) + StreamSamples.id.bytes + StreamSamples.receipt.bytes)
        == StreamSamples.lock.bytes)
  }

  @Test("is opened by its own receipt for its own migration only") func others() {
    let lock = StreamSamples.lock
    #expect(DepartureLock(of: StreamSamples.receipt, for: StreamSamples.id) == lock)
    for bit in 0..<256 {
      var bytes = StreamSamples.receipt.bytes
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      guard let receipt = DepartureReceipt(bytes) else { continue }
      #expect(DepartureLock(of: receipt, for: StreamSamples.id) != lock)
    }
    for bit in 0..<128 {
      var bytes = StreamSamples.id.bytes
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      guard let id = MigrationID(bytes) else { continue }
      #expect(DepartureLock(of: StreamSamples.receipt, for: id) != lock)
    }
  }

  @Test("is made of values that never come twice") func random() {
    #expect(Set((0..<1_000).map { _ in MigrationID.random() }).count == 1_000)
    #expect(Set((0..<1_000).map { _ in DepartureReceipt.random() }).count == 1_000)
  }
}
