/// What a frame of the stream is.
///
/// The raw value goes over the wire and never changes its meaning: 1 to 32 come from the source, 33 to 64 from
/// the target, 65 on from either.
public enum FrameType: UInt16, Hashable, Sendable, CaseIterable, CustomStringConvertible {
  case preamble = 1
  case manifest = 2
  case session = 3
  case batch = 4
  case roundEnd = 5
  case sharedRegions = 6
  case saveArea = 7
  case state = 8
  case end = 9
  case receipt = 10
  case preambleReply = 33
  case target = 34
  case sessionAccepted = 35
  case acknowledged = 36
  case ready = 37
  case running = 38
  case cancel = 65
  case keepalive = 66

  /// Who sends frames of a type.
  enum Sender { case source, target, either }

  var sender: Sender {
    switch self {
    case .preamble, .manifest, .session, .batch, .roundEnd, .sharedRegions, .saveArea, .state, .end, .receipt:
      .source
    case .preambleReply, .target, .sessionAccepted, .acknowledged, .ready, .running: .target
    case .cancel, .keepalive: .either
    }
  }

  /// Most payload bytes; a frame that announces more is refused before any of them is stored.
  public var maximumPayload: Int {
    switch self {
    case .preamble, .preambleReply: 4_096
    case .manifest, .sharedRegions: 1 << 20
    case .target: 1 << 18
    case .session: 1 << 16
    case .batch: BatchLayout.maximumPayload
    case .saveArea: 1 << 15
    case .state: StateChunk.maximumBytes + 16
    case .roundEnd, .end, .receipt, .acknowledged, .ready, .running: 128
    case .cancel: 1_024
    case .sessionAccepted, .keepalive: 0
    }
  }

  public var description: String {
    switch self {
    case .preamble: "preamble"
    case .manifest: "manifest"
    case .session: "session"
    case .batch: "batch"
    case .roundEnd: "round end"
    case .sharedRegions: "shared regions"
    case .saveArea: "save area"
    case .state: "state"
    case .end: "end"
    case .receipt: "receipt"
    case .preambleReply: "preamble reply"
    case .target: "target"
    case .sessionAccepted: "session accepted"
    case .acknowledged: "acknowledged"
    case .ready: "ready"
    case .running: "running"
    case .cancel: "cancel"
    case .keepalive: "keepalive"
    }
  }
}
