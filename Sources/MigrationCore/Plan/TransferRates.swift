/// What the path from one host to the other can move. `nil` is no limit of that kind.
///
/// The kinds of pages take turns on the processors and devices, and the link works beside them: what takes longer
/// counts.
public struct TransferRates: Hashable, Sendable {
  /// Pages a second through the slower of the two devices.
  public var encryptedPagesPerSecond: Double?
  /// Plain pages a second that both ends copy, seal and check.
  public var plainPagesPerSecond: Double?
  /// Pages a second that are found to be zeros.
  public var zeroPagesPerSecond: Double?
  /// Bytes a second that the link carries.
  public var linkBytesPerSecond: Double?
  /// The operator's limit; 0 is none.
  public var bandwidthBytesPerSecond: UInt64 = 0

  /// Rates of which nothing is known yet.
  public init() {}

  /// An encrypted page on the wire: its packet, the firmware's header and its place in the batch.
  public static let encryptedPageBytes: UInt64 = 4096 + 52 + 12
  /// A plain page on the wire.
  public static let plainPageBytes: UInt64 = 4096 + 12
  /// A page of zeros on the wire.
  public static let zeroPageBytes: UInt64 = 12

  /// Bytes on the wire, without the frames around batches.
  public static func wireBytes(of pages: PageCounts) -> UInt64 {
    pages.encrypted * encryptedPageBytes + pages.plain * plainPageBytes + pages.zero * zeroPageBytes
  }

  /// The link, or the operator's limit if that is less.
  public var usableBytesPerSecond: Double? {
    guard bandwidthBytesPerSecond > 0 else { return linkBytesPerSecond }
    return min(Double(bandwidthBytesPerSecond), linkBytesPerSecond ?? .infinity)
  }

  /// How long pages take.
  public func seconds(for pages: PageCounts) -> Double {
    func time(_ amount: UInt64, _ rate: Double?) -> Double {
      guard amount > 0, let rate else { return 0 }
      return rate > 0 ? Double(amount) / rate : .infinity
    }
    let work =
      time(pages.encrypted, encryptedPagesPerSecond) + time(pages.plain, plainPagesPerSecond)
      + time(pages.zero, zeroPagesPerSecond)
    return max(work, time(Self.wireBytes(of: pages), usableBytesPerSecond))
  }

  /// Whether the device, and not the link, sets the pace of encrypted pages.
  var isLimitedByDevice: Bool {
    guard let encryptedPagesPerSecond else { return false }
    return encryptedPagesPerSecond * Double(Self.encryptedPageBytes) < usableBytesPerSecond ?? .infinity
  }

  /// Pages a second of this mixture.
  func pagesPerSecond(of pages: PageCounts) -> Double {
    let seconds = seconds(for: pages)
    return seconds > 0 ? Double(pages.total) / seconds : 0
  }
}
