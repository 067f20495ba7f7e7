/// What the path from one host to the other can move. `nil` is no limit of that kind.
///
/// The kinds of pages take turns on the processors and devices, and the link works beside them: what takes longer
/// counts.
public struct TransferRates: Hashable, Sendable {
  /// Encrypted pages a second that come through, in the long run: through both devices and everything between them.
  public var encryptedPagesPerSecond: Double?
  /// What each of the two devices does by itself, in encrypted pages a second.
  public var ownDevicePagesPerSecond: Double?
  public var targetDevicePagesPerSecond: Double?
  /// Encrypted pages that go together: the target's device begins when it has so many.
  public var batchPages: UInt64 = 16
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

  /// How long pages take in the long run.
  public func seconds(for pages: PageCounts) -> Double {
    seconds(for: pages, encrypted: encryptedPagesPerSecond)
  }

  /// How long pages take that come alone, from the first one to the last one's place in the target's RAM, besides the
  /// way itself.
  ///
  /// What the path has room for on the way, which is what comes through in a round trip, leaves at the device's own
  /// pace, however slowly such a path moves more. And of the last batch the one device makes nothing before the other
  /// has made it.
  public func secondsAlone(for pages: PageCounts, roundTripSeconds: Double) -> Double {
    let long = seconds(for: pages)
    guard pages.encrypted > 0, long.isFinite, let own = ownDevicePagesPerSecond, own > 0,
      let target = targetDevicePagesPerSecond, target > 0
    else { return long }
    let devices = seconds(for: pages, encrypted: min(own, target))
    let last = Double(min(pages.encrypted, batchPages)) / max(own, target)
    return max(min(devices, long), long - roundTripSeconds) + last
  }

  private func seconds(for pages: PageCounts, encrypted: Double?) -> Double {
    func time(_ amount: UInt64, _ rate: Double?) -> Double {
      guard amount > 0, let rate else { return 0 }
      return rate > 0 ? Double(amount) / rate : .infinity
    }
    let work =
      time(pages.encrypted, encrypted) + time(pages.plain, plainPagesPerSecond)
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
