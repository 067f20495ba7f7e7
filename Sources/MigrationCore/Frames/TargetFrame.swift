import BatonWire

/// A frame of the target's.
public enum TargetFrame: Hashable, Sendable {
  case preambleReply(PreambleReply)
  case target(TargetFacts)
  case sessionAccepted
  case acknowledged(Acknowledgement)
  case ready(RestoreTimes)
  case running(FirstInstruction)
  case cancel(Cancellation)
  case keepalive

  var type: FrameType {
    switch self {
    case .preambleReply: .preambleReply
    case .target: .target
    case .sessionAccepted: .sessionAccepted
    case .acknowledged: .acknowledged
    case .ready: .ready
    case .running: .running
    case .cancel: .cancel
    case .keepalive: .keepalive
    }
  }

  /// The whole frame.
  func encoded() -> [UInt8] {
    FrameHeader.frame(type) { writer in
      switch self {
      case .preambleReply(let reply): reply.encode(into: &writer)
      case .target(let facts): facts.encode(into: &writer)
      case .acknowledged(let acknowledgement): acknowledgement.encode(into: &writer)
      case .ready(let times): times.encode(into: &writer)
      case .running(let first): first.encode(into: &writer)
      case .cancel(let cancellation): cancellation.encode(into: &writer)
      case .sessionAccepted, .keepalive: break
      }
    }
  }

  init(_ type: FrameType, decoding payload: [UInt8], in phase: StreamPhase) throws(StreamFault) {
    do throws(WireError) {
      var reader = ByteReader(payload)
      switch type {
      case .preambleReply: self = .preambleReply(try PreambleReply(decoding: &reader))
      case .target: self = .target(try TargetFacts(decoding: &reader))
      case .sessionAccepted: self = .sessionAccepted
      case .acknowledged: self = .acknowledged(try Acknowledgement(decoding: &reader))
      case .ready: self = .ready(try RestoreTimes(decoding: &reader))
      case .running: self = .running(try FirstInstruction(decoding: &reader))
      case .cancel: self = .cancel(try Cancellation(decoding: &reader))
      case .keepalive: self = .keepalive
      case .preamble, .manifest, .session, .batch, .roundEnd, .sharedRegions, .saveArea, .state, .end,
        .receipt:
        throw .unknownType(type.rawValue)
      }
      try reader.finish()
    } catch {
      if case .unknownType = error { throw .unexpectedFrame(type, phase) }
      throw .malformed(type, error)
    }
  }
}
