import BatonWire
import Testing

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
    #expect(Set(GoldenTranscript.records.map(\.0)) == Set(Samples.all.map(\.name)))
  }

  @Test("is what is written today", arguments: Samples.all.map(\.name))
  func written(name: String) throws {
    let message = try #require(Samples.all.first { $0.name == name }).message
    let golden = try #require(GoldenTranscript.records.first { $0.0 == name }).1
    #expect(Self.hex(message.records(version: 1, sequence: 1)[0].bytes) == golden)
  }

  @Test("is read today", arguments: Samples.all.map(\.name))
  func read(name: String) throws {
    let message = try #require(Samples.all.first { $0.name == name }).message
    let golden = Self.bytes(try #require(GoldenTranscript.records.first { $0.0 == name }).1)
    var assembler = MessageAssembler(version: 1)
    let found = try assembler.take(golden, descriptorCount: message.descriptorCount)
    #expect(found == message)
  }
}
