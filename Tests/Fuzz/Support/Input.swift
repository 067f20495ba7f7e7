/// Copies what libFuzzer lends for the length of one call.
///
/// - Parameters: exactly what `LLVMFuzzerTestOneInput` was given.
public func copyInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> [UInt8] {
  guard let start = unsafe start else { return [] }
  // SAFETY: libFuzzer promises `count` readable bytes at `start` until the call returns; they are copied.
  return unsafe Array(UnsafeBufferPointer(start: start, count: count))
}
