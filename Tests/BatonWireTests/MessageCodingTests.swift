import BatonWire
import Testing

@Suite("A message")
struct MessageCodingTests {
  @Test("comes back from its bytes as it was", arguments: Samples.everythingFromVMM.map(\.0))
  func roundTripFromVMM(name: String) throws {
    let sample = try #require(Samples.everythingFromVMM.first { $0.0 == name }).1
    #expect(try VMMMessage(decoding: sample.encoded()) == sample)
  }

  @Test(
    "of the registry comes back from its bytes as it was", arguments: Samples.everythingFromRegistry.map(\.0))
  func roundTripFromRegistry(name: String) throws {
    let sample = try #require(Samples.everythingFromRegistry.first { $0.0 == name }).1
    #expect(try RegistryMessage(decoding: sample.encoded()) == sample)
  }

  @Test("is refused at every length short of its own", arguments: Samples.all.map(\.name))
  func truncations(name: String) throws {
    let message = try #require(Samples.all.first { $0.name == name }).message
    for length in 0..<message.payload.count {
      var short = message
      short.payload = Array(message.payload.prefix(length))
      #expect(!Samples.isReadable(short), "cut to \(length) bytes")
    }
  }

  @Test("with a byte too many is refused", arguments: Samples.all.map(\.name))
  func trailingByte(name: String) throws {
    var message = try #require(Samples.all.first { $0.name == name }).message
    message.payload.append(0)
    #expect(!Samples.isReadable(message))
  }

  @Test("with one descriptor too few or too many is refused", arguments: Samples.all.map(\.name))
  func descriptorCount(name: String) throws {
    let message = try #require(Samples.all.first { $0.name == name }).message
    for change in [-1, Samples.mostContextVMs(name) + 1] where message.descriptorCount + change >= 0 {
      var other = message
      other.descriptorCount += change
      #expect(!Samples.isReadable(other))
    }
  }

  @Test("of way move is read with VMs behind its own descriptors, and its bytes are the same")
  func contextVMs() throws {
    var manifest = Samples.manifest
    manifest.way = .move
    let messages: [(VMMMessage, Int)] = [
      (Samples.hello(.attached(prepared: 7)), 1), (Samples.hello(.claiming(7)), 1),
      (Samples.hello(.received(7)), 1), (Samples.hello(.staged(7, Samples.stage), manifest: manifest), 1),
      (Samples.hello(.refused(7, returned: Samples.stage), manifest: manifest), 3),
      (.offer(handoff: 7, manifest), 1), (.ready(handoff: 7), 1),
    ]
    for (message, vms) in messages {
      let encoded = message.encoded(contextVMs: vms)
      #expect(encoded.payload == message.encoded().payload)
      #expect(encoded.descriptorCount == message.descriptorCount + vms)
      #expect(try VMMMessage(decoding: encoded) == message)
    }
    for message in [RegistryMessage.claim(handoff: 7, Samples.stage), .takeBack(handoff: 7)] {
      let encoded = message.encoded(contextVMs: 2)
      #expect(encoded.payload == message.encoded().payload)
      #expect(encoded.descriptorCount == message.descriptorCount + 2)
      #expect(try RegistryMessage(decoding: encoded) == message)
    }
  }

  @Test("that says nothing of a VM, or of another way, has none behind its own descriptors")
  func noContextVMs() {
    #expect(Samples.hello(.attached(prepared: 0)).mostContextVMs == 0)
    #expect(Samples.hello(.tookBack(7), manifest: Samples.manifest).mostContextVMs == 0)
    #expect(VMMMessage.offer(handoff: 7, Samples.manifest).mostContextVMs == 0)
    #expect(VMMMessage.stage(handoff: 7, Samples.stage).mostContextVMs == 0)
    #expect(RegistryMessage.offered(handoff: 7, Samples.manifest, isGuestStopped: false).mostContextVMs == 0)
    #expect(RegistryMessage.run(epoch: 1).mostContextVMs == 0)
  }

  @Test("with a text that is too long is cut at a character's end, and read")
  func longTexts() throws {
    let long = String(repeating: "é", count: 2_000)
    let id = try #require(Samples.migrationID)
    let check = PreflightCheck(name: long, verdict: .warn, detail: long, remedy: long)
    for message in [
      VMMMessage.declined(handoff: 1, .noRoom, long), .stays(id, .noRoom, long), .preflightReport([check]),
    ] {
      _ = try VMMMessage(decoding: message.encoded())
    }
    var report = MigrationReport(phase: .planning)
    report.text = "a" + long
    guard
      case .migrationReport(_, let read) = try VMMMessage(
        decoding: VMMMessage.migrationReport(id, report).encoded())
    else {
      Issue.record("another message")
      return
    }
    #expect(read.text == "a" + String(repeating: "é", count: 255))
    guard
      case .refusal(_, let text) = try RegistryMessage(
        decoding: RegistryMessage.refusal(.noRoom, long).encoded())
    else {
      Issue.record("another message")
      return
    }
    #expect(text == String(repeating: "é", count: 512))
  }

  @Test("of an unknown type is refused by both sides")
  func unknownType() {
    for type in [UInt16(0), 23, 100, 115, .max] {
      let message = Message(type: type, payload: [], descriptorCount: 0)
      #expect(throws: WireError.unknownType(type)) { try VMMMessage(decoding: message) }
      #expect(throws: WireError.unknownType(type)) { try RegistryMessage(decoding: message) }
    }
  }

  @Test("carries RAM, state, VM and named descriptors in an offer, and one memfd in a stage")
  func descriptorCounts() {
    #expect(VMMMessage.offer(handoff: 1, Samples.manifest).descriptorCount == 1 + 1 + 1 + 2)
    #expect(VMMMessage.stage(handoff: 1, Samples.stage).descriptorCount == 1)
    #expect(RegistryMessage.claim(handoff: 1, Samples.stage).descriptorCount == 1)
  }
}
