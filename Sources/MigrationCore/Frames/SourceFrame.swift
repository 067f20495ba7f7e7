public import BatonWire
public import EncryptionStatus

/// A frame of the source's, but for batches of pages, which have a form of their own (``PageBatch``).
public enum SourceFrame: Equatable, Sendable {
  case preamble(Preamble)
  case manifest(MachineOffer)
  case session(SendSession)
  case roundEnd(RoundEnd)
  case sharedRegions(SharedRegions)
  case saveArea(SaveAreaPacket)
  case state(StateChunk)
  case end(StreamTotals)
  case receipt(DepartureReceipt)
  case cancel(Cancellation)
  case keepalive

  var type: FrameType {
    switch self {
    case .preamble: .preamble
    case .manifest: .manifest
    case .session: .session
    case .roundEnd: .roundEnd
    case .sharedRegions: .sharedRegions
    case .saveArea: .saveArea
    case .state: .state
    case .end: .end
    case .receipt: .receipt
    case .cancel: .cancel
    case .keepalive: .keepalive
    }
  }

  /// The whole frame.
  func encoded() -> [UInt8] {
    FrameHeader.frame(type) { writer in
      switch self {
      case .preamble(let preamble): preamble.encode(into: &writer)
      case .manifest(let offer): offer.encode(into: &writer)
      case .session(let session): session.encode(into: &writer)
      case .roundEnd(let end): end.encode(into: &writer)
      case .sharedRegions(let regions): writer.write(raw: regions.encoded())
      case .saveArea(let packet): packet.encode(into: &writer)
      case .state(let chunk): chunk.encode(into: &writer)
      case .end(let totals): totals.encode(into: &writer)
      case .receipt(let receipt): writer.write(raw: receipt.bytes)
      case .cancel(let cancellation): cancellation.encode(into: &writer)
      case .keepalive: break
      }
    }
  }

  /// Reads the payload of any frame but a preamble and a batch.
  init(_ type: FrameType, decoding payload: [UInt8], in phase: StreamPhase) throws(StreamFault) {
    if type == .sharedRegions {
      do throws(SharedRegionsError) {
        self = .sharedRegions(try SharedRegions(decoding: payload))
        return
      } catch { throw .badRegions(error) }
    }
    do throws(WireError) {
      var reader = ByteReader(payload)
      switch type {
      case .manifest: self = .manifest(try MachineOffer(decoding: &reader))
      case .session: self = .session(try SendSession(decoding: &reader))
      case .roundEnd: self = .roundEnd(try RoundEnd(decoding: &reader))
      case .saveArea: self = .saveArea(try SaveAreaPacket(decoding: &reader))
      case .state: self = .state(try StateChunk(decoding: &reader))
      case .end: self = .end(try StreamTotals(decoding: &reader))
      case .receipt:
        guard
          let receipt = DepartureReceipt(
            try reader.readRaw(DepartureReceipt.byteCount, "receipt"))
        else { throw .badValue(field: "receipt") }
        self = .receipt(receipt)
      case .cancel: self = .cancel(try Cancellation(decoding: &reader))
      case .keepalive: self = .keepalive
      case .preamble, .batch, .sharedRegions, .preambleReply, .target, .sessionAccepted, .acknowledged,
        .ready, .running:
        throw .unknownType(type.rawValue)
      }
      try reader.finish()
    } catch {
      if case .unknownType = error { throw .unexpectedFrame(type, phase) }
      throw .malformed(type, error)
    }
  }
}
