/// What is wrong with a JSON text, and where.
public struct JSONFault: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kinds of fault.
  public enum Reason: String, Hashable, Sendable, CaseIterable {
    /// The bytes are not UTF-8.
    case notUTF8
    /// The text ends inside a value.
    case unexpectedEnd
    /// A character stands where no such character may stand.
    case unexpectedCharacter
    /// Something follows the value.
    case trailingCharacters
    /// A string has a bad escape, a lone surrogate or a raw control character.
    case badString
    /// A number is not one.
    case badNumber
    /// Objects and arrays are nested too deep.
    case tooDeep
    /// An object names a member twice.
    case repeatedMember
    /// The text is a value of another kind than an object.
    case notAnObject
  }

  /// What is wrong.
  public let reason: Reason
  /// Offset of the first offending byte.
  public let offset: Int

  /// A fault at a byte offset.
  public init(_ reason: Reason, at offset: Int) {
    self.reason = reason
    self.offset = offset
  }

  /// One clause, without a full stop.
  public var description: String {
    let clause =
      switch reason {
      case .notUTF8: "not UTF-8"
      case .unexpectedEnd: "unexpected end"
      case .unexpectedCharacter: "unexpected character"
      case .trailingCharacters: "characters after the value"
      case .badString: "bad string"
      case .badNumber: "bad number"
      case .tooDeep: "nested too deep"
      case .repeatedMember: "member named twice"
      case .notAnObject: "not an object"
      }
    return "\(clause) at byte \(offset)"
  }
}
