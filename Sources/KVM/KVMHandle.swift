import CLinux
import Glibc
import LinuxOS

/// A descriptor of the KVM interface with a name for errors and a trace.
struct KVMHandle: ~Copyable, Sendable {
  let descriptor: OwnedDescriptor
  let subject: String
  let vcpu: Int?
  let trace: KVMTrace?

  init(
    _ descriptor: consuming OwnedDescriptor, subject: String, vcpu: Int? = nil, trace: KVMTrace?
  ) {
    self.descriptor = descriptor
    self.subject = subject
    self.vcpu = vcpu
    self.trace = trace
  }

  /// A request whose argument is a number.
  @discardableResult
  borrowing func call(_ request: KVMRequest, _ argument: UInt = 0) throws(KVMError) -> Int32 {
    try finish(request, clinux_kvm_ioctl_value(descriptor.number, request.rawValue, argument))
  }

  /// A request whose argument is a structure that the kernel reads, writes or both.
  ///
  /// SAFETY of every caller: `bytes` is at least as long as the structure of the request.
  @discardableResult
  borrowing func exchange(_ request: KVMRequest, _ bytes: inout [UInt8]) throws(KVMError) -> Int32 {
    let number = descriptor.number
    let result = unsafe bytes.withUnsafeMutableBytes {
      unsafe clinux_kvm_ioctl_pointer(number, request.rawValue, $0.baseAddress)
    }
    return try finish(request, result)
  }

  /// A structure of fixed size that the kernel fills.
  borrowing func get(_ request: KVMRequest, byteCount: Int) throws(KVMError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    try exchange(request, &bytes)
    return bytes
  }

  /// A structure of fixed size that the kernel reads.
  borrowing func set(_ request: KVMRequest, _ bytes: [UInt8], byteCount: Int) throws(KVMError) {
    guard bytes.count == byteCount else {
      throw KVMError(
        request, on: subject, code: EINVAL,
        detail: "the structure has \(bytes.count) bytes instead of \(byteCount)")
    }
    var copy = bytes
    try exchange(request, &copy)
  }

  private borrowing func finish(_ request: KVMRequest, _ result: Int32) throws(KVMError) -> Int32 {
    guard result >= 0 else { throw KVMError(request, on: subject, code: -result) }
    trace?.note(KVMOperation(request, vcpu: vcpu))
    return result
  }
}

extension [UInt8] {
  /// A little-endian integer at a byte offset.
  func integer<Value: FixedWidthInteger>(at offset: Int, as type: Value.Type) -> Value {
    var value: Value = 0
    for index in (0..<Value.bitWidth / 8).reversed() { value = value << 8 | Value(self[offset + index]) }
    return value
  }

  /// Writes a little-endian integer at a byte offset.
  mutating func setInteger<Value: FixedWidthInteger>(_ value: Value, at offset: Int) {
    for index in 0..<Value.bitWidth / 8 {
      self[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * Value(index)))
    }
  }
}
