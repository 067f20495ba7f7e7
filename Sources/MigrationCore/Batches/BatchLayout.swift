/// Where things are in a batch frame, behind its ``FrameHeader``. Everything is little-endian.
///
/// | offset | width | field |
/// | --- | --- | --- |
/// | 0 | 8 | sequence: counts the batches of a stream from 0 |
/// | 8 | 4 | round |
/// | 12 | 4 | pages, 1 to 256 |
/// | 16 | 4 | bytes of the entries with what follows each |
/// | 20 | 4 | zero |
/// | 24 | … | entries |
/// | end - 16 | 16 | seal over the whole frame before it, frame header included |
///
/// An entry is the page's frame number (8), its kind (4), the number of bytes that follow it (4), and those.
enum BatchLayout {
  static let headerByteCount = 24
  static let entryByteCount = 16
  static let maximumPages = 256
  /// Where the entries begin in the frame.
  static let entriesOffset = FrameHeader.byteCount + headerByteCount
  static let overhead = headerByteCount + BatchSeal.tagByteCount
  static let maximumPayload =
    overhead + maximumPages * (entryByteCount + PageKind.encrypted.byteCount)
}
