import CLinux
import Glibc
import SEVABI

/// Ioctls, from the first record to the last.
extension ModelConnection {
  /// Where the struct of a command is, which the ioctl's own struct points at.
  struct ParameterPlace {
    var address: UInt64 = 0
    var byteCount = 0
    /// Whether the command pins memory, so that the caller's limit matters.
    var pins = false
  }

  /// Sends an ioctl whose structs belong to the library, so that they cannot fault: one record goes and one
  /// comes, unless the model has questions.
  ///
  /// - Parameters:
  ///   - descriptor: The VM or the firmware device.
  ///   - area: The ioctl's struct at ``ArgumentArea/argument``, the command's own at
  ///     ``ArgumentArea/parameters``; both are updated.
  ///   - second: The descriptor that the ioctl's struct names, which goes with the request; or -1.
  ///   - pins: Whether the request pins memory, so that the caller's limit matters.
  /// - Returns: 0 or the errno.
  func request(
    _ request: ModelWire.Request, on descriptor: Int32, area: borrowing ArgumentArea,
    parameterByteCount: Int = 0, second: Int32 = -1, pins: Bool = false, for attempt: SEVError.Attempt
  ) throws(SEVError) -> Int32 {
    let argumentByteCount = request.argumentByteCount
    let place = ParameterPlace(address: area.parameterAddress, byteCount: parameterByteCount, pins: pins)
    prepare(
      request, argument: area.argumentAddress, place, flags: ModelWire.RequestField.allAccessible)
    // SAFETY: area and record have room for both structs at their places.
    unsafe (record + ModelWire.RequestField.argumentBytes).copyMemory(
      from: area.argument, byteCount: argumentByteCount)
    unsafe (record + ModelWire.RequestField.parameterBytes).copyMemory(
      from: area.parameters, byteCount: parameterByteCount)
    let error = try converse(on: descriptor, second: second, for: attempt)
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
    _ request: ModelWire.Request, on descriptor: Int32, argument: UInt64, for attempt: SEVError.Attempt
  ) throws(SEVError) -> Int32 {
    let argumentByteCount = request.argumentByteCount
    var flags: UInt32 = 0
    var place = ParameterPlace(pins: request == .registerRegion)
    var second: Int32 = -1
    // SAFETY: the record has room for both structs at their places.
    if unsafe sev_copy_in(
      argument, record + ModelWire.RequestField.argumentBytes, argumentByteCount) == 0
    {
      flags |= ModelWire.RequestField.argumentReadable
      switch request {
      case .memoryEncryptOperation: place = commandParameters()
      case .firmwareCommand: place = deviceParameters()
      case .enableCapability: second = namedMachine()
      case .registerRegion, .unregisterRegion, .getSharedPages, .setSharedPages: break
      }
      if request == .memoryEncryptOperation || request == .firmwareCommand,
        sev_fault_in(argument, UInt64(argumentByteCount), 1) == 0
      {
        flags |= ModelWire.RequestField.argumentWritable
      }
    }
    if place.byteCount > 0 {
      if unsafe sev_copy_in(
        place.address, record + ModelWire.RequestField.parameterBytes, place.byteCount) == 0
      {
        flags |= ModelWire.RequestField.parametersReadable
      }
      if sev_fault_in(place.address, UInt64(place.byteCount), 1) == 0 {
        flags |= ModelWire.RequestField.parametersWritable
      }
    }
    prepare(request, argument: argument, place, flags: flags)
    var error = try converse(on: descriptor, second: second, for: attempt)
    let written = uint32(at: ModelWire.Finished.flags)
    var isUndeliverable = false
    if written & ModelWire.Finished.hasParameters != 0 {
      isUndeliverable =
        unsafe sev_copy_out(
          place.address, record + ModelWire.Finished.parameterBytes, place.byteCount) != 0
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

  // MARK: What the ioctl's own struct points at, read from the record

  private func commandParameters() -> ParameterPlace {
    let bytes = ModelWire.RequestField.argumentBytes
    guard let id = SEVCommandID(rawValue: uint32(at: bytes)) else { return ParameterPlace() }
    return ParameterPlace(
      address: uint64(at: bytes + 8), byteCount: id.parameterByteCount, pins: id.pinsMemory)
  }

  private func deviceParameters() -> ParameterPlace {
    let bytes = ModelWire.RequestField.argumentBytes
    guard let command = DeviceCommandID(rawValue: uint32(at: bytes)) else { return ParameterPlace() }
    // SAFETY: the record has room for the whole struct, which is packed.
    let address = unsafe record.loadUnaligned(fromByteOffset: bytes + 4, as: UInt64.self)
    return ParameterPlace(address: address, byteCount: command.parameterByteCount)
  }

  /// The number of the source of a move or a mirror, or -1.
  private func namedMachine() -> Int32 {
    let bytes = ModelWire.RequestField.argumentBytes
    let number = Int32(truncatingIfNeeded: uint64(at: bytes + 8))
    switch KernelCapability(rawValue: uint32(at: bytes)) {
    case .moveEncryptionContext, .copyEncryptionContext: return fcntl(number, F_GETFD) >= 0 ? number : -1
    case .userSpaceMSR, .exitHypercall, .machineTypes, nil: return -1
    }
  }

  // MARK: Records

  /// Overwrites the places in the record where a token may have been.
  private func wipeSecrets() {
    unsafe clinux_wipe(record, max(ModelWire.RequestField.byteCount, ModelWire.Finished.byteCount))
  }

  private func prepare(
    _ request: ModelWire.Request, argument: UInt64, _ place: ParameterPlace, flags: UInt32
  ) {
    start(request.kind, byteCount: ModelWire.RequestField.byteCount)
    store(sev_address_space(), at: ModelWire.RequestField.addressSpace)
    store(argument, at: ModelWire.RequestField.argument)
    store(place.pins ? sev_lockable_pages() : 0, at: ModelWire.RequestField.lockablePages)
    store(flags, at: ModelWire.RequestField.flags)
    store(UInt32(place.byteCount), at: ModelWire.RequestField.parameterByteCount)
    store(place.address, at: ModelWire.RequestField.parameterAddress)
    store(UInt64(0), at: ModelWire.RequestField.attachedNumber)
  }

  /// Sends the prepared request with its descriptors and answers questions until it is finished.
  private func converse(
    on descriptor: Int32, second: Int32, for attempt: SEVError.Attempt
  ) throws(SEVError) -> Int32 {
    if second >= 0 {
      store(
        uint32(at: ModelWire.RequestField.flags) | ModelWire.RequestField.hasAttached,
        at: ModelWire.RequestField.flags)
      store(UInt32(bitPattern: second), at: ModelWire.RequestField.attachedNumber)
    }
    try send(
      byteCount: ModelWire.RequestField.byteCount, descriptor: descriptor, second: second, for: attempt)
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
      case .finished, .question, .made, .result, .makeMachine, .openFirmware, .memoryEncryptOperation,
        .registerRegion, .unregisterRegion, .answer, .undeliverable, .enableCapability, .getSharedPages,
        .setSharedPages, .firmwareCommand, .makeVCPU, .call:
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
      succeeded = count > 0 && sev_fault_in(address, count, 0) == 0
    case .pinForWriting:
      succeeded = count > 0 && sev_fault_in(address, count, 1) == 0
    case .findFirmware, .findMachine:
      succeeded = fcntl(descriptor, F_GETFD) >= 0
      if succeeded { attached = descriptor }
    case .identifyPages:
      // SAFETY: the record has room for that many pairs behind the header, which is aligned for them.
      let pages = unsafe sev_page_identity(
        address, count, sev_address_space(),
        (record + ModelWire.Answer.bytes).assumingMemoryBound(to: UInt64.self),
        Int32(ModelWire.maximumIdentifiedPages))
      succeeded = pages > 0
      if succeeded { length += Int(pages) * ModelWire.PageField.byteCount }
    case .read, .write, nil:
      throw SEVError(attempt, code: EPROTO, isOutcomeUnknown: true)
    }
    start(.answer, byteCount: length)
    store(succeeded ? UInt64(1) : 0, at: ModelWire.Answer.succeeded)
    try send(byteCount: length, descriptor: attached, for: attempt)
  }
}
