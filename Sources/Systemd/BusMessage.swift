import CSystemd
import Glibc

/// Type codes of D-Bus.
enum BusCode {
  static let int32 = CChar(UInt8(ascii: "i"))
  static let uint32 = CChar(UInt8(ascii: "u"))
  static let uint64 = CChar(UInt8(ascii: "t"))
  static let string = CChar(UInt8(ascii: "s"))
  static let objectPath = CChar(UInt8(ascii: "o"))
  static let variant = CChar(UInt8(ascii: "v"))
  static let array = CChar(UInt8(ascii: "a"))
  static let structure = CChar(UInt8(ascii: "r"))
}

/// A message of the bus, written or read from front to back.
///
/// SAFETY: holds one reference, which it gives back; values are copied in and out within each call.
@safe struct BusMessage: ~Copyable {
  let pointer: OpaquePointer

  /// Takes over a reference.
  init(adopting pointer: OpaquePointer) { unsafe self.pointer = pointer }

  /// Takes a reference of its own.
  init(borrowing pointer: OpaquePointer) { unsafe self.pointer = sd_bus_message_ref(pointer) }

  deinit { _ = unsafe sd_bus_message_unref(pointer) }

  func append(_ text: String) throws(SystemBus.Failure) {
    try check(unsafe text.withCString { unsafe sd_bus_message_append_basic(pointer, BusCode.string, $0) })
  }

  func enter(_ container: CChar, _ signature: String) throws(SystemBus.Failure) {
    try check(unsafe sd_bus_message_enter_container(pointer, container, signature))
  }

  /// Enters the next element of an array, if there is one.
  func enterIfAny(_ container: CChar, _ signature: String) throws(SystemBus.Failure) -> Bool {
    let result = unsafe sd_bus_message_enter_container(pointer, container, signature)
    try check(result)
    return result > 0
  }

  func readUInt32() throws(SystemBus.Failure) -> UInt32 {
    var value: UInt32 = 0
    try check(unsafe sd_bus_message_read_basic(pointer, BusCode.uint32, &value))
    return value
  }

  func readInt32() throws(SystemBus.Failure) -> Int32 {
    var value: Int32 = 0
    try check(unsafe sd_bus_message_read_basic(pointer, BusCode.int32, &value))
    return value
  }

  func readUInt64() throws(SystemBus.Failure) -> UInt64 {
    var value: UInt64 = 0
    try check(unsafe sd_bus_message_read_basic(pointer, BusCode.uint64, &value))
    return value
  }

  /// A string or an object path.
  func readString(_ code: CChar) throws(SystemBus.Failure) -> String {
    var text: UnsafePointer<CChar>?
    try check(unsafe sd_bus_message_read_basic(pointer, code, &text))
    guard let text = unsafe text else {
      throw SystemBus.Failure(kind: .refused, sentence: "an answer of the service manager lacks a text")
    }
    return unsafe String(cString: text)
  }

  private func check(_ result: Int32) throws(SystemBus.Failure) {
    if result < 0 { throw SystemBus.broken(result) }
  }
}
