/// Why bytes are no valid record or payload.
public enum WireError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The record or payload ends before `field`.
  case truncated(field: String)
  /// Bytes follow the last field of a payload.
  case trailingBytes(Int)
  case badMagic(UInt32)
  case unknownType(UInt16)
  /// The record's version is not the one the peers agreed on.
  case wrongVersion(UInt16)
  /// The header announces another number of bytes than came.
  case wrongLength(announced: Int, received: Int)
  /// The header announces another number of descriptors than came.
  case wrongDescriptorCount(announced: Int, received: Int)
  case payloadTooLong(Int)
  case tooManyDescriptors(Int)
  /// A continuation that does not belong to the record before it.
  case brokenContinuation
  /// A field has a value that it may not have.
  case badValue(field: String)

  public var description: String {
    switch self {
    case .truncated(let field): "the record ends before \(field)"
    case .trailingBytes(let count): "\(count) bytes follow the last field"
    case .badMagic(let magic): "the record starts with 0x\(String(magic, radix: 16)), not with BATN"
    case .unknownType(let type): "record type \(type) is unknown"
    case .wrongVersion(let version): "record version \(version) is not the agreed one"
    case .wrongLength(let announced, let received):
      "the header announces \(announced) payload bytes, \(received) came"
    case .wrongDescriptorCount(let announced, let received):
      "\(announced) descriptors were announced, \(received) came"
    case .payloadTooLong(let count): "\(count) payload bytes are more than the limit"
    case .tooManyDescriptors(let count): "\(count) descriptors are more than the limit"
    case .brokenContinuation: "a continuation does not belong to the record before it"
    case .badValue(let field): "\(field) has a value that it may not have"
    }
  }
}
