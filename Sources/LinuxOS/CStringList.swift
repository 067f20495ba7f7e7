/// Texts as C wants them: an array of pointers that ends with a null pointer.
@safe final class CStringList {
  // SAFETY: allocated and filled in init, freed in deinit, never changed between.
  private let bytes: UnsafeMutablePointer<CChar>
  let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

  init(_ texts: [String]) {
    let encoded = texts.map { Array($0.utf8CString) }
    unsafe bytes = .allocate(capacity: max(1, encoded.reduce(0) { $0 + $1.count }))
    unsafe pointers = .allocate(capacity: texts.count + 1)
    var offset = 0
    for (index, text) in encoded.enumerated() {
      for (position, byte) in text.enumerated() {
        unsafe (bytes + offset + position).initialize(to: byte)
      }
      unsafe (pointers + index).initialize(to: bytes + offset)
      offset += text.count
    }
    unsafe (pointers + texts.count).initialize(to: nil)
  }

  deinit {
    unsafe bytes.deallocate()
    unsafe pointers.deallocate()
  }
}
