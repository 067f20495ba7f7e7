/// Where a VMM stands: the first record on every connection, first or renewed, says it.
///
/// The registry sends nothing to a VMM and decides nothing about a living one before it has
/// processed this; records of an older connection are void.
public enum Standing: Hashable, Sendable {
  /// The largest handoff or epoch that a first record may name. The registry counts on from what a
  /// VMM says when its journal was lost, and must never come to the end of its numbers.
  public static let largestNumber: UInt64 = 1 << 62

  /// As ``attached(prepared:)``: of no handoff, so that nothing begins where nobody has the guest.
  public static let neverBegins = largestNumber

  /// Wants to run a guest that nobody runs; refused as second owner when somebody does.
  case fresh
  /// Wants the guest: becomes its owner when nobody is, its successor when somebody is.
  /// `prepared` is the handoff whose RAM it has mapped already, 0 if none.
  case attached(prepared: UInt64)
  /// Has the baton of a handoff and has not used it yet.
  case claiming(UInt64)
  /// Has the guest's context, waits for the verdict.
  case received(UInt64)
  /// Gave the baton of a handoff back unused, with the offer and the stage; nil: found it used.
  case refused(UInt64, returned: Stage?)
  /// Has staged a handoff and waits. Carries the offer and the stage once more.
  case staged(UInt64, Stage)
  /// Took the guest back, waits for the verdict.
  case tookBack(UInt64)
  /// Runs the guest as its owner in this epoch.
  case running(UInt64)
  /// Receives the guest from another host, and does not run it.
  case arriving(Arriving)
  /// The guest stands still to leave for another host, or has left.
  case departing(Departing)

  var code: UInt8 {
    switch self {
    case .fresh: 0
    case .attached: 1
    case .claiming: 2
    case .received: 3
    case .refused: 4
    case .staged: 5
    case .tookBack: 6
    case .running: 7
    case .arriving: 8
    case .departing: 9
    }
  }
}

/// What a source says when it hands the baton over: facts about the sealed state memfd.
public struct Stage: Hashable, Sendable {
  /// Header and device state, in bytes: the size of the sealed memfd.
  public var envelopeByteCount: UInt64
  public var format: StateFormat
  /// `CLOCK_MONOTONIC` of the last guest instruction, nanoseconds.
  public var lastInstruction: UInt64
  /// When the freeze order was read, nanoseconds of the same clock.
  public var freezeStarted: UInt64
  /// When device state was saved and the context given up, nanoseconds of the same clock.
  public var contextSent: UInt64

  public init(
    envelopeByteCount: UInt64, format: StateFormat, lastInstruction: UInt64, freezeStarted: UInt64,
    contextSent: UInt64
  ) {
    self.envelopeByteCount = envelopeByteCount
    self.format = format
    self.lastInstruction = lastInstruction
    self.freezeStarted = freezeStarted
    self.contextSent = contextSent
  }
}
