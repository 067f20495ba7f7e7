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
  /// SAFETY: allocated in init, freed in deinit, never handed out of this type; every access below is at a
  /// constant offset of `ModelWire` plus a length that was checked against the capacity.
  private let record: UnsafeMutableRawPointer

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

  private func store(_ value: UInt32, at offset: Int) {
    unsafe record.storeBytes(of: value, toByteOffset: offset, as: UInt32.self)
  }

  private func store(_ value: UInt64, at offset: Int) {
    unsafe record.storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
  }

  private func uint32(at offset: Int) -> UInt32 {
    unsafe record.load(fromByteOffset: offset, as: UInt32.self)
  }

  private func uint64(at offset: Int) -> UInt64 {
    unsafe record.load(fromByteOffset: offset, as: UInt64.self)
  }

  private func start(_ kind: ModelWire.Kind, byteCount: Int) {
    store(ModelWire.magic, at: 0)
    store(ModelWire.version, at: 4)
    store(kind.rawValue, at: ModelWire.kindOffset)
    store(UInt32(byteCount), at: ModelWire.lengthOffset)
  }

  // MARK: Requests

  /// Asks for a descriptor that the model makes.
  func make(
    _ kind: ModelWire.Kind, for attempt: SEVError.Attempt
  ) throws(SEVError) -> OwnedDescriptor {
    start(kind, byteCount: ModelWire.MakeMachine.byteCount)
    store(sev_address_space(), at: ModelWire.MakeMachine.addressSpace)
    try send(byteCount: ModelWire.MakeMachine.byteCount, descriptor: -1, for: attempt)
    let reply = try receive(for: attempt)
    switch reply.kind {
    case .made where reply.descriptor >= 0:
      return OwnedDescriptor(adopting: reply.descriptor)
    case .finished:
      throw SEVError(attempt, code: Int32(bitPattern: uint32(at: ModelWire.Finished.error)))
    case .made, .question, .makeMachine, .openFirmware, .memoryEncryptOperation, .registerRegion,
      .unregisterRegion, .answer, .undeliverable:
      throw SEVError(attempt, code: EPROTO)
    }
  }

  /// Sends an ioctl whose structs belong to the library, so that they cannot fault: one record goes and one
  /// comes, unless the model has questions.
  ///
  /// - Parameters:
  ///   - area: The ioctl's struct at ``ArgumentArea/argument``, the command's own at
  ///     ``ArgumentArea/parameters``; both are updated.
  ///   - pins: Whether the request pins memory, so that the caller's limit matters.
  /// - Returns: 0 or the errno.
  func request(
    _ kind: ModelWire.Kind, on machine: Int32, area: borrowing ArgumentArea, argumentByteCount: Int,
    parameterByteCount: Int, pins: Bool, for attempt: SEVError.Attempt
  ) throws(SEVError) -> Int32 {
    prepare(
      kind, argument: area.argumentAddress, parameters: area.parameterAddress,
      parameterByteCount: parameterByteCount, flags: ModelWire.Request.allAccessible, pins: pins)
    // SAFETY: area and record have room for both structs at their places.
    unsafe (record + ModelWire.Request.argumentBytes).copyMemory(
      from: area.argument, byteCount: argumentByteCount)
    unsafe (record + ModelWire.Request.parameterBytes).copyMemory(
      from: area.parameters, byteCount: parameterByteCount)
    let error = try converse(machine: machine, for: attempt)
    let flags = uint32(at: ModelWire.Finished.flags)
    if flags & ModelWire.Finished.hasParameters != 0 {
      unsafe area.parameters.copyMemory(
        from: record + ModelWire.Finished.parameterBytes, byteCount: parameterByteCount)
    }
    if flags & ModelWire.Finished.hasArgument != 0 {
      unsafe area.argument.copyMemory(
        from: record + ModelWire.Finished.argumentBytes, byteCount: argumentByteCount)
    }
    wipeSecrets()
    return error
  }

  /// Sends an ioctl whose argument is any address of this process, as a program gave it.
  ///
  /// What is there is read ahead and tried for writing, so that this too is one round trip. Should a write
  /// fail after all, because another thread unmapped the memory meanwhile, the model is told and takes the
  /// command back.
  ///
  /// - Returns: 0 or the errno.
  func request(
    _ kind: ModelWire.Kind, on machine: Int32, argument: UInt64, for attempt: SEVError.Attempt
  ) throws(SEVError) -> Int32 {
    let isCommand = kind == .memoryEncryptOperation
    let argumentByteCount = isCommand ? SEVCommandBlock.byteCount : EncryptedRegion.byteCount
    var flags: UInt32 = 0
    var id: SEVCommandID?
    var parameters: UInt64 = 0
    // SAFETY: the record has room for both structs at their places.
    if unsafe sev_copy_in(
      argument, record + ModelWire.Request.argumentBytes, argumentByteCount) == 0
    {
      flags |= ModelWire.Request.argumentReadable
      if isCommand {
        id = SEVCommandID(rawValue: uint32(at: ModelWire.Request.argumentBytes))
        parameters = uint64(at: ModelWire.Request.argumentBytes + 8)
        if sev_fault_in(argument, UInt64(argumentByteCount), 1) == 0 {
          flags |= ModelWire.Request.argumentWritable
        }
      }
    }
    let parameterByteCount = id?.parameterByteCount ?? 0
    if parameterByteCount > 0 {
      if unsafe sev_copy_in(
        parameters, record + ModelWire.Request.parameterBytes, parameterByteCount) == 0
      {
        flags |= ModelWire.Request.parametersReadable
      }
      if sev_fault_in(parameters, UInt64(parameterByteCount), 1) == 0 {
        flags |= ModelWire.Request.parametersWritable
      }
    }
    prepare(
      kind, argument: argument, parameters: parameters, parameterByteCount: parameterByteCount,
      flags: flags, pins: id?.pinsMemory ?? !isCommand)
    var error = try converse(machine: machine, for: attempt)
    let written = uint32(at: ModelWire.Finished.flags)
    var isUndeliverable = false
    if written & ModelWire.Finished.hasParameters != 0 {
      isUndeliverable =
        unsafe sev_copy_out(
          parameters, record + ModelWire.Finished.parameterBytes, parameterByteCount) != 0
    }
    // The block is written back whether the command failed or not.
    if written & ModelWire.Finished.hasArgument != 0,
      unsafe sev_copy_out(argument, record + ModelWire.Finished.argumentBytes, argumentByteCount) != 0
    {
      error = EFAULT
    }
    if isUndeliverable {
      start(.undeliverable, byteCount: ModelWire.headerByteCount)
      try send(byteCount: ModelWire.headerByteCount, descriptor: -1, for: attempt)
      error = try converseUntilFinished(for: attempt)
    }
    wipeSecrets()
    return error
  }

  /// Overwrites the places in the record where a token may have been.
  private func wipeSecrets() {
    unsafe clinux_wipe(record, max(ModelWire.Request.byteCount, ModelWire.Finished.byteCount))
  }

  private func prepare(
    _ kind: ModelWire.Kind, argument: UInt64, parameters: UInt64, parameterByteCount: Int, flags: UInt32,
    pins: Bool
  ) {
    start(kind, byteCount: ModelWire.Request.byteCount)
    store(sev_address_space(), at: ModelWire.Request.addressSpace)
    store(argument, at: ModelWire.Request.argument)
    store(pins ? sev_lockable_pages() : 0, at: ModelWire.Request.lockablePages)
    store(flags, at: ModelWire.Request.flags)
    store(UInt32(parameterByteCount), at: ModelWire.Request.parameterByteCount)
    store(parameters, at: ModelWire.Request.parameterAddress)
  }

  /// Sends the prepared request with the VM's descriptor and answers questions until it is finished.
  private func converse(
    machine: Int32, for attempt: SEVError.Attempt
  ) throws(SEVError) -> Int32 {
    try send(byteCount: ModelWire.Request.byteCount, descriptor: machine, for: attempt)
    return try converseUntilFinished(for: attempt)
  }

  private func converseUntilFinished(for attempt: SEVError.Attempt) throws(SEVError) -> Int32 {
    while true {
      let reply = try receive(for: attempt)
      if reply.descriptor >= 0 { _ = clinux_close(reply.descriptor) }
      switch reply.kind {
      case .finished where reply.byteCount == ModelWire.Finished.byteCount:
        return Int32(bitPattern: uint32(at: ModelWire.Finished.error))
      case .question where reply.byteCount >= ModelWire.Ask.bytes:
        try answerQuestion(byteCount: reply.byteCount, for: attempt)
      case .finished, .question, .made, .makeMachine, .openFirmware, .memoryEncryptOperation,
        .registerRegion, .unregisterRegion, .answer, .undeliverable:
        throw SEVError(attempt, code: EPROTO, isOutcomeUnknown: true)
      }
    }
  }

  // MARK: Questions

  /// Answers the question in the record from this process's memory and descriptors.
  private func answerQuestion(
    byteCount: Int, for attempt: SEVError.Attempt
  ) throws(SEVError) {
    let address = uint64(at: ModelWire.Ask.address)
    let count = uint64(at: ModelWire.Ask.count)
    let descriptor = Int32(bitPattern: uint32(at: ModelWire.Ask.descriptor))
    var length = ModelWire.Answer.bytes
    var attached: Int32 = -1
    let succeeded: Bool
    switch ModelWire.Question(rawValue: uint32(at: ModelWire.Ask.question)) {
    case .read where count <= UInt64(ModelWire.maximumChunkByteCount):
      // SAFETY: the record has room for a chunk behind either header.
      succeeded = unsafe sev_copy_in(address, record + ModelWire.Answer.bytes, Int(count)) == 0
      if succeeded { length += Int(count) }
    case .write where count == UInt64(byteCount - ModelWire.Ask.bytes):
      succeeded = unsafe sev_copy_out(address, record + ModelWire.Ask.bytes, Int(count)) == 0
    case .pinForReading:
      succeeded = sev_fault_in(address, count, 0) == 0
    case .pinForWriting:
      succeeded = sev_fault_in(address, count, 1) == 0
    case .findFirmware:
      succeeded = fcntl(descriptor, F_GETFD) >= 0
      if succeeded { attached = descriptor }
    case .read, .write, nil:
      throw SEVError(attempt, code: EPROTO, isOutcomeUnknown: true)
    }
    start(.answer, byteCount: length)
    store(succeeded ? UInt64(1) : 0, at: ModelWire.Answer.succeeded)
    try send(byteCount: length, descriptor: attached, for: attempt)
  }

  // MARK: Records

  private func send(
    byteCount: Int, descriptor: Int32, for attempt: SEVError.Attempt
  ) throws(SEVError) {
    let sent = unsafe sev_send(socket.descriptor.number, record, byteCount, descriptor)
    guard sent >= 0 else { throw SEVError(attempt, code: Int32(-sent)) }
  }

  private struct Reply {
    let kind: ModelWire.Kind
    let byteCount: Int
    /// -1 or a descriptor that the caller now owns.
    let descriptor: Int32
  }

  private func receive(for attempt: SEVError.Attempt) throws(SEVError) -> Reply {
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
}
