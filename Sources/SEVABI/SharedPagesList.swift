/// `struct kvm_shared_pages_list` of the v10 live-migration series (never merged), 24 bytes.
public struct SharedPagesList: KernelStructure {
  public static let byteCount = 24
  /// One entry of the buffer: first frame number and the one behind the last, 8 bytes each.
  public static let entryByteCount = 16

  /// Ranges of frame numbers as entries of the buffer.
  public static func encode(_ ranges: some Collection<Range<UInt64>>) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: ranges.count * entryByteCount)
    var span = bytes.mutableSpan
    for (index, range) in ranges.enumerated() {
      span.store(range.lowerBound, at: index * entryByteCount)
      span.store(range.upperBound, at: index * entryByteCount + 8)
    }
    return bytes
  }

  /// The user address of the number of entries, 4 bytes.
  public var countAddress: UInt64
  /// The user address of the entries, or 0 to empty the list when it is set.
  public var bufferAddress: UInt64
  /// Bytes at `bufferAddress`.
  public var size: UInt32

  public init(countAddress: UInt64, bufferAddress: UInt64, size: UInt32) {
    self.countAddress = countAddress
    self.bufferAddress = bufferAddress
    self.size = size
  }

  public init(decoding bytes: Span<UInt8>) {
    countAddress = bytes.uint64(at: 0)
    bufferAddress = bytes.uint64(at: 8)
    size = bytes.uint32(at: 16)
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    clear(&bytes, count: Self.byteCount)
    bytes.store(countAddress, at: 0)
    bytes.store(bufferAddress, at: 8)
    bytes.store(size, at: 16)
  }
}
