import SEVABI

/// One frame of pages as the source fills it: at most 256 pages, each copied once, to where it is sent from.
///
/// Keep it and ``clear()`` it after sending: its memory stays.
public struct PageBatch: ~Copyable, Sendable {
  public static let maximumPages = BatchLayout.maximumPages

  /// The frame. Whole only after ``SourceStream/seal(_:)``.
  public private(set) var bytes: [UInt8]
  /// Pages in it.
  public private(set) var count = 0
  /// Whether it was given its number and may be sent.
  public private(set) var isSealed = false
  private(set) var zeroPages: UInt64 = 0
  private(set) var plainPages: UInt64 = 0
  private(set) var encryptedPages: UInt64 = 0
  private(set) var firstEncryptedFrame: UInt64?
  private let limit: Int

  /// - Parameter pages: Most pages it takes, 1 to ``maximumPages``. A slow device is better served by few, so
  ///   that each acknowledgement comes soon.
  public init(pages: Int = Self.maximumPages) {
    precondition((1...Self.maximumPages).contains(pages), "a batch has 1 to 256 pages")
    limit = pages
    bytes = []
    bytes.reserveCapacity(
      FrameHeader.byteCount + BatchLayout.overhead
        + pages * (BatchLayout.entryByteCount + PageKind.encrypted.byteCount))
    bytes.append(contentsOf: repeatElement(0, count: BatchLayout.entriesOffset))
  }

  public var isEmpty: Bool { count == 0 }
  public var isFull: Bool { count >= limit }

  /// Adds a page of zeros.
  ///
  /// - Parameter frame: The guest's frame number.
  public mutating func appendZero(_ frame: UInt64) {
    append(frame, .zero) { _ in }
    zeroPages += 1
  }

  /// Adds a page that travels as it is.
  ///
  /// - Parameters:
  ///   - frame: The guest's frame number.
  ///   - fill: Appends exactly 4,096 bytes. When it throws, the batch is as it was before.
  public mutating func appendPlain<E: Error>(
    _ frame: UInt64, _ fill: (inout OutputSpan<UInt8>) throws(E) -> Void
  ) throws(E) {
    try append(frame, .plain, fill)
    plainPages += 1
  }

  /// Adds a packet of SEND_UPDATE_DATA.
  ///
  /// - Parameters:
  ///   - frame: The guest's frame number.
  ///   - fill: Appends exactly 52 bytes of header and 4,096 of data. When it throws, the batch is as it was before.
  public mutating func appendEncrypted<E: Error>(
    _ frame: UInt64, _ fill: (inout OutputSpan<UInt8>) throws(E) -> Void
  ) throws(E) {
    try append(frame, .encrypted, fill)
    encryptedPages += 1
    if firstEncryptedFrame == nil { firstEncryptedFrame = frame }
  }

  /// Makes it empty again.
  public mutating func clear() {
    bytes.removeSubrange(BatchLayout.entriesOffset...)
    count = 0
    zeroPages = 0
    plainPages = 0
    encryptedPages = 0
    firstEncryptedFrame = nil
    isSealed = false
  }

  private mutating func append<E: Error>(
    _ frame: UInt64, _ kind: PageKind, _ fill: (inout OutputSpan<UInt8>) throws(E) -> Void
  ) throws(E) {
    precondition(!isSealed, "a sealed batch takes no more pages")
    precondition(!isFull, "a full batch takes no more pages")
    let before = bytes.count
    let byteCount = kind.byteCount
    do throws(E) {
      try bytes.append(addingCapacity: BatchLayout.entryByteCount + byteCount) {
        (output: inout OutputSpan<UInt8>) throws(E) in
        for index in 0..<8 { output.append(UInt8(truncatingIfNeeded: frame >> UInt64(8 * index))) }
        for index in 0..<4 { output.append(UInt8(truncatingIfNeeded: kind.rawValue >> UInt32(8 * index))) }
        for index in 0..<4 { output.append(UInt8(truncatingIfNeeded: byteCount >> (8 * index))) }
        try fill(&output)
      }
    } catch {
      bytes.removeSubrange(before...)
      throw error
    }
    precondition(
      bytes.count == before + BatchLayout.entryByteCount + byteCount,
      "a page of another size than its kind's was put into a batch")
    count += 1
  }

  /// Writes the headers and the seal.
  mutating func close(sequence: UInt64, round: UInt32, with seal: BatchSeal) {
    let entries = bytes.count - BatchLayout.entriesOffset
    let pages = UInt32(count)
    var span = bytes.mutableSpan
    span.store(FrameType.batch.rawValue, at: 0)
    span.store(UInt16(0), at: 2)
    span.store(UInt32(entries + BatchLayout.overhead), at: 4)
    span.store(sequence, at: 8)
    span.store(round, at: 16)
    span.store(pages, at: 20)
    span.store(UInt32(entries), at: 24)
    span.store(UInt32(0), at: 28)
    let tag = seal.tag(of: bytes[...], sequence: sequence)
    bytes.append(contentsOf: tag)
    isSealed = true
  }
}
