/// Copies of whole runs of bytes, in one go.
extension OutputSpan where Element == UInt8 {
  /// Appends bytes; there must be room for them.
  public mutating func append(copying bytes: [UInt8]) {
    precondition(bytes.count <= freeCapacity, "no room in the span")
    unsafe withUnsafeMutableBufferPointer { buffer, initialized in
      unsafe bytes.withUnsafeBytes { source in
        // SAFETY: the room was checked; the source is another object.
        guard let from = source.baseAddress, let to = buffer.baseAddress else { return }
        unsafe UnsafeMutableRawPointer(to + initialized).copyMemory(from: from, byteCount: source.count)
        initialized += source.count
      }
    }
  }
}

extension Array where Element == UInt8 {
  /// The bytes of a span.
  public init(copying bytes: Span<UInt8>) {
    // SAFETY: the buffer is read within the closure only.
    self = unsafe bytes.withUnsafeBytes { unsafe [UInt8]($0) }
  }
}
