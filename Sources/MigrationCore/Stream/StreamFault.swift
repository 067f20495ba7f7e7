public import BatonWire
public import EncryptionStatus

/// Why a migration stream cannot go on. It is final: nothing of a stream is used after its first fault.
public enum StreamFault: Error, Hashable, Sendable {
  // Framing
  /// The first frame does not begin as a migration stream does.
  case notAStream
  case unknownFrame(UInt16)
  /// Flags that no version has.
  case reservedFlags(FrameType, UInt16)
  /// A frame announces more bytes than its type may have.
  case frameTooLong(FrameType, UInt32)
  /// A field of a frame is cut off or has a value that it may not have.
  case malformed(FrameType, WireError)
  /// The stream ended within a frame; the type is nil when that was within a frame's header.
  case truncated(FrameType?, missing: Int)
  /// The stream ended between two frames, before all had been said.
  case endedEarly(StreamPhase)

  // Negotiation
  case noCommonVersion(ours: ProtocolVersion, theirs: ProtocolVersion)
  /// The peer chose a version that it was not offered.
  case versionNotOffered(UInt16)
  /// Features that one side needs and the other does not speak.
  case featuresMissing(StreamFeatures)
  /// The peer agreed to features that it was not offered.
  case featuresNotOffered(StreamFeatures)

  // Order
  case unexpectedFrame(FrameType, StreamPhase)

  // Batches
  /// The seal does not fit: bits were changed, or the batch was sealed for another place or with another key.
  case batchDamaged(sequence: UInt64)
  /// The frame is shorter than the batch in it.
  case batchTruncated(sequence: UInt64, announced: Int, received: Int)
  /// Batches were left out.
  case batchMissing(expected: UInt64, received: UInt64)
  /// Two batches came in each other's place.
  case batchesSwapped(UInt64, UInt64)
  /// A batch came again.
  case batchReplayed(sequence: UInt64, expected: UInt64)
  case batchEmpty(sequence: UInt64)
  case tooManyPages(sequence: UInt64, pages: UInt32)
  case wrongRound(expected: UInt32, received: UInt32)
  case unknownPageKind(frame: UInt64, kind: UInt32)
  /// An encrypted page for a guest without encryption.
  case pageNotAllowed(frame: UInt64, PageKind)
  case pageOutsideRAM(frame: UInt64)
  /// A page came twice in one round.
  case pageRepeated(frame: UInt64, round: UInt32)

  // The machine and the end
  case badManifest(Manifest.Problem)
  case tooMuchRAM(bytes: UInt64, limit: UInt64)
  /// The sides count another number of batches or pages in a round.
  case roundDiffers(RoundEnd, counted: RoundEnd)
  /// Pages of the guest's RAM that no round brought.
  case pagesMissing(count: UInt64, first: UInt64)
  case totalsDiffer(String, announced: UInt64, counted: UInt64)
  case badRegions(SharedRegionsError)
  case saveAreaOutOfOrder(expected: UInt32, received: UInt32)
  case stateOutOfOrder(expected: UInt64, received: UInt64)
  case stateTooLong(UInt64)
  /// Another length of the state than its first chunk announced, or more bytes than that.
  case stateLengthChanged(announced: UInt64, received: UInt64)
  /// An acknowledgement of a batch that was not sent, or of less than was acknowledged before.
  case acknowledgementWrong(sequence: UInt64)
  /// The receipt is not the one that the arrival was locked with.
  case receiptDoesNotFit

  /// The name under which it goes to the peer and to people.
  public var refusal: Refusal {
    switch self {
    case .noCommonVersion, .versionNotOffered, .featuresMissing, .featuresNotOffered: .streamVersion
    case .unexpectedFrame: .protocolViolation
    case .truncated, .endedEarly: .linkLost
    case .badManifest: .badManifest
    case .tooMuchRAM: .noRoom
    case .receiptDoesNotFit: .receiptWrong
    case .notAStream, .unknownFrame, .reservedFlags, .frameTooLong, .malformed, .batchDamaged,
      .batchTruncated, .batchMissing, .batchesSwapped, .batchReplayed, .batchEmpty, .tooManyPages,
      .wrongRound, .unknownPageKind, .pageNotAllowed, .pageOutsideRAM, .pageRepeated, .roundDiffers,
      .pagesMissing, .totalsDiffer, .badRegions, .saveAreaOutOfOrder, .stateOutOfOrder, .stateTooLong,
      .stateLengthChanged, .acknowledgementWrong:
      .streamDamaged
    }
  }
}
