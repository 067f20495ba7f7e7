import CLinux
import Glibc
import LinuxOS
import SEVABI

/// A connection to the model's process, and this process's memory for it.
///
/// The model never touches memory of another process: it asks, and this type answers from its own process, so
/// that EFAULT is exact.
@safe struct ModelConnection: ~Copyable, @unchecked Sendable {
  private let socket: SeqpacketSocket
  /// One record, received or to be sent, `ModelWire.maximumByteCount` bytes.
  ///
  /// SAFETY: allocated in init, freed in deinit, never handed out of this type; every access is at a constant
  /// offset of `ModelWire` plus a length that was checked against the capacity.
  let record: UnsafeMutableRawPointer

  private init(socket: consuming SeqpacketSocket) {
    self.socket = socket
    unsafe record = .allocate(byteCount: ModelWire.maximumByteCount, alignment: 8)
    unsafe record.initializeMemory(as: UInt8.self, repeating: 0, count: ModelWire.maximumByteCount)
  }

  deinit {
    unsafe clinux_wipe(record, ModelWire.maximumByteCount)
    unsafe record.deallocate()
  }

  static func open(path: String) throws(SEVError) -> ModelConnection {
    do throws(SystemError) {
      return ModelConnection(socket: try SeqpacketSocket.connect(path: path))
    } catch {
      throw SEVError(.connect(path: path), code: error.code)
    }
  }

  // MARK: Fields of the record

  func store(_ value: UInt32, at offset: Int) {
    unsafe record.storeBytes(of: value, toByteOffset: offset, as: UInt32.self)
  }

  func store(_ value: UInt64, at offset: Int) {
    unsafe record.storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
  }

  func uint32(at offset: Int) -> UInt32 {
    unsafe record.load(fromByteOffset: offset, as: UInt32.self)
  }

  func uint64(at offset: Int) -> UInt64 {
    unsafe record.load(fromByteOffset: offset, as: UInt64.self)
  }

  func start(_ kind: ModelWire.Kind, byteCount: Int) {
    store(ModelWire.magic, at: 0)
    store(ModelWire.version, at: 4)
    store(kind.rawValue, at: ModelWire.kindOffset)
    store(UInt32(byteCount), at: ModelWire.lengthOffset)
  }

  // MARK: Records

  struct Reply {
    let kind: ModelWire.Kind
    let byteCount: Int
    /// -1 or a descriptor that the caller now owns.
    let descriptor: Int32
  }

  /// Sends the record.
  ///
  /// - Parameters:
  ///   - descriptor: -1 for none.
  ///   - second: Another one behind it, or -1.
  /// - Throws: EBADF when one of them is not open.
  func send(
    byteCount: Int, descriptor: Int32, second: Int32 = -1, for attempt: SEVError.Attempt
  ) throws(SEVError) {
    let number = socket.descriptor.number
    let sent =
      if second >= 0 {
        unsafe withUnsafeTemporaryAllocation(of: Int32.self, capacity: 2) { both in
          unsafe both.initializeElement(at: 0, to: descriptor)
          unsafe both.initializeElement(at: 1, to: second)
          return unsafe sev_send2(number, record, byteCount, both.baseAddress, 2)
        }
      } else {
        unsafe sev_send(number, record, byteCount, descriptor)
      }
    guard sent >= 0 else { throw SEVError(attempt, code: Int32(-sent)) }
  }

  func receive(for attempt: SEVError.Attempt) throws(SEVError) -> Reply {
    var descriptor: Int32 = -1
    let count = unsafe sev_receive(
      socket.descriptor.number, record, ModelWire.maximumByteCount, &descriptor)
    guard count > 0 else {
      let code = count == 0 ? ECONNRESET : Int32(-count)
      throw SEVError(attempt, code: code, isOutcomeUnknown: true)
    }
    guard count >= ModelWire.headerByteCount, uint32(at: 0) == ModelWire.magic,
      uint32(at: 4) == ModelWire.version, uint32(at: ModelWire.lengthOffset) == UInt32(count),
      let kind = ModelWire.Kind(rawValue: uint32(at: ModelWire.kindOffset))
    else {
      if descriptor >= 0 { _ = clinux_close(descriptor) }
      throw SEVError(attempt, code: EPROTO, isOutcomeUnknown: true)
    }
    return Reply(kind: kind, byteCount: count, descriptor: descriptor)
  }

  // MARK: Descriptors that the model makes

  /// Asks for a descriptor: a VM, a vCPU of the VM `machine`, or the firmware device.
  func make(
    _ kind: ModelWire.Kind, on machine: Int32 = -1, detail: UInt64 = 0, for attempt: SEVError.Attempt
  ) throws(SEVError) -> OwnedDescriptor {
    start(kind, byteCount: ModelWire.Make.byteCount)
    store(sev_address_space(), at: ModelWire.Make.addressSpace)
    store(detail, at: ModelWire.Make.detail)
    try send(byteCount: ModelWire.Make.byteCount, descriptor: machine, for: attempt)
    let reply = try receive(for: attempt)
    if reply.kind == .made, reply.descriptor >= 0 { return OwnedDescriptor(adopting: reply.descriptor) }
    if reply.descriptor >= 0 { _ = clinux_close(reply.descriptor) }
    guard reply.kind == .finished, reply.byteCount == ModelWire.Finished.byteCount else {
      throw SEVError(attempt, code: EPROTO, isOutcomeUnknown: true)
    }
    throw SEVError(attempt, code: Int32(bitPattern: uint32(at: ModelWire.Finished.error)))
  }
}
