import BatonWire
import Testing

/// The bytes of what version 2 adds to version 1. Version 1 itself stays as it was.
@Suite("The golden transcript of version 2")
struct SecondGoldenTranscriptTests {
  @Test("has every message that version 2 adds")
  func isComplete() {
    #expect(Set(GoldenTranscript.secondVersion.map(\.0)) == Set(Samples.secondVersion.map(\.name)))
    #expect(Samples.secondVersion.count == 13)
    #expect(ProtocolVersion.spoken == ProtocolVersion(oldest: 1, newest: 2))
  }

  @Test("is what is written and read today", arguments: Samples.secondVersion.map(\.name))
  func written(name: String) throws {
    let message = try #require(Samples.secondVersion.first { $0.name == name }).message
    let golden = try #require(GoldenTranscript.secondVersion.first { $0.0 == name }).1
    #expect(GoldenTranscriptTests.hex(message.records(version: 2, sequence: 1)[0].bytes) == golden)
    var assembler = MessageAssembler(version: 2)
    let found = try assembler.take(
      GoldenTranscriptTests.bytes(golden), descriptorCount: message.descriptorCount)
    #expect(found == message)
  }
}

/// The bytes of version 1, as they were when it was published. A change of any line here is a change
/// of the protocol and needs a new version number.
@Suite("The golden transcript of version 1")
struct GoldenTranscriptTests {
  static func hex(_ bytes: [UInt8]) -> String {
    bytes.map { byte in
      let digits = String(byte, radix: 16)
      return digits.count == 1 ? "0" + digits : digits
    }.joined()
  }

  static func bytes(_ hex: String) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = hex[...]
    while let byte = UInt8(rest.prefix(2), radix: 16) {
      bytes.append(byte)
      rest = rest.dropFirst(2)
    }
    return bytes
  }

  @Test("has every message")
  func isComplete() {
    #expect(Set(GoldenTranscript.records.map(\.0)) == Set(Samples.firstVersion.map(\.name)))
  }

  @Test("is what is written today", arguments: Samples.firstVersion.map(\.name))
  func written(name: String) throws {
    let message = try #require(Samples.firstVersion.first { $0.name == name }).message
    let golden = try #require(GoldenTranscript.records.first { $0.0 == name }).1
    #expect(Self.hex(message.records(version: 1, sequence: 1)[0].bytes) == golden)
  }

  @Test("is read today", arguments: Samples.firstVersion.map(\.name))
  func read(name: String) throws {
    let message = try #require(Samples.firstVersion.first { $0.name == name }).message
    let golden = Self.bytes(try #require(GoldenTranscript.records.first { $0.0 == name }).1)
    var assembler = MessageAssembler(version: 1)
    let found = try assembler.take(golden, descriptorCount: message.descriptorCount)
    #expect(found == message)
  }
}
