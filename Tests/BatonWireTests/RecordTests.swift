import BatonWire
import Testing

@Suite("Records")
struct RecordTests {
  @Test("carry a message of any size in pieces of at most 64 KiB and 253 descriptors")
  func fragmentation() throws {
    for (bytes, descriptors) in [
      (0, 0), (1, 0), (65_536, 0), (65_537, 0), (200_000, 3), (10, 253), (10, 254), (70_000, 1_000),
      (Message.maximumPayload, Message.maximumDescriptors),
    ] {
      let message = Message(
        type: 2, payload: (0..<bytes).map { UInt8(truncatingIfNeeded: $0) }, descriptorCount: descriptors)
      let records = message.records(version: 1, sequence: 1)
      var assembler = MessageAssembler(version: 1)
      var whole: Message?
      for (index, record) in records.enumerated() {
        #expect(record.bytes.count <= RecordHeader.byteCount + RecordHeader.maximumPayload)
        #expect(record.descriptors.count <= RecordHeader.maximumDescriptors)
        whole = try assembler.take(record.bytes, descriptorCount: record.descriptors.count)
        #expect((whole != nil) == (index == records.count - 1))
      }
      #expect(whole == message)
      #expect(records.last?.descriptors.upperBound == descriptors)
    }
  }

  private func record(_ change: (inout [UInt8]) -> Void) -> [UInt8] {
    var bytes = Message(type: 3, payload: [1, 2, 3, 4, 5, 6, 7, 8], descriptorCount: 0)
      .records(version: 1, sequence: 1)[0].bytes
    change(&bytes)
    return bytes
  }

  @Test("with a wrong magic, version, length, count, flag or reserved word are refused")
  func badHeaders() {
    let cases: [(String, [UInt8], Int)] = [
      ("magic", record { $0[0] ^= 1 }, 0), ("version", record { $0[4] = 9 }, 0),
      ("sequence", record { $0[8] = 2 }, 0), ("announces more", record { $0[12] = 9 }, 0),
      ("announces less", record { $0[12] = 7 }, 0), ("64 KiB and one", record { $0[14] = 2 }, 0),
      ("descriptors announced", record { $0[16] = 1 }, 0), ("descriptor too many", record { _ in }, 1),
      ("254 descriptors", record { $0[16] = 254 }, 254), ("unknown flag", record { $0[18] = 2 }, 0),
      ("reserved", record { $0[20] = 1 }, 0),
    ]
    for (name, bytes, descriptors) in cases {
      var assembler = MessageAssembler(version: 1)
      #expect(throws: WireError.self, "\(name)") {
        try assembler.take(bytes, descriptorCount: descriptors)
      }
    }
  }

  @Test("cut off anywhere are refused")
  func truncatedRecords() {
    let whole = record { _ in }
    for length in 0..<whole.count {
      var assembler = MessageAssembler(version: 1)
      #expect(throws: WireError.self) {
        try assembler.take(Array(whole.prefix(length)), descriptorCount: 0)
      }
    }
  }

  @Test("that continue another message than the one begun are refused")
  func brokenContinuation() throws {
    let long = Message(type: 2, payload: [UInt8](repeating: 7, count: 70_000), descriptorCount: 0)
      .records(version: 1, sequence: 1)
    let other = Message(type: 3, payload: [1], descriptorCount: 0).records(version: 1, sequence: 2)
    var assembler = MessageAssembler(version: 1)
    #expect(try assembler.take(long[0].bytes, descriptorCount: 0) == nil)
    #expect(assembler.isInMessage)
    #expect(throws: WireError.brokenContinuation) {
      try assembler.take(other[0].bytes, descriptorCount: 0)
    }
  }

  @Test("that never end are refused at the limit of a message")
  func endlessMessage() throws {
    let piece = [UInt8](repeating: 0, count: RecordHeader.maximumPayload)
    var assembler = MessageAssembler(version: 1)
    var refused = false
    for _ in 0...(Message.maximumPayload / RecordHeader.maximumPayload) {
      var writer = ByteWriter()
      RecordHeader(
        version: 1, type: 2, sequence: 1, payloadByteCount: piece.count, descriptorCount: 0,
        isContinued: true
      ).encode(into: &writer)
      writer.write(raw: piece)
      do {
        _ = try assembler.take(writer.bytes, descriptorCount: 0)
      } catch {
        #expect(error == .payloadTooLong(Message.maximumPayload + RecordHeader.maximumPayload))
        refused = true
        break
      }
    }
    #expect(refused)
  }
}

@Suite("Peers of different versions")
struct ProtocolVersionTests {
  @Test("agree on the newest version that both speak, one apart at most")
  func agreement() {
    let n = ProtocolVersion(oldest: 4, newest: 5)
    #expect(n.agreed(with: ProtocolVersion(oldest: 4, newest: 5)) == 5)
    #expect(n.agreed(with: ProtocolVersion(oldest: 3, newest: 4)) == 4)
    #expect(n.agreed(with: ProtocolVersion(oldest: 5, newest: 6)) == 5)
    #expect(n.agreed(with: ProtocolVersion(oldest: 6, newest: 7)) == nil)
    #expect(n.agreed(with: ProtocolVersion(oldest: 2, newest: 3)) == nil)
    #expect(n.agreed(with: ProtocolVersion(oldest: 9, newest: 1)) == nil)
  }

  @Test("hand state over only when the reader knows its name, version and every feature")
  func formats() {
    let reads = Samples.reads
    #expect(reads.canRead(StateFormat(name: "baton-vmm", version: 1, features: 0)))
    #expect(reads.canRead(StateFormat(name: "baton-vmm", version: 2, features: 0xF)))
    #expect(!reads.canRead(StateFormat(name: "baton-vmm", version: 3, features: 0)))
    #expect(!reads.canRead(StateFormat(name: "baton-vmm", version: 2, features: 0x10)))
    #expect(!reads.canRead(StateFormat(name: "qemu", version: 2, features: 0)))
  }
}
