import LinuxOS
import SEVABI
import SEVDevice
import SEVModel

extension PendingRequest {
  /// Reads the windows of a request record, whose header was checked; nothing if a field makes no sense.
  static func decode(
    _ kind: Kind, from record: Span<UInt8>
  ) -> (caller: Caller, argument: Window, parameters: Window)? {
    typealias Field = ModelWire.Request
    guard record.count == Field.byteCount else { return nil }
    let parameterByteCount = Int(record.uint32(at: Field.parameterByteCount))
    guard parameterByteCount <= SEVCommandID.maximumParameterByteCount else { return nil }
    let argumentByteCount =
      switch kind {
      case .memoryEncryptOperation: SEVCommandBlock.byteCount
      case .registerRegion, .unregisterRegion: EncryptedRegion.byteCount
      }
    let flags = record.uint32(at: Field.flags)
    let lockable = record.uint64(at: Field.lockablePages)
    let caller = Caller(
      addressSpace: AddressSpaceID(rawValue: record.uint64(at: Field.addressSpace)),
      lockablePages: lockable == .max ? nil : lockable)
    let argument = Window(
      address: record.uint64(at: Field.argument), count: argumentByteCount,
      bytes: flags & Field.argumentReadable == 0
        ? nil : bytes(of: record, at: Field.argumentBytes, count: argumentByteCount),
      isWritable: flags & Field.argumentWritable != 0)
    let parameters = Window(
      address: record.uint64(at: Field.parameterAddress), count: parameterByteCount,
      bytes: flags & Field.parametersReadable == 0
        ? nil : bytes(of: record, at: Field.parameterBytes, count: parameterByteCount),
      isWritable: flags & Field.parametersWritable != 0)
    return (caller, argument, parameters)
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
    if let argument {
      flags |= ModelWire.Finished.hasArgument
      record.replaceSubrange(
        ModelWire.Finished.argumentBytes..<(ModelWire.Finished.argumentBytes + argument.count), with: argument
      )
    }
    if let parameters {
      flags |= ModelWire.Finished.hasParameters
      record.replaceSubrange(
        ModelWire.Finished.parameterBytes..<(ModelWire.Finished.parameterBytes + parameters.count),
        with: parameters)
    }
    var span = record.mutableSpan
    ModelWire.storeHeader(.finished, byteCount: ModelWire.Finished.byteCount, into: &span)
    span.store(UInt32(bitPattern: error), at: ModelWire.Finished.error)
    span.store(flags, at: ModelWire.Finished.flags)
    return record
  }

  /// The record that asks the caller for what `step` needs, or nothing if it needs nothing.
  static func question(for step: Step) -> [UInt8]? {
    switch step {
    case .finished, .resume: nil
    case .read(let address, let count, then: _):
      question(.read, address: address, count: UInt64(count))
    case .write(let address, let bytes, then: _):
      question(.write, address: address, count: UInt64(bytes.count), bytes: bytes)
    case .pin(let address, let count, let forWriting, then: _):
      question(forWriting ? .pinForWriting : .pinForReading, address: address, count: count)
    case .findFirmware(let descriptor, then: _):
      question(.findFirmware, descriptor: descriptor)
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
