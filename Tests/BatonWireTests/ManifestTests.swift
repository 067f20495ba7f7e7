import BatonWire
import Testing

@Suite("A manifest")
struct ManifestTests {
  private func problem(_ change: (inout Manifest) -> Void) -> Manifest.Problem? {
    var manifest = Samples.manifest
    change(&manifest)
    do {
      try manifest.validate()
      return nil
    } catch {
      return error
    }
  }

  @Test("of adjacent regions is accepted")
  func good() { #expect(problem { _ in } == nil) }

  @Test("with overlapping, overflowing, empty, unaligned or foreign regions is refused by name")
  func badRegions() {
    #expect(problem { $0.regions[1].guestPhysicalAddress = 0x2000_0000 } == .overlap(0, 1))
    #expect(problem { $0.regions[1].fileOffset = 0x2000_0000 } == .overlap(0, 1))
    #expect(problem { $0.regions[1].guestPhysicalAddress = .max - 0xFFF } == .overflow(region: 1))
    #expect(problem { $0.regions[1].fileOffset = .max - 0xFFF } == .overflow(region: 1))
    #expect(problem { $0.regions[0].byteCount = 0 } == .emptyRegion(0))
    #expect(problem { $0.regions[0].byteCount -= 1 } == .unaligned(region: 0))
    #expect(problem { $0.regions[1].file = 1 } == .unknownFile(region: 1))
    #expect(problem { $0.files[0].byteCount = 0x2000_0000 } == .beyondFile(region: 0))
    #expect(problem { $0.regions = [] } == .noRAM)
    #expect(problem { $0.files.append($0.files[0]) } == .sameFileTwice(0, 1))
  }

  @Test("with empty, long, unprintable or repeated descriptor names is refused")
  func badNames() {
    #expect(problem { $0.names[0] = "" } == .badName(0))
    #expect(problem { $0.names[1] = String(repeating: "x", count: 129) } == .badName(1))
    #expect(problem { $0.names[1] = "a b" } == .badName(1))
    #expect(problem { $0.names[1] = "console" } == .nameTwice("console"))
  }

  @Test("with more parts than the limits is refused")
  func limits() {
    #expect(
      problem { $0.regions = Array(repeating: $0.regions[0], count: 257) } == .tooMany("regions"))
    #expect(problem { $0.files = Array(repeating: $0.files[0], count: 65) } == .tooMany("files"))
    #expect(
      problem { $0.names = (0...3_900).map { "n\($0)" } } == .tooMany("named descriptors"))
  }
}

@Suite("A guest's name")
struct GuestNameTests {
  @Test("is a letter or digit and up to 62 of letters, digits, underscore, dot and hyphen")
  func names() {
    for good in ["a", "vm1", "A-b_c.d", String(repeating: "x", count: 63)] {
      #expect(GuestName(good)?.text == good)
    }
    for bad in [
      "", "-a", ".a", "_a", "a/b", "a b", "a\n", "ä", "a:b", String(repeating: "x", count: 64),
      String(repeating: "x", count: 300), "a\u{0}",
    ] {
      #expect(GuestName(bad) == nil, "\(bad)")
    }
  }
}

@Suite("A state envelope")
struct StateEnvelopeTests {
  @Test("gives back way, handoff, length and checksum, and keeps the baton's place zero")
  func roundTrip() throws {
    let state: [UInt8] = Array(0..<100)
    let bytes = StateEnvelope.encode(way: .token, handoff: 7, state: state)
    let header = try StateEnvelope.decodeHeader(bytes)
    #expect(header.way == .token)
    #expect(header.handoff == 7)
    #expect(header.stateByteCount == 100)
    #expect(header.checksum == CRC32C.checksum(state))
    #expect(bytes[StateEnvelope.batonOffset..<(StateEnvelope.batonOffset + 8)].allSatisfy { $0 == 0 })
    #expect(Array(bytes[StateEnvelope.headerByteCount...]) == state)
  }

  @Test("with a damaged or cut header is refused")
  func damage() {
    let bytes = StateEnvelope.encode(way: .none, handoff: 1, state: [])
    for length in 0..<StateEnvelope.headerByteCount {
      #expect(throws: WireError.self) { try StateEnvelope.decodeHeader(Array(bytes.prefix(length))) }
    }
    for index in [0, 1, 2, 3, 4, 5, 6, 7, 27] {
      var damaged = bytes
      damaged[index] ^= 0x80
      #expect(throws: WireError.self, "byte \(index)") { try StateEnvelope.decodeHeader(damaged) }
    }
  }

  @Test("is protected by CRC-32C, which has the published value for 123456789")
  func checksum() {
    #expect(CRC32C.checksum(Array("123456789".utf8)) == 0xE306_9283)
    #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8A91_36AA)
    #expect(CRC32C.checksum([]) == 0)
  }
}
