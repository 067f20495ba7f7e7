public import BatonWire
public import LinuxOS

/// Guest RAM as both ends of a migration see it: frames of the guest, pages of a mapping.
///
/// Pages are numbered by their place in the mapping, frames (GFN) by their guest-physical address; both are of 4096
/// bytes.
public struct GuestRAM: Sendable {
  public static let pageByteCount = 4096

  /// Consecutive frames that lie in consecutive pages.
  public struct Range: Hashable, Sendable {
    public var firstFrame: UInt64
    public var firstPage: Int
    public var count: Int

    public init(firstFrame: UInt64, firstPage: Int, count: Int) {
      self.firstFrame = firstFrame
      self.firstPage = firstPage
      self.count = count
    }
  }

  public let mapping: SharedMapping
  /// In the order of their pages, without a gap between these.
  public let ranges: [Range]
  public let pageCount: Int

  /// - Parameters:
  ///   - mapping: Of all RAM, readable and at the target writable.
  ///   - regions: Where it lies in the guest; `fileOffset` is the place in the mapping.
  /// - Returns: nil for regions that are not whole pages, lie outside of the mapping, or leave gaps in it.
  public init?(_ mapping: SharedMapping, regions: [RAMRegion]) {
    let page = UInt64(Self.pageByteCount)
    var ranges: [Range] = []
    var next = 0
    for region in regions.sorted(by: { $0.fileOffset < $1.fileOffset }) {
      guard region.byteCount > 0, region.byteCount % page == 0, region.guestPhysicalAddress % page == 0,
        region.fileOffset == UInt64(next) * page, region.byteCount <= UInt64(mapping.byteCount),
        region.fileOffset <= UInt64(mapping.byteCount) - region.byteCount
      else { return nil }
      let count = Int(region.byteCount / page)
      ranges.append(Range(firstFrame: region.guestPhysicalAddress / page, firstPage: next, count: count))
      next += count
    }
    guard next > 0 else { return nil }
    self.mapping = mapping
    self.ranges = ranges
    pageCount = next
  }

  /// The frame that lies in a page.
  public func frame(ofPage page: Int) -> UInt64 {
    for range in ranges where page >= range.firstPage && page < range.firstPage + range.count {
      return range.firstFrame + UInt64(page - range.firstPage)
    }
    preconditionFailure("no such page")
  }

  /// The page in which a frame lies; nil for a frame that is no RAM.
  public func page(ofFrame frame: UInt64) -> Int? {
    for range in ranges where frame >= range.firstFrame && frame - range.firstFrame < UInt64(range.count) {
      return range.firstPage + Int(frame - range.firstFrame)
    }
    return nil
  }

  /// The address of a page in this process, for commands of the SEV device.
  public func address(ofPage page: Int) -> UInt64 {
    UInt64(mapping.address) + UInt64(page * Self.pageByteCount)
  }

  /// Pages of the file behind the mapping that may hold something else than zeros; nil if nobody knows.
  ///
  /// - Complexity: O(runs of pages), without reading them.
  public func populatedPages(of file: borrowing OwnedDescriptor) -> PageBitmap? {
    var pages = PageBitmap(pageCount: pageCount)
    let page = UInt64(Self.pageByteCount)
    do throws(SystemError) {
      var at: UInt64 = 0
      while let data = try file.nextData(from: at) {
        for number in Int(data.lowerBound / page)..<Int((data.upperBound + page - 1) / page)
        where number < pageCount { pages.insert(number) }
        at = data.upperBound
      }
    } catch {
      return nil
    }
    return pages
  }

  func isZero(page: Int) -> Bool {
    mapping.isZero(at: page * Self.pageByteCount, count: Self.pageByteCount)
  }
}
