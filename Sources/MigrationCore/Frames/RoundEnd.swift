import BatonWire

/// The end of a round: no page came twice in it, and the next may bring any page again.
public struct RoundEnd: Hashable, Sendable {
  /// Counts from 0.
  public var round: UInt32
  /// Batches of this round.
  public var batches: UInt64
  /// Pages of this round.
  public var pages: UInt64
  /// Whether it was sent from a guest that stands still: what follows is everything that is no page.
  public var isLast: Bool

  public init(round: UInt32, batches: UInt64, pages: UInt64, isLast: Bool) {
    self.round = round
    self.batches = batches
    self.pages = pages
    self.isLast = isLast
  }

  func encode(into writer: inout ByteWriter) {
    writer.write(round)
    writer.write(batches)
    writer.write(pages)
    writer.write(isLast)
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    round = try reader.read(UInt32.self, "round")
    batches = try reader.read(UInt64.self, "batches")
    pages = try reader.read(UInt64.self, "pages")
    isLast = try reader.readFlag("last round")
  }
}
