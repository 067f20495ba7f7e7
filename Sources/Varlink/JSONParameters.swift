import FoundationEssentials

/// The parameters of a call or reply: one JSON object, already checked for syntax and depth.
public struct JSONParameters: Hashable, Sendable {
  /// The object's text.
  public let bytes: [UInt8]

  /// The empty object, which is what absent and `null` parameters mean too.
  public static let empty = JSONParameters(checked: Array("{}".utf8))

  init(checked bytes: [UInt8]) {
    self.bytes = bytes
  }

  /// Writes a value as parameters.
  ///
  /// - Throws: `EncodingError` if the value is not an object or has a number that JSON lacks.
  public init(encoding value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    bytes = Array(try encoder.encode(value))
    guard bytes.first == UInt8(ascii: "{") else {
      throw EncodingError.invalidValue(
        value, .init(codingPath: [], debugDescription: "parameters are an object"))
    }
  }

  /// Reads the parameters as a value. Integers are exact over 64 bits; unknown members are passed over.
  ///
  /// - Throws: ``ServiceError/invalidParameter(parameter:)`` with the path of the member that does not fit.
  public func decode<Value: Decodable>(_ type: Value.Type) throws(ServiceError) -> Value {
    do {
      return try JSONDecoder().decode(type, from: Data(bytes))
    } catch {
      let path = Self.path(of: error)
      throw .invalidParameter(parameter: path.isEmpty ? unusualInteger ?? "parameters" : path)
    }
  }

  /// The first member that is an integer below 0 or above 2^63 - 1. The decoder does not say which member holds
  /// an integer that its type cannot, so this is the best name to give.
  private var unusualInteger: String? {
    var found: String?
    do throws(JSONFault) {
      var reader = try JSONReader(bytes, maximumDepth: ConnectionLimits().nestingDepth)
      try reader.readObject(
        depth: 0,
        member: { reader, name throws(JSONFault) in
          guard try reader.peekKind() == .number else { return try reader.skipValue(depth: 1) }
          let start = reader.position
          guard try reader.readNumber() == .integer else { return }
          let text = String(decoding: reader.bytes[start..<reader.position], as: UTF8.self)
          if (Int64(text) ?? -1) < 0 { found = found ?? name }
        }, convert: { $0 })
    } catch {
      return nil
    }
    return found
  }

  private static func path(of error: any Error) -> String {
    guard let error = error as? DecodingError else { return "" }
    switch error {
    case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
      return join(context.codingPath)
    case .keyNotFound(let key, let context):
      return join(context.codingPath + [key])
    @unknown default:
      return ""
    }
  }

  private static func join(_ path: [any CodingKey]) -> String {
    path.map(\.stringValue).joined(separator: ".")
  }
}
