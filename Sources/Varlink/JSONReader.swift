/// Walks through a JSON text (RFC 8259) without building values.
///
/// Every message passes here before a decoder sees it, so that depth and syntax are settled by code whose
/// stack and memory are bounded.
struct JSONReader {
  /// The kind of value that stands next.
  enum Kind {
    case object
    case array
    case string
    case number
    case boolean
    case null
  }

  /// A number, as far as its text tells.
  enum Number: Equatable {
    /// Within -2^63 to 2^64 - 1, without fraction or exponent.
    case integer
    /// Anything else that is a JSON number.
    case other
  }

  let bytes: [UInt8]
  let maximumDepth: Int
  private(set) var position = 0

  init(_ bytes: [UInt8], maximumDepth: Int) throws(JSONFault) {
    self.bytes = bytes
    self.maximumDepth = maximumDepth
    do {
      _ = try UTF8Span(validating: bytes.span)
    } catch let error {
      throw JSONFault(.notUTF8, at: error.byteOffsets.lowerBound)
    }
  }

  /// The kind of the next value; skips white space before it.
  mutating func peekKind() throws(JSONFault) -> Kind {
    skipWhiteSpace()
    guard position < bytes.count else { throw fault(.unexpectedEnd) }
    switch bytes[position] {
    case UInt8(ascii: "{"): return .object
    case UInt8(ascii: "["): return .array
    case UInt8(ascii: "\""): return .string
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
    case UInt8(ascii: "t"), UInt8(ascii: "f"): return .boolean
    case UInt8(ascii: "n"): return .null
    case _: throw fault(.unexpectedCharacter)
    }
  }

  /// Fails if anything but white space is left.
  mutating func finish() throws(JSONFault) {
    skipWhiteSpace()
    if position < bytes.count { throw fault(.trailingCharacters) }
  }

  /// Walks an object. `member` gets each name and must consume the value.
  ///
  /// - Parameter depth: How many objects and arrays enclose this one.
  mutating func readObject<Failure: Error>(
    depth: Int, member: (inout JSONReader, String) throws(Failure) -> Void,
    convert: (JSONFault) -> Failure
  ) throws(Failure) {
    do throws(JSONFault) { try open(UInt8(ascii: "{"), depth: depth) } catch { throw convert(error) }
    if close(UInt8(ascii: "}")) { return }
    while true {
      let name: String
      do throws(JSONFault) {
        name = try readString()
        try expect(UInt8(ascii: ":"))
      } catch { throw convert(error) }
      try member(&self, name)
      if close(UInt8(ascii: ",")) { continue }
      do throws(JSONFault) { try expect(UInt8(ascii: "}")) } catch { throw convert(error) }
      return
    }
  }

  /// Walks an array. `element` must consume one value for each call.
  mutating func readArray<Failure: Error>(
    depth: Int, element: (inout JSONReader) throws(Failure) -> Void, convert: (JSONFault) -> Failure
  ) throws(Failure) {
    do throws(JSONFault) { try open(UInt8(ascii: "["), depth: depth) } catch { throw convert(error) }
    if close(UInt8(ascii: "]")) { return }
    while true {
      try element(&self)
      if close(UInt8(ascii: ",")) { continue }
      do throws(JSONFault) { try expect(UInt8(ascii: "]")) } catch { throw convert(error) }
      return
    }
  }

  /// Passes over one value of any kind.
  mutating func skipValue(depth: Int) throws(JSONFault) {
    switch try peekKind() {
    case .object:
      try readObject(
        depth: depth,
        member: { reader, _ throws(JSONFault) in try reader.skipValue(depth: depth + 1) },
        convert: { $0 })
    case .array:
      try readArray(
        depth: depth,
        element: { reader throws(JSONFault) in try reader.skipValue(depth: depth + 1) },
        convert: { $0 })
    case .string: try skipString()
    case .number: _ = try readNumber()
    case .boolean: _ = try readBoolean()
    case .null: try readNull()
    }
  }

  /// Reads `true` or `false`.
  mutating func readBoolean() throws(JSONFault) -> Bool {
    skipWhiteSpace()
    if position < bytes.count, bytes[position] == UInt8(ascii: "t") {
      try literal("true")
      return true
    }
    try literal("false")
    return false
  }

  /// Reads `null`.
  mutating func readNull() throws(JSONFault) {
    skipWhiteSpace()
    try literal("null")
  }

  /// Reads a string and resolves its escapes.
  mutating func readString() throws(JSONFault) -> String {
    skipWhiteSpace()
    let start = position + 1
    let escaped = try skipString()
    let end = position - 1
    guard escaped else { return String(decoding: bytes[start..<end], as: UTF8.self) }
    return try JSONStringEscapes.resolve(bytes, start..<end)
  }

  /// Reads a number and tells whether it is an integer of 64 bits.
  mutating func readNumber() throws(JSONFault) -> Number {
    skipWhiteSpace()
    let start = position
    _ = accept(UInt8(ascii: "-"))
    if !accept(UInt8(ascii: "0")) {
      guard skipDigits() else { throw fault(.badNumber) }
    }
    let integerEnd = position
    if accept(UInt8(ascii: ".")) {
      guard skipDigits() else { throw fault(.badNumber) }
    }
    if accept(UInt8(ascii: "e")) || accept(UInt8(ascii: "E")) {
      if !accept(UInt8(ascii: "+")) { _ = accept(UInt8(ascii: "-")) }
      guard skipDigits() else { throw fault(.badNumber) }
    }
    if position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) {
      throw fault(.badNumber)
    }
    guard integerEnd == position, position - start <= 20 else { return .other }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    return Int64(text) != nil || UInt64(text) != nil ? .integer : .other
  }

  private func fault(_ reason: JSONFault.Reason) -> JSONFault {
    JSONFault(position < bytes.count ? reason : .unexpectedEnd, at: position)
  }

  private mutating func skipWhiteSpace() {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0A, 0x0D: position += 1
      case _: return
      }
    }
  }

  private mutating func accept(_ byte: UInt8) -> Bool {
    guard position < bytes.count, bytes[position] == byte else { return false }
    position += 1
    return true
  }

  private mutating func close(_ byte: UInt8) -> Bool {
    skipWhiteSpace()
    return accept(byte)
  }

  private mutating func expect(_ byte: UInt8) throws(JSONFault) {
    skipWhiteSpace()
    if !accept(byte) { throw fault(.unexpectedCharacter) }
  }

  private mutating func open(_ byte: UInt8, depth: Int) throws(JSONFault) {
    skipWhiteSpace()
    if depth >= maximumDepth { throw fault(.tooDeep) }
    try expect(byte)
  }

  private mutating func literal(_ text: StaticString) throws(JSONFault) {
    for byte in text.description.utf8 where !accept(byte) { throw fault(.unexpectedCharacter) }
  }

  private mutating func skipDigits() -> Bool {
    let start = position
    while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) {
      position += 1
    }
    return position > start
  }

  /// Passes over a string; tells whether it has escapes. Escapes are checked for their form here, and
  /// `\u` pairs by a look at the whole when they are resolved.
  @discardableResult
  private mutating func skipString() throws(JSONFault) -> Bool {
    let start = position
    guard accept(UInt8(ascii: "\"")) else { throw fault(.unexpectedCharacter) }
    var escaped = false
    while position < bytes.count {
      switch bytes[position] {
      case UInt8(ascii: "\""):
        position += 1
        if escaped { _ = try JSONStringEscapes.resolve(bytes, (start + 1)..<(position - 1)) }
        return escaped
      case UInt8(ascii: "\\"):
        escaped = true
        position += 2
      case 0..<0x20: throw fault(.badString)
      case _: position += 1
      }
    }
    position = min(position, bytes.count)
    throw fault(.unexpectedEnd)
  }
}
