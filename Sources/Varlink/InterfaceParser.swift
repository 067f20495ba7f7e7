/// Reads a description text by recursive descent.
struct InterfaceParser {
  typealias Description = InterfaceDescription
  typealias Parsed = (
    name: String, documentation: [String], types: [String: Description.TypeAlias],
    methods: [String: Description.Method], errors: [String: Description.ErrorDeclaration]
  )

  /// Types may nest this deep; real interfaces need three levels.
  private static let maximumDepth = 16

  private var lexer: InterfaceLexer
  private var token = InterfaceLexer.Token.end
  private var comment: [String] = []
  private var line = 1
  /// Names of types that were used, with the line of the first use.
  private var uses: [String: Int] = [:]

  init(_ text: String) {
    lexer = InterfaceLexer(text)
  }

  mutating func parse() throws(InterfaceSyntaxError) -> Parsed {
    try advance()
    let documentation = comment
    try expectWord("interface")
    let name = try takeWord("name of the interface")
    guard InterfaceName.isInterface(name) else { throw problem("'\(name)' is not an interface name") }
    var parsed: Parsed = (name, documentation, [:], [:], [:])
    while token != .end {
      try parseMember(into: &parsed)
    }
    for (use, line) in uses.sorted(by: { $0.value < $1.value }) where parsed.types[use] == nil {
      throw InterfaceSyntaxError(line: line, problem: "type '\(use)' is not declared")
    }
    return parsed
  }

  private mutating func parseMember(into parsed: inout Parsed) throws(InterfaceSyntaxError) {
    let documentation = comment
    let keyword = try takeWord("'type', 'method' or 'error'")
    let name = try takeWord("name of the \(keyword)")
    guard InterfaceName.isMember(name) else { throw problem("'\(name)' is not a member name") }
    guard parsed.types[name] == nil, parsed.methods[name] == nil, parsed.errors[name] == nil else {
      throw problem("'\(name)' is declared twice")
    }
    switch keyword {
    case "type":
      let type = try parseParentheses(depth: 0)
      parsed.types[name] = .init(name: name, type: type, documentation: documentation)
    case "method":
      let input = try parseStructure()
      guard token == .arrow else { throw problem("expected '->'") }
      try advance()
      let output = try parseStructure()
      parsed.methods[name] = .init(name: name, input: input, output: output, documentation: documentation)
    case "error":
      let parameters = try parseStructure()
      parsed.errors[name] = .init(name: name, parameters: parameters, documentation: documentation)
    case _:
      throw problem("'\(keyword)' is not 'type', 'method' or 'error'")
    }
  }

  private mutating func parseStructure() throws(InterfaceSyntaxError) -> [Description.Field] {
    switch try parseParentheses(depth: 0) {
    case .structure(let fields): return fields
    case .enumeration, .boolean, .integer, .float, .string, .object, .any, .nullable, .array, .map, .named:
      throw problem("expected fields with types")
    }
  }

  private mutating func parseType(depth: Int) throws(InterfaceSyntaxError) -> Description.ValueType {
    guard depth < Self.maximumDepth else { throw problem("types are nested too deep") }
    switch token {
    case .punctuation("?"):
      try advance()
      if token == .punctuation("?") { throw problem("'?' twice") }
      return .nullable(try parseType(depth: depth + 1))
    case .punctuation("["):
      try advance()
      if token == .punctuation("]") {
        try advance()
        return .array(try parseType(depth: depth + 1))
      }
      try expectWord("string")
      try expect("]")
      return .map(try parseType(depth: depth + 1))
    case .punctuation("("):
      return try parseParentheses(depth: depth)
    case .word(let word):
      let useLine = line
      try advance()
      return try namedType(word, line: useLine)
    case .punctuation, .arrow, .end:
      throw problem("expected a type")
    }
  }

  private mutating func namedType(
    _ word: String, line useLine: Int
  ) throws(InterfaceSyntaxError) -> Description.ValueType {
    switch word {
    case "bool": return .boolean
    case "int": return .integer
    case "float": return .float
    case "string": return .string
    case "object": return .object
    case "any": return .any
    case _:
      guard InterfaceName.isMember(word) else {
        throw InterfaceSyntaxError(line: useLine, problem: "'\(word)' is not a type")
      }
      uses[word] = min(useLine, uses[word] ?? useLine)
      return .named(word)
    }
  }

  /// Reads `(…)`: a structure if a colon follows the first name, else an enumeration.
  private mutating func parseParentheses(
    depth: Int
  ) throws(InterfaceSyntaxError) -> Description.ValueType {
    try expect("(")
    if token == .punctuation(")") {
      try advance()
      return .structure([])
    }
    var fields: [Description.Field] = []
    var cases: [Description.EnumerationCase] = []
    var names: Set<String> = []
    while true {
      let documentation = comment
      let name = try takeWord("name of a field")
      guard InterfaceName.isField(name) else { throw problem("'\(name)' is not a field name") }
      guard names.insert(name).inserted else { throw problem("'\(name)' is declared twice") }
      if token == .punctuation(":") {
        try advance()
        let type = try parseType(depth: depth + 1)
        fields.append(.init(name: name, type: type, documentation: documentation))
      } else {
        cases.append(.init(name: name, documentation: documentation))
      }
      guard fields.isEmpty || cases.isEmpty else {
        throw problem("fields with and without types are mixed")
      }
      if token == .punctuation(",") {
        try advance()
        continue
      }
      try expect(")")
      return fields.isEmpty ? .enumeration(cases) : .structure(fields)
    }
  }

  private mutating func advance() throws(InterfaceSyntaxError) {
    (token, comment, line) = try lexer.next()
  }

  private mutating func takeWord(_ what: String) throws(InterfaceSyntaxError) -> String {
    guard case .word(let word) = token else { throw problem("expected \(what)") }
    try advance()
    return word
  }

  private mutating func expectWord(_ word: String) throws(InterfaceSyntaxError) {
    guard token == .word(word) else { throw problem("expected '\(word)'") }
    try advance()
  }

  private mutating func expect(_ character: Character) throws(InterfaceSyntaxError) {
    guard token == .punctuation(character) else { throw problem("expected '\(character)'") }
    try advance()
  }

  private func problem(_ text: String) -> InterfaceSyntaxError {
    InterfaceSyntaxError(line: line, problem: text)
  }
}
