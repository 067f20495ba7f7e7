/// How far a migration stream is, as one end knows it: named after what has to come next.
public enum StreamPhase: Hashable, Sendable, CaseIterable, CustomStringConvertible {
  /// The source's first frame.
  case preamble
  /// The target's answer to it.
  case reply
  case manifest
  /// The target's facts.
  case target
  /// The session under which an encrypted guest's pages are sent.
  case session
  case sessionReply
  /// Batches and round ends, until the last round's.
  case pages
  /// The list of shared regions.
  case regions
  /// The encrypted registers of an SEV-ES guest, one vCPU behind the other.
  case saveAreas
  /// The device state, chunk by chunk.
  case state
  case end
  /// The target restores.
  case ready
  /// The source gives the guest up.
  case receipt
  /// The target starts the guest.
  case running
  /// All was said.
  case done
  /// One side cancelled; what still arrives is dropped.
  case cancelled
  /// The stream had a fault.
  case failed

  public var description: String {
    switch self {
    case .preamble: "the preamble"
    case .reply: "the preamble's reply"
    case .manifest: "the manifest"
    case .target: "the target's facts"
    case .session: "the session"
    case .sessionReply: "the session's reply"
    case .pages: "pages"
    case .regions: "the shared regions"
    case .saveAreas: "the save areas"
    case .state: "the device state"
    case .end: "the end"
    case .ready: "the target's word that it is ready"
    case .receipt: "the receipt"
    case .running: "the target's word that the guest runs"
    case .done: "nothing more"
    case .cancelled: "nothing more (cancelled)"
    case .failed: "nothing more (failed)"
    }
  }
}
