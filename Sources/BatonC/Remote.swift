import Baton
import BatonWire
import CBaton

/// The way to other hosts, as the VMM gave it.
struct Remote {
  let socketPath: String
  let silenceNanoseconds: UInt64

  /// - Throws: ``Participant/Failure/unusable(_:)``.
  init(_ pointer: UnsafePointer<baton_remote>?) throws {
    guard let pointer = unsafe pointer, unsafe pointer.pointee.struct_size >= MemoryLayout<baton_remote>.size
    else {
      throw Participant.Failure.unusable("the way to other hosts is missing, or its struct_size is not set")
    }
    let given = unsafe pointer.pointee
    socketPath =
      unsafe given.socket == nil
      ? "/run/baton/remote.sock" : try Borrowed.text(given.socket, maximum: 107, "the sidecar's socket")
    let milliseconds = unsafe given.silence_ms == 0 ? 10_000 : UInt64(given.silence_ms)
    silenceNanoseconds = milliseconds * 1_000_000
  }
}
