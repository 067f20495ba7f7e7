/// The outer object of a message, split into its members.
struct Envelope {
  /// Which messages these members belong to.
  enum Direction {
    case call
    case reply
  }

  private(set) var method: String?
  private(set) var error: String?
  private(set) var parameters = JSONParameters.empty
  private(set) var flags: Set<String> = []

  /// Checks a whole message and takes it apart.
  ///
  /// Members with a reverse-domain name are a vendor's and are passed over.
  init(
    _ message: [UInt8], direction: Direction, maximumDepth: Int
  ) throws(ProtocolViolation) {
    var reader: JSONReader
    let kind: JSONReader.Kind
    do throws(JSONFault) {
      reader = try JSONReader(message, maximumDepth: maximumDepth)
      kind = try reader.peekKind()
      if kind != .object { throw JSONFault(.notAnObject, at: reader.position) }
    } catch { throw .malformed(error) }
    var seen: Set<String> = []
    var result = EnvelopeMembers()
    try reader.readObject(
      depth: 0,
      member: { reader, name throws(ProtocolViolation) in
        guard seen.insert(name).inserted else {
          throw .malformed(JSONFault(.repeatedMember, at: reader.position))
        }
        try result.read(name, from: &reader, direction)
      }, convert: ProtocolViolation.malformed)
    do throws(JSONFault) { try reader.finish() } catch { throw .malformed(error) }
    method = result.method
    error = result.error
    parameters = result.parameters
    flags = result.flags
  }
}

/// The members read so far.
private struct EnvelopeMembers {
  var method: String?
  var error: String?
  var parameters = JSONParameters.empty
  var flags: Set<String> = []

  mutating func read(
    _ name: String, from reader: inout JSONReader, _ direction: Envelope.Direction
  ) throws(ProtocolViolation) {
    do throws(JSONFault) {
      let kind = try reader.peekKind()
      switch (direction, name) {
      case (_, "parameters"):
        switch kind {
        case .null: try reader.readNull()
        case .object:
          let start = reader.position
          try reader.skipValue(depth: 1)
          parameters = JSONParameters(checked: Array(reader.bytes[start..<reader.position]))
        case .array, .string, .number, .boolean: throw JSONFault(.notAnObject, at: reader.position)
        }
      case (.call, "method"):
        method = kind == .null ? nil : try reader.readString()
        if kind == .null { try reader.readNull() }
      case (.reply, "error"):
        error = kind == .null ? nil : try reader.readString()
        if kind == .null { try reader.readNull() }
      case (.call, "oneway"), (.call, "more"), (.call, "upgrade"), (.reply, "continues"):
        if kind == .null {
          try reader.readNull()
        } else if try reader.readBoolean() {
          flags.insert(name)
        }
      case (.call, _), (.reply, _):
        try reader.skipValue(depth: 1)
      }
    } catch {
      switch (error.reason, name) {
      case (.unexpectedCharacter, "method"), (.unexpectedCharacter, "error"),
        (.unexpectedCharacter, "oneway"), (.unexpectedCharacter, "more"),
        (.unexpectedCharacter, "upgrade"), (.unexpectedCharacter, "continues"), (.notAnObject, _):
        throw .wrongMemberType(member: name)
      case (_, _): throw .malformed(error)
      }
    }
    let known =
      switch direction {
      case .call: ["method", "parameters", "oneway", "more", "upgrade"]
      case .reply: ["parameters", "continues", "error"]
      }
    guard known.contains(name) || InterfaceName.isInterface(name) else { throw .unknownMember(name) }
  }
}
