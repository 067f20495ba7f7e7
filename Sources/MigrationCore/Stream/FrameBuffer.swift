import BatonWire

/// Bytes of the peer's that were not used yet, of one frame and a little more at most.
///
/// What is offered to be filled is what the frame under way still lacks, so its bytes come to where they stay
/// until the frame was used; only the few behind it are ever moved.
struct FrameBuffer: Sendable {
  /// Room that is offered at least.
  private static let slack = 16_384

  private(set) var bytes: [UInt8] = []
  /// Where the first frame begins that was not used yet.
  private(set) var start = 0

  /// Bytes that were not used yet.
  var count: Int { bytes.count - start }

  /// Lends room for what comes.
  mutating func receive<R, E: Error>(
    _ fill: (inout OutputSpan<UInt8>) throws(E) -> R
  ) throws(E) -> R {
    compact()
    // A frame's missing bytes and the next one's header; or a piece of whatever comes.
    let needed = (try? header())?.frameByteCount ?? FrameHeader.byteCount
    let room = max(needed - bytes.count + FrameHeader.byteCount, Self.slack)
    bytes.reserveCapacity(bytes.count + room)
    var result: R?
    try bytes.append(addingCapacity: room) { (output: inout OutputSpan<UInt8>) throws(E) in
      result = try fill(&output)
    }
    guard let result else { preconditionFailure("the span is filled once") }
    return result
  }

  mutating func append(_ more: [UInt8]) {
    compact()
    bytes.append(contentsOf: more)
  }

  /// The header of the first frame, once it is there.
  func header() throws(StreamFault) -> FrameHeader? {
    guard count >= FrameHeader.byteCount else { return nil }
    return try FrameHeader(decoding: bytes.span, at: start)
  }

  /// A copy of the first frame's payload, all of which must be there.
  func payload(_ header: FrameHeader) -> [UInt8] {
    Array(bytes[(start + FrameHeader.byteCount)..<(start + header.frameByteCount)])
  }

  /// What is wrong when the stream ends here, where `phase` had to come.
  func faultAtEnd(_ phase: StreamPhase) -> StreamFault {
    guard count > 0 else { return .endedEarly(phase) }
    do throws(StreamFault) {
      guard let header = try header() else {
        return .truncated(nil, missing: FrameHeader.byteCount - count)
      }
      return .truncated(header.type, missing: header.frameByteCount - count)
    } catch { return error }
  }

  /// Gives the first bytes up.
  mutating func consume(_ count: Int) { start += count }

  mutating func removeAll() {
    bytes = []
    start = 0
  }

  private mutating func compact() {
    guard start > 0 else { return }
    bytes.removeSubrange(0..<start)
    start = 0
  }
}
