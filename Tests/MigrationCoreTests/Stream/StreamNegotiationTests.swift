import BatonWire
import Testing

@testable import MigrationCore

@Suite("The beginning of a migration stream is refused") struct StreamNegotiationTests {
  /// What a target says to a preamble.
  private static func refused(
    _ preamble: Preamble, by target: consuming TargetStream = TargetStream(),
    _ change: (inout [UInt8]) -> Void = { _ in }
  ) -> StreamFault? {
    var bytes = SourceFrame.preamble(preamble).encoded()
    change(&bytes)
    target.receive(bytes)
    do throws(StreamFault) {
      _ = try target.next()
      return nil
    } catch { return error }
  }

  @Test("when the two sides have no version in common, with both sides' versions in the text")
  func versions() {
    let ours = ProtocolVersion(oldest: 2, newest: 3)
    for theirs in [ProtocolVersion(oldest: 1, newest: 1), ProtocolVersion(oldest: 4, newest: 5)] {
      let fault = Self.refused(
        StreamSamples.preamble(versions: theirs), by: TargetStream(versions: ours))
      #expect(fault == .noCommonVersion(ours: ours, theirs: theirs))
      #expect(fault?.refusal == .streamVersion)
      #expect(fault?.description.contains("2 to 3") == true)
    }
  }

  private static let versionPairs: [(ProtocolVersion, ProtocolVersion, UInt16)] = [
    (ProtocolVersion(oldest: 1, newest: 2), ProtocolVersion(oldest: 1, newest: 1), 1),
    (ProtocolVersion(oldest: 1, newest: 1), ProtocolVersion(oldest: 1, newest: 2), 1),
    (ProtocolVersion(oldest: 2, newest: 3), ProtocolVersion(oldest: 1, newest: 2), 2),
  ]

  @Test(
    "never when one side is a version ahead: the newest common one is taken", arguments: versionPairs)
  func neighbours(source: ProtocolVersion, target: ProtocolVersion, agreed: UInt16) throws {
    var sending = SourceStream()
    var receiving = TargetStream(versions: target)
    receiving.receive(try sending.send(.preamble(StreamSamples.preamble(versions: source))))
    _ = try receiving.next()
    sending.receive(try receiving.send(receiving.reply(host: "south.test", build: "")))
    _ = try sending.next()
    let versions = (sending.version, receiving.version)
    #expect(versions.0 == agreed && versions.1 == agreed)
  }

  @Test("for bytes behind a preamble, but not when its sender speaks a newer version") func longerPreamble() {
    let longer = { (bytes: inout [UInt8]) in
      bytes.append(contentsOf: [1, 2, 3])
      bytes[4] += 3
    }
    #expect(
      Self.refused(StreamSamples.preamble(), by: TargetStream(), longer)
        == .malformed(.preamble, .trailingBytes(3)))
    let newer = StreamSamples.preamble(versions: ProtocolVersion(oldest: 1, newest: 2))
    #expect(Self.refused(newer, by: TargetStream(), longer) == nil)
  }

  @Test("when the target lacks a feature that the source requires") func missingFeature() {
    let fault = Self.refused(StreamSamples.preamble(), by: TargetStream(features: [.encryptedPages]))
    #expect(fault == .featuresMissing(.saveAreas))
    #expect(fault?.refusal == .streamVersion)
  }

  @Test("when the guest needs a feature that was not agreed") func featureOfTheGuest() throws {
    let talk = Conversation(kind: .sevES)
    let target = ReceivingEnd(kind: .sevES, stream: TargetStream(features: [.encryptedPages]))
    try target.feed(
      try talk.source.send(.preamble(StreamSamples.preamble(required: [], offered: .spoken))))
    talk.source.receive(target.answers[0])
    _ = try talk.source.next()
    #expect(talk.source.features == [.encryptedPages])
    #expect(throws: StreamFault.featuresMissing(.saveAreas)) {
      try talk.source.send(.manifest(StreamSamples.offer(.sevES)))
    }
    #expect(throws: StreamFault.featuresMissing(.saveAreas)) {
      try target.feed(SourceFrame.manifest(StreamSamples.offer(.sevES)).encoded())
    }
  }

  @Test("when the reply has a version or features that were not offered, or lacks required ones")
  func reply() throws {
    func heard(_ reply: PreambleReply, offered: StreamFeatures = .spoken) throws -> StreamFault? {
      var source = SourceStream()
      _ = try source.send(
        .preamble(StreamSamples.preamble(required: [.encryptedPages], offered: offered)))
      source.receive(TargetFrame.preambleReply(reply).encoded())
      do throws(StreamFault) {
        _ = try source.next()
        return nil
      } catch { return error }
    }
    var reply = StreamSamples.reply
    reply.version = 2
    #expect(try heard(reply) == .versionNotOffered(2))
    reply.version = 1
    #expect(try heard(reply, offered: [.encryptedPages]) == .featuresNotOffered(.saveAreas))
    reply.features = [.saveAreas]
    #expect(try heard(reply) == .featuresMissing(.encryptedPages))
  }

  @Test(
    "when its first bytes are not those of a stream",
    arguments: [
      Array("GET / HTTP/1.1\r\n".utf8), [1, 0, 1, 0, 4, 0, 0, 0], [1, 0, 0, 0, 0, 0, 1, 0],
    ])
  func notAStream(bytes: [UInt8]) {
    var target = TargetStream()
    target.receive(bytes)
    #expect(throws: StreamFault.notAStream) { try target.next() }
  }

  @Test("when the magic is wrong, or the preamble is cut or has impossible values") func preamble() {
    #expect(Self.refused(StreamSamples.preamble()) { $0[8] ^= 1 } == .notAStream)
    #expect(
      Self.refused(StreamSamples.preamble()) { $0[20] = 9 }
        == .malformed(.preamble, .badValue(field: "intent")))
    #expect(
      Self.refused(StreamSamples.preamble(required: .spoken, offered: [.saveAreas]))
        == .malformed(.preamble, .badValue(field: "required features")))
    var named = StreamSamples.preamble()
    named.guest = "no name"
    #expect(Self.refused(named) == .malformed(.preamble, .badValue(field: "guest name")))
    for length in [0, 5, 11, 12, 40, 100, 140] {
      let bytes = SourceFrame.preamble(StreamSamples.preamble()).encoded()
      var target = TargetStream()
      target.receive(FrameHeader.frame(.preamble) { $0.write(raw: Array(bytes[8..<(8 + length)])) })
      do throws(StreamFault) {
        _ = try target.next()
        Issue.record("a preamble of \(length) bytes was taken")
      } catch {
        guard case .malformed(.preamble, .truncated) = error else {
          Issue.record("\(length) bytes: \(error)")
          continue
        }
      }
    }
  }
}
