import BatonWire

extension StreamFault: CustomStringConvertible {
  public var description: String {
    switch self {
    case .notAStream: "The peer's first bytes are not those of a migration stream"
    case .unknownFrame(let number): "Frame type \(number) of the migration stream is unknown"
    case .reservedFlags(let type, let flags): "The \(type) frame has flags \(flags), which no version knows"
    case .frameTooLong(let type, let length):
      "The \(type) frame announces \(length) bytes; it may have \(type.maximumPayload)"
    case .malformed(let type, let error): "The \(type) frame is damaged: \(error)"
    case .truncated(let type?, let missing):
      "The migration stream ended \(missing) bytes before the end of the \(type) frame"
    case .truncated(nil, let missing):
      "The migration stream ended \(missing) bytes before the end of a frame's header"
    case .endedEarly(let phase): "The migration stream ended where \(phase) had to come"
    case .noCommonVersion(let ours, let theirs):
      "This side speaks versions \(Self.text(ours)) of the migration stream, the peer \(Self.text(theirs)); "
        + "bring both hosts to releases at most one version apart"
    case .versionNotOffered(let version):
      "The peer chose version \(version) of the migration stream, which it was not offered"
    case .featuresMissing(let features):
      "One side needs features \(Self.text(features)) of the migration stream, which the other does not have"
    case .featuresNotOffered(let features):
      "The peer agreed to features \(Self.text(features)) of the migration stream, which it was not offered"
    case .unexpectedFrame(let type, let phase): "A \(type) frame came where \(phase) had to come"
    case .batchDamaged(let sequence):
      "The seal of batch \(sequence) does not fit: it was changed on its way, or sealed for another place"
    case .batchTruncated(let sequence, let announced, let received):
      "Batch \(sequence) was cut: \(received) bytes of \(announced) came"
    case .batchMissing(let expected, let received):
      "Batch \(received) came where batch \(expected) had to: what is between was left out"
    case .batchesSwapped(let first, let second): "Batches \(first) and \(second) came in each other's place"
    case .batchReplayed(let sequence, let expected):
      "Batch \(sequence) came again where batch \(expected) had to come"
    case .batchEmpty(let sequence): "Batch \(sequence) has no pages"
    case .tooManyPages(let sequence, let pages):
      "Batch \(sequence) has \(pages) pages; it may have \(BatchLayout.maximumPages)"
    case .wrongRound(let expected, let received):
      "A batch or round end of round \(received) came in round \(expected)"
    case .unknownPageKind(let frame, let kind):
      "Page \(Self.text(frame)) is of kind \(kind), which is unknown"
    case .pageNotAllowed(let frame, let kind):
      "Page \(Self.text(frame)) came as \(kind), which this guest cannot have"
    case .pageOutsideRAM(let frame): "Page \(Self.text(frame)) is not in the guest's RAM"
    case .pageRepeated(let frame, let round): "Page \(Self.text(frame)) came twice in round \(round)"
    case .badManifest(let problem): "\(problem)"
    case .tooMuchRAM(let bytes, let limit):
      "The guest has \(bytes) bytes of RAM; this side takes at most \(limit)"
    case .roundDiffers(let announced, let counted):
      "Round \(announced.round) was announced with \(announced.batches) batches and \(announced.pages) pages; "
        + "\(counted.batches) and \(counted.pages) came"
    case .pagesMissing(let count, let first):
      "\(count) pages of the guest's RAM were never sent, the first is \(Self.text(first))"
    case .totalsDiffer(let what, let announced, let counted):
      "The stream's end counts \(announced) \(what), \(counted) came"
    case .badRegions(let error): "\(error)"
    case .saveAreaOutOfOrder(let expected, let received):
      "The save area of vCPU \(received) came where that of vCPU \(expected) had to come"
    case .stateOutOfOrder(let expected, let received):
      "Device state from byte \(received) on came where byte \(expected) had to come"
    case .stateTooLong(let bytes):
      "\(bytes) bytes of device state are announced; there may be \(StateChunk.maximumTotal)"
    case .stateLengthChanged(let announced, let received):
      "\(announced) bytes of device state were announced, then \(received)"
    case .acknowledgementWrong(let sequence):
      "Batch \(sequence) was acknowledged, which was not sent or was acknowledged before"
    case .receiptDoesNotFit: "The receipt is not the one that this arrival is locked with"
    }
  }

  private static func text(_ versions: ProtocolVersion) -> String {
    "\(versions.oldest) to \(versions.newest)"
  }
  private static func text(_ features: StreamFeatures) -> String {
    "0x\(String(features.rawValue, radix: 16))"
  }
  private static func text(_ frame: UInt64) -> String { "0x\(String(frame, radix: 16))" }
}
