import CLinux
import Glibc

/// What a call gave.
struct CallResult {
  /// 0 or the errno.
  var error: Int32
  var outcome: UInt32
  /// ``ModelWire/Result/valueCount`` of them.
  var values: [UInt64]
  var payload: [UInt8]
}

/// Operations that need nothing of the caller's memory.
extension ModelConnection {
  /// Makes a call; one record goes and one comes.
  ///
  /// - Parameters:
  ///   - descriptor: The VM or vCPU, or -1.
  ///   - arguments: At most ``ModelWire/Call/argumentCount``.
  ///   - payload: At most ``ModelWire/maximumChunkByteCount`` less the header's bytes.
  func call(
    _ operation: ModelWire.Operation, on descriptor: Int32 = -1, arguments: [UInt64] = [],
    payload: [UInt8] = [], for attempt: SEVError.Attempt
  ) throws(SEVError) -> CallResult {
    let byteCount = ModelWire.Call.bytes + payload.count
    precondition(byteCount <= ModelWire.maximumByteCount, "the payload is too large for a record")
    start(.call, byteCount: byteCount)
    store(sev_address_space(), at: ModelWire.Call.addressSpace)
    store(UInt64(operation.rawValue), at: ModelWire.Call.operation)
    for index in 0..<ModelWire.Call.argumentCount {
      store(index < arguments.count ? arguments[index] : 0, at: ModelWire.Call.arguments + 8 * index)
    }
    unsafe payload.withUnsafeBytes { source in
      if let from = source.baseAddress {
        // SAFETY: the length was checked against the record's above.
        unsafe (record + ModelWire.Call.bytes).copyMemory(from: from, byteCount: source.count)
      }
    }
    try send(byteCount: byteCount, descriptor: descriptor, for: attempt)
    let reply = try receive(for: attempt)
    if reply.descriptor >= 0 { _ = clinux_close(reply.descriptor) }
    guard reply.kind == .result, reply.byteCount >= ModelWire.Result.bytes else {
      throw SEVError(attempt, code: EPROTO, isOutcomeUnknown: true)
    }
    let result = CallResult(
      error: Int32(bitPattern: uint32(at: ModelWire.Result.error)),
      outcome: uint32(at: ModelWire.Result.outcome),
      values: (0..<ModelWire.Result.valueCount).map { uint64(at: ModelWire.Result.values + 8 * $0) },
      // SAFETY: the record holds as many bytes as were received.
      payload: unsafe [UInt8](
        UnsafeRawBufferPointer(
          start: record + ModelWire.Result.bytes, count: reply.byteCount - ModelWire.Result.bytes)))
    return result
  }
}
