import BatonWire
import SEVABI

/// What a batch says of itself.
public struct BatchInfo: Hashable, Sendable {
  /// Counts from 0 over the whole stream.
  public let sequence: UInt64
  public let round: UInt32
  public let pages: Int
}

/// A page of a batch.
public struct BatchPage: Hashable, Sendable {
  /// The guest's frame number.
  public let frame: UInt64
  public let kind: PageKind
}

/// One entry as it stands in a batch.
struct BatchEntry {
  let frame: UInt64
  let kind: UInt32
  let byteCount: UInt32

  /// The 16 bytes at `offset`, which must be there.
  init(decoding bytes: Span<UInt8>, at offset: Int) {
    frame = bytes.uint64(at: offset)
    kind = bytes.uint32(at: offset + 8)
    byteCount = bytes.uint32(at: offset + 12)
  }

  /// Nil for a kind that is unknown.
  var page: BatchPage? { PageKind(rawValue: kind).map { BatchPage(frame: frame, kind: $0) } }
}

/// A batch that was opened and of which not all pages were taken.
struct OpenBatch: Sendable {
  let info: BatchInfo
  let frameByteCount: Int
  var zeroPages: UInt64 = 0
  var plainPages: UInt64 = 0
  var encryptedPages: UInt64 = 0
  /// Where the next entry is in the receiver's bytes.
  var position: Int
  var pagesLeft: Int
}

/// Checks batches: the seal first, then the order, then each entry, so that nothing of a batch is used before
/// all of it is known to be right.
struct BatchOpener: Sendable {
  private let seal: BatchSeal
  private var index = PageIndex([])
  private var isEncrypted = false
  /// Pages of the round under way.
  private var inRound = PageSet(pageCount: 0)
  /// Pages of any round.
  private var ever = PageSet(pageCount: 0)
  /// Set when a right batch came too early: its followers tell whether it was swapped or others were left out.
  private(set) var gap: StreamFault?
  private var early: (expected: UInt64, received: UInt64)?

  init(_ key: BatchKey) { seal = BatchSeal(key) }

  /// - Parameter regions: Of a valid manifest.
  mutating func expect(_ regions: [RAMRegion], encrypted: Bool) {
    index = PageIndex(regions)
    isEncrypted = encrypted
    inRound = PageSet(pageCount: index.pageCount)
    ever = PageSet(pageCount: index.pageCount)
  }

  mutating func startRound() { inRound.removeAll() }

  /// Refuses the end of a stream that did not bring every page of RAM at least once.
  func checkAllPages() throws(StreamFault) {
    guard let first = ever.firstMissing else { return }
    throw .pagesMissing(
      count: index.pageCount - UInt64(ever.count), first: index.frame(ofNumber: first))
  }

  /// Checks a whole frame.
  ///
  /// - Parameters:
  ///   - start: Where it begins in `bytes`, in which all of it must be.
  ///   - expected: The sequence that has to come.
  /// - Returns: Nil for a batch that is right but came too early: the frame behind it decides.
  /// - Complexity: O(bytes), one pass of AES-GCM's hash; the pages themselves are not looked at.
  mutating func open(
    _ bytes: [UInt8], at start: Int, _ header: FrameHeader, expected: UInt64, round: UInt32
  ) throws(StreamFault) -> OpenBatch? {
    let sequence: UInt64
    do throws(StreamFault) {
      sequence = try checkSeal(bytes, at: start, header)
    } catch { throw gap ?? error }
    if let early {
      throw sequence == early.expected
        ? .batchesSwapped(early.expected, early.received)
        : .batchMissing(expected: early.expected, received: early.received)
    }
    guard sequence >= expected else { throw .batchReplayed(sequence: sequence, expected: expected) }
    guard sequence == expected else {
      early = (expected, sequence)
      gap = .batchMissing(expected: expected, received: sequence)
      return nil
    }
    let span = bytes.span
    let itsRound = span.uint32(at: start + 16)
    guard itsRound == round else { throw .wrongRound(expected: round, received: itsRound) }
    let pages = span.uint32(at: start + 20)
    guard pages > 0 else { throw .batchEmpty(sequence: sequence) }
    guard pages <= UInt32(BatchLayout.maximumPages) else {
      throw .tooManyPages(sequence: sequence, pages: pages)
    }
    guard span.uint32(at: start + 28) == 0 else {
      throw .malformed(.batch, .badValue(field: "reserved"))
    }
    var batch = OpenBatch(
      info: BatchInfo(sequence: sequence, round: round, pages: Int(pages)),
      frameByteCount: header.frameByteCount, position: start + BatchLayout.entriesOffset,
      pagesLeft: Int(pages))
    try checkEntries(span, until: start + header.frameByteCount - BatchSeal.tagByteCount, &batch)
    return batch
  }

  /// Checks lengths and seal; gives the sequence.
  private func checkSeal(
    _ bytes: [UInt8], at start: Int, _ header: FrameHeader
  ) throws(StreamFault) -> UInt64 {
    guard header.payloadByteCount >= BatchLayout.overhead else {
      throw .malformed(.batch, .truncated(field: "entries"))
    }
    let sequence = bytes.span.uint64(at: start + 8)
    let announced = Int(bytes.span.uint32(at: start + 24)) + BatchLayout.overhead
    guard header.payloadByteCount >= announced else {
      throw .batchTruncated(
        sequence: sequence, announced: announced, received: header.payloadByteCount)
    }
    let end = start + header.frameByteCount
    let tag = end - BatchSeal.tagByteCount
    guard header.payloadByteCount == announced,
      seal.isRight(bytes[tag..<end], for: bytes[start..<tag], sequence: sequence)
    else { throw .batchDamaged(sequence: sequence) }
    return sequence
  }

  private mutating func checkEntries(
    _ bytes: Span<UInt8>, until end: Int, _ batch: inout OpenBatch
  ) throws(StreamFault) {
    var position = batch.position
    for _ in 0..<batch.pagesLeft {
      guard end - position >= BatchLayout.entryByteCount else {
        throw .malformed(.batch, .truncated(field: "entry"))
      }
      let entry = BatchEntry(decoding: bytes, at: position)
      position += BatchLayout.entryByteCount
      guard let page = entry.page else { throw .unknownPageKind(frame: entry.frame, kind: entry.kind) }
      guard Int(entry.byteCount) == page.kind.byteCount else {
        throw .malformed(.batch, .badValue(field: "page length"))
      }
      guard end - position >= page.kind.byteCount else {
        throw .malformed(.batch, .truncated(field: "page"))
      }
      position += page.kind.byteCount
      switch page.kind {
      case .zero: batch.zeroPages += 1
      case .plain: batch.plainPages += 1
      case .encrypted:
        guard isEncrypted else { throw .pageNotAllowed(frame: page.frame, page.kind) }
        batch.encryptedPages += 1
      }
      guard let number = index.number(ofFrame: page.frame) else { throw .pageOutsideRAM(frame: page.frame) }
      guard inRound.insert(number) else {
        throw .pageRepeated(frame: page.frame, round: batch.info.round)
      }
      _ = ever.insert(number)
    }
    guard position == end else { throw .malformed(.batch, .trailingBytes(end - position)) }
  }
}
