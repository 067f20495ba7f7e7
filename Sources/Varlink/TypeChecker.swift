/// Compares a JSON text with declared types, without building values.
struct TypeChecker {
  /// What does not fit.
  enum Mismatch: Error, Equatable {
    /// A field that is not declared, has the wrong type, or is absent though it is not nullable.
    case field(String)
    /// The text itself is faulty.
    case fault(JSONFault)
  }

  let interface: InterfaceDescription
  /// Whether fields that the interface does not declare are passed over instead of refused.
  let allowsUndeclaredFields: Bool

  /// Checks an object against fields.
  ///
  /// - Parameter path: Name of what is checked, for the report; empty at the top.
  func check(
    _ reader: inout JSONReader, against fields: [InterfaceDescription.Field], path: String, depth: Int
  ) throws(Mismatch) {
    var seen: Set<String> = []
    try reader.readObject(
      depth: depth,
      member: { reader, name throws(Mismatch) in
        let memberPath = path.isEmpty ? name : "\(path).\(name)"
        guard seen.insert(name).inserted else { throw .field(memberPath) }
        guard let field = fields.first(where: { $0.name == name }) else {
          guard allowsUndeclaredFields else { throw .field(memberPath) }
          try skip(&reader, depth: depth + 1)
          return
        }
        try check(&reader, against: field.type, path: memberPath, depth: depth + 1)
      }, convert: Mismatch.fault)
    for field in fields where !seen.contains(field.name) {
      guard case .nullable = field.type else {
        throw .field(path.isEmpty ? field.name : "\(path).\(field.name)")
      }
    }
  }

  private func check(
    _ reader: inout JSONReader, against type: InterfaceDescription.ValueType, path: String, depth: Int
  ) throws(Mismatch) {
    let kind = try peek(&reader)
    switch type {
    case .nullable(let wrapped):
      if kind == .null {
        try skip(&reader, depth: depth)
      } else {
        try check(&reader, against: wrapped, path: path, depth: depth)
      }
    case .named(let name):
      guard let alias = interface.types[name] else { throw .field(path) }
      try check(&reader, against: alias.type, path: path, depth: depth)
    case .boolean: try skip(&reader, kind == .boolean, path, depth)
    case .float: try skip(&reader, kind == .number, path, depth)
    case .string: try skip(&reader, kind == .string, path, depth)
    case .object: try skip(&reader, kind == .object, path, depth)
    case .any: try skip(&reader, kind != .null, path, depth)
    case .integer:
      guard kind == .number, try number(&reader) == .integer else { throw .field(path) }
    case .enumeration(let cases):
      guard kind == .string else { throw .field(path) }
      let value = try string(&reader)
      guard cases.contains(where: { $0.name == value }) else { throw .field(path) }
    case .structure(let fields):
      guard kind == .object else { throw .field(path) }
      try check(&reader, against: fields, path: path, depth: depth)
    case .array(let element):
      guard kind == .array else { throw .field(path) }
      try reader.readArray(
        depth: depth,
        element: { reader throws(Mismatch) in
          try check(&reader, against: element, path: path, depth: depth + 1)
        }, convert: Mismatch.fault)
    case .map(let value):
      guard kind == .object else { throw .field(path) }
      try reader.readObject(
        depth: depth,
        member: { reader, _ throws(Mismatch) in
          try check(&reader, against: value, path: path, depth: depth + 1)
        }, convert: Mismatch.fault)
    }
  }

  private func skip(
    _ reader: inout JSONReader, _ fits: Bool, _ path: String, _ depth: Int
  ) throws(Mismatch) {
    guard fits else { throw .field(path) }
    try skip(&reader, depth: depth)
  }

  private func skip(_ reader: inout JSONReader, depth: Int) throws(Mismatch) {
    do throws(JSONFault) { try reader.skipValue(depth: depth) } catch { throw .fault(error) }
  }

  private func peek(_ reader: inout JSONReader) throws(Mismatch) -> JSONReader.Kind {
    do throws(JSONFault) { return try reader.peekKind() } catch { throw .fault(error) }
  }

  private func number(_ reader: inout JSONReader) throws(Mismatch) -> JSONReader.Number {
    do throws(JSONFault) { return try reader.readNumber() } catch { throw .fault(error) }
  }

  private func string(_ reader: inout JSONReader) throws(Mismatch) -> String {
    do throws(JSONFault) { return try reader.readString() } catch { throw .fault(error) }
  }
}
