/// A Varlink interface, as its description text declares it (UAPI.20, "Interface Definition").
public struct InterfaceDescription: Hashable, Sendable {
  /// The type of a value.
  public indirect enum ValueType: Hashable, Sendable {
    /// `bool`
    case boolean
    /// `int`: an integer from -2^63 to 2^64 - 1.
    case integer
    /// `float`: any JSON number.
    case float
    /// `string`
    case string
    /// `object`: any JSON object.
    case object
    /// `any`: any JSON value but `null`.
    case any
    /// `?T`: a `T`, `null`, or absent.
    case nullable(ValueType)
    /// `[]T`
    case array(ValueType)
    /// `[string]T`
    case map(ValueType)
    /// A type declared with `type`.
    case named(String)
    /// `(name: T, …)`
    case structure([Field])
    /// `(one, two)`: a string, one of those listed.
    case enumeration([EnumerationCase])
  }

  /// A named member of a structure.
  public struct Field: Hashable, Sendable {
    /// The member's name in JSON.
    public let name: String
    /// The type of its value.
    public let type: ValueType
    /// The lines of the comment before it.
    public let documentation: [String]

    /// A member.
    public init(name: String, type: ValueType, documentation: [String] = []) {
      self.name = name
      self.type = type
      self.documentation = documentation
    }
  }

  /// A value of an enumeration.
  public struct EnumerationCase: Hashable, Sendable {
    /// The string in JSON.
    public let name: String
    /// The lines of the comment before it.
    public let documentation: [String]

    /// A value and its comment.
    public init(name: String, documentation: [String] = []) {
      self.name = name
      self.documentation = documentation
    }
  }

  /// A declared type.
  public struct TypeAlias: Hashable, Sendable {
    /// The name, which starts with a capital letter.
    public let name: String
    /// What it stands for: a structure or an enumeration.
    public let type: ValueType
    /// The lines of the comment before it.
    public let documentation: [String]
  }

  /// A method.
  public struct Method: Hashable, Sendable {
    /// The name without the interface.
    public let name: String
    /// Parameters of a call.
    public let input: [Field]
    /// Parameters of a reply.
    public let output: [Field]
    /// The lines of the comment before it.
    public let documentation: [String]
  }

  /// An error.
  public struct ErrorDeclaration: Hashable, Sendable {
    /// The name without the interface.
    public let name: String
    /// Parameters of the error reply.
    public let parameters: [Field]
    /// The lines of the comment before it.
    public let documentation: [String]
  }

  /// Reverse-domain name.
  public let name: String
  /// The lines of the comment before the name.
  public let documentation: [String]
  /// Declared types by name.
  public let types: [String: TypeAlias]
  /// Methods by name.
  public let methods: [String: Method]
  /// Errors by name.
  public let errors: [String: ErrorDeclaration]
  /// The text all this was read from, as `GetInterfaceDescription` returns it.
  public let text: String

  /// Reads and checks a description: syntax, names, and that every type that is used is declared once.
  ///
  /// - Throws: ``InterfaceSyntaxError`` with the line.
  public init(_ text: String) throws(InterfaceSyntaxError) {
    var parser = InterfaceParser(text)
    let parsed = try parser.parse()
    name = parsed.name
    documentation = parsed.documentation
    types = parsed.types
    methods = parsed.methods
    errors = parsed.errors
    self.text = text
  }
}

/// Where a description text is not one.
public struct InterfaceSyntaxError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Line number from 1.
  public let line: Int
  /// What is wrong there.
  public let problem: String

  /// A problem in a line.
  public init(line: Int, problem: String) {
    self.line = line
    self.problem = problem
  }

  /// Line and problem.
  public var description: String { "line \(line): \(problem)" }
}
