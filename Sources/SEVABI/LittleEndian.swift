/// Little-endian fields at fixed offsets, the only byte order of the kernel's SEV structs on x86-64.
///
/// An offset outside the span traps: offsets are constants of a layout, so a wrong one is a programming
/// error.
extension Span where Element == UInt8 {
  public func uint32(at offset: Int) -> UInt32 {
    var value: UInt32 = 0
    for index in 0..<4 { value |= UInt32(self[offset + index]) << UInt32(8 * index) }
    return value
  }

  public func uint64(at offset: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<8 { value |= UInt64(self[offset + index]) << UInt64(8 * index) }
    return value
  }
}

extension MutableSpan where Element == UInt8 {
  public mutating func store(_ value: UInt16, at offset: Int) {
    for index in 0..<2 { self[offset + index] = UInt8(truncatingIfNeeded: value >> UInt16(8 * index)) }
  }

  public mutating func store(_ value: UInt32, at offset: Int) {
    for index in 0..<4 { self[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index)) }
  }

  public mutating func store(_ value: UInt64, at offset: Int) {
    for index in 0..<8 { self[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index)) }
  }
}
