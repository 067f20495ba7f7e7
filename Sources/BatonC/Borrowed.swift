import Baton
import BatonWire
import CBaton
import Glibc
import LinuxOS

/// Reading what C passes in, and writing what it wants out. Nothing that is passed in is kept.
///
/// SAFETY: what a pointer and a count of the caller's name is valid for the call, as baton.h asks.
enum Borrowed {
  /// Text that ends with NUL; nil when it is no UTF-8 or longer than `maximum` bytes.
  static func text(_ pointer: UnsafePointer<CChar>?, maximum: Int) -> String? {
    guard let pointer = unsafe pointer else { return nil }
    var bytes: [UInt8] = []
    var next = unsafe pointer
    while unsafe next.pointee != 0 {
      guard bytes.count < maximum else { return nil }
      unsafe bytes.append(UInt8(bitPattern: next.pointee))
      unsafe next += 1
    }
    return String(validating: bytes, as: UTF8.self)
  }

  static func text(
    _ pointer: UnsafePointer<CChar>?, maximum: Int, _ what: String
  ) throws(Participant.Failure) -> String {
    guard let text = unsafe text(pointer, maximum: maximum) else {
      throw .unusable("\(what) is missing, no UTF-8, or longer than \(maximum) bytes")
    }
    return text
  }

  /// As much of a text as `maximum` bytes hold; what is no UTF-8 in it is replaced.
  static func beginning(
    _ pointer: UnsafePointer<CChar>?, maximum: Int, _ what: String
  ) throws(Participant.Failure) -> String {
    guard let pointer = unsafe pointer else { throw .unusable("\(what) is missing") }
    let count = unsafe strnlen(pointer, maximum + 1)
    let bytes = unsafe UnsafeRawBufferPointer(start: pointer, count: min(count, maximum))
    var text = unsafe String(decoding: bytes, as: UTF8.self)
    // A character that was cut has become one that stands for nothing.
    while text.utf8.count > maximum || (count > maximum && text.last == "\u{FFFD}") { text.removeLast() }
    return text
  }

  static func bytes(
    _ pointer: UnsafeRawPointer?, _ count: Int, maximum: Int, _ what: String
  ) throws(Participant.Failure) -> [UInt8] {
    guard count != 0 else { return [] }
    // A size_t above SSIZE_MAX, such as an unlooked-at -1, arrives as a negative number.
    guard let pointer = unsafe pointer, count > 0, count <= maximum else {
      throw .unusable("\(what) is missing or longer than \(maximum) bytes")
    }
    return unsafe [UInt8](UnsafeRawBufferPointer(start: pointer, count: count))
  }

  static func list<Element>(
    _ pointer: UnsafePointer<Element>?, _ count: UInt32, maximum: Int, _ what: String
  ) throws(Participant.Failure) -> [Element] {
    guard count > 0 else { return [] }
    guard let pointer = unsafe pointer, Int(count) <= maximum else {
      throw .unusable("\(what) are missing or more than \(maximum)")
    }
    return unsafe [Element](UnsafeBufferPointer(start: pointer, count: Int(count)))
  }

  /// Copies as much of `value` as the caller's struct has room for; what it has beyond stays as it is.
  ///
  /// - Parameter smallest: The size of the struct in the first version of the library.
  static func store<Value>(
    _ value: Value, to pointer: UnsafeMutablePointer<Value>?, size: Int, smallest: Int
  ) throws(Participant.Failure) {
    guard let pointer = unsafe pointer, size >= smallest else {
      throw .unusable("the struct to be filled is missing, or its struct_size is not set")
    }
    unsafe withUnsafeBytes(of: value) { bytes in
      // The first member, struct_size, is the caller's own.
      let head = MemoryLayout<Int>.size
      let count = min(size, bytes.count) - head
      unsafe UnsafeMutableRawPointer(pointer).advanced(by: head)
        .copyMemory(
          from: bytes.baseAddress?.advanced(by: head) ?? UnsafeRawPointer(pointer), byteCount: count)
    }
  }

  /// Copies text with its NUL into a buffer of the caller's.
  static func copy(
    _ text: String, to pointer: UnsafeMutablePointer<CChar>?, size: Int
  ) throws -> Int32 {
    let bytes = Array(text.utf8)
    guard bytes.count < size, let pointer = unsafe pointer else { throw NoRoom() }
    for (index, byte) in bytes.enumerated() { unsafe pointer[index] = CChar(bitPattern: byte) }
    unsafe pointer[bytes.count] = 0
    return Int32(bytes.count)
  }

  /// Copies bytes into a buffer of the caller's; without one only their count is told.
  static func copy(
    _ bytes: ArraySlice<UInt8>, to pointer: UnsafeMutableRawPointer?, size: Int
  ) throws -> Int64 {
    guard let pointer = unsafe pointer else { return Int64(bytes.count) }
    guard bytes.count <= size else { throw NoRoom() }
    unsafe bytes.withUnsafeBytes { source in
      if let start = source.baseAddress { unsafe pointer.copyMemory(from: start, byteCount: source.count) }
    }
    return Int64(bytes.count)
  }
}
