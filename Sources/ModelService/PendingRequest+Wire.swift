import LinuxOS
import SEVABI
import SEVDevice
import SEVModel

extension PendingRequest {
  /// What a request record says, without its descriptors.
  struct Fields {
    let caller: Caller
    let argument: Window
    let parameters: Window
    /// The number that the second attached descriptor has in the caller, if there is one.
    let attachedNumber: Int32?
  }

  /// Reads the fields of a request record, whose header was checked; nothing if one makes no sense.
  static func decode(_ kind: ModelWire.Request, from record: Span<UInt8>) -> Fields? {
    typealias Field = ModelWire.RequestField
    guard record.count == Field.byteCount else { return nil }
    let parameterByteCount = Int(record.uint32(at: Field.parameterByteCount))
    let flags = record.uint32(at: Field.flags)
    guard parameterByteCount <= ModelWire.parameterCapacity, flags & ~Field.knownFlags == 0 else {
      return nil
    }
    let lockable = record.uint64(at: Field.lockablePages)
    let argumentByteCount = kind.argumentByteCount
    return Fields(
      caller: Caller(
        addressSpace: AddressSpaceID(rawValue: record.uint64(at: Field.addressSpace)),
        lockablePages: lockable == .max ? nil : lockable),
      argument: Window(
        address: record.uint64(at: Field.argument), count: argumentByteCount,
        bytes: flags & Field.argumentReadable == 0
          ? nil : bytes(of: record, at: Field.argumentBytes, count: argumentByteCount),
        isWritable: flags & Field.argumentWritable != 0),
      parameters: Window(
        address: record.uint64(at: Field.parameterAddress), count: parameterByteCount,
        bytes: flags & Field.parametersReadable == 0
          ? nil : bytes(of: record, at: Field.parameterBytes, count: parameterByteCount),
        isWritable: flags & Field.parametersWritable != 0),
      attachedNumber: flags & Field.hasAttached == 0
        ? nil : Int32(bitPattern: record.uint32(at: Field.attachedNumber)))
  }

  private static func bytes(of record: Span<UInt8>, at offset: Int, count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    for index in offset..<(offset + count) { bytes.append(record[index]) }
    return bytes
  }

  /// The record that ends the request.
  static func finished(
    error: Int32, argument: [UInt8]? = nil, parameters: [UInt8]? = nil
  ) -> [UInt8] {
    var record = [UInt8](repeating: 0, count: ModelWire.Finished.byteCount)
    var flags: UInt32 = 0
    var span = record.mutableSpan
    if let argument {
      flags |= ModelWire.Finished.hasArgument
      for (index, byte) in argument.enumerated() { span[ModelWire.Finished.argumentBytes + index] = byte }
    }
    if let parameters {
      flags |= ModelWire.Finished.hasParameters
      for (index, byte) in parameters.enumerated() { span[ModelWire.Finished.parameterBytes + index] = byte }
    }
    ModelWire.storeHeader(.finished, byteCount: ModelWire.Finished.byteCount, into: &span)
    span.store(UInt32(bitPattern: error), at: ModelWire.Finished.error)
    span.store(flags, at: ModelWire.Finished.flags)
    return record
  }

  /// The record that asks the caller for what `step` needs, or nothing if it needs nothing of the caller.
  static func question(for step: Step) -> [UInt8]? {
    switch step {
    case .finished, .resume, .lock: nil
    case .read(let address, let count, then: _):
      question(.read, address: address, count: UInt64(count))
    case .write(let address, let bytes, then: _):
      question(.write, address: address, count: UInt64(bytes.count), bytes: bytes)
    case .pin(let address, let count, let forWriting, then: _):
      question(forWriting ? .pinForWriting : .pinForReading, address: address, count: count)
    case .findFirmware(let descriptor, then: _):
      question(.findFirmware, descriptor: descriptor)
    case .findMachine(let descriptor, then: _):
      question(.findMachine, descriptor: descriptor)
    case .identifyPages(let address, let count, then: _):
      question(.identifyPages, address: address, count: count)
    }
  }

  private static func question(
    _ question: ModelWire.Question, address: UInt64 = 0, count: UInt64 = 0, descriptor: Int32 = 0,
    bytes: [UInt8] = []
  ) -> [UInt8] {
    var record = [UInt8](repeating: 0, count: ModelWire.Ask.bytes)
    record.append(contentsOf: bytes)
    let byteCount = record.count
    var span = record.mutableSpan
    ModelWire.storeHeader(.question, byteCount: byteCount, into: &span)
    span.store(question.rawValue, at: ModelWire.Ask.question)
    span.store(UInt32(bitPattern: descriptor), at: ModelWire.Ask.descriptor)
    span.store(address, at: ModelWire.Ask.address)
    span.store(count, at: ModelWire.Ask.count)
    return record
  }
}
