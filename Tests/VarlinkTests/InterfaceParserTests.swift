import Testing
import Varlink

@Suite("The parser of interface texts")
struct InterfaceParserTests {
  @Test("reads every kind of type and the comments before them")
  func types() throws {
    let interface = try InterfaceDescription(
      """
      # About it
      interface org.example.all-types

      # stale, because an empty line follows

      type T ( # inner
        a: bool, b: ?int,c: []float,
        # about d
        d: [string]?string, e: object, f: any, g: (x: int), h: (one, two), i: []T)
      type E (a, b)
      type Nothing ()
      method M() -> ()
      error Bad()
      """)
    #expect(interface.name == "org.example.all-types")
    #expect(interface.documentation == ["About it"])
    let type = try #require(interface.types["T"])
    #expect(type.documentation == [])
    guard case .structure(let fields) = type.type else {
      Issue.record("T is no structure")
      return
    }
    #expect(fields.map(\.name) == ["a", "b", "c", "d", "e", "f", "g", "h", "i"])
    #expect(fields[1].type == .nullable(.integer))
    #expect(fields[3].type == .map(.nullable(.string)))
    #expect(fields[3].documentation == ["about d"])
    #expect(fields[7].type == .enumeration([.init(name: "one"), .init(name: "two")]))
    #expect(fields[8].type == .array(.named("T")))
    #expect(interface.types["Nothing"]?.type == .structure([]))
    #expect(interface.methods["M"]?.output == [])
    #expect(interface.errors["Bad"]?.parameters == [])
  }

  @Test(
    "says in which line a text is wrong",
    arguments: [
      ("", 1, "expected 'interface'"), ("interface Foo", 1, "'Foo' is not an interface name"),
      ("interface a.b\nmethod add() -> ()", 2, "'add' is not a member name"),
      ("interface a.b\nmethod Add() ()", 2, "expected '->'"),
      ("interface a.b\nmethod Add(a) -> ()", 2, "expected fields with types"),
      ("interface a.b\ntype T (a: int, b)", 2, "fields with and without types are mixed"),
      ("interface a.b\ntype T (a: int, a: int)", 2, "'a' is declared twice"),
      ("interface a.b\ntype T (a: ??int)", 2, "'?' twice"),
      ("interface a.b\ntype T (a: integer)", 2, "'integer' is not a type"),
      ("interface a.b\ntype T (a: Other)", 2, "type 'Other' is not declared"),
      ("interface a.b\ntype T (a_: int)", 2, "'a_' is not a field name"),
      ("interface a.b\ntype T (a: [int]int)", 2, "expected 'string'"),
      ("interface a.b\nerror E()\nmethod E() -> ()", 3, "'E' is declared twice"),
      ("interface a.b\nrecord E()", 2, "'record' is not 'type', 'method' or 'error'"),
      ("interface a.b\ntype T (a: int", 2, "expected ')'"),
      ("interface a.b\n%", 2, "unexpected character '%'"),
    ])
  func problems(text: String, line: Int, problem: String) {
    #expect(throws: InterfaceSyntaxError(line: line, problem: problem)) { try InterfaceDescription(text) }
  }

  @Test("refuses types that are nested too deep instead of overflowing its stack")
  func deep() {
    let text = "interface a.b\ntype T (a: \(String(repeating: "[]", count: 100_000))int)"
    #expect(throws: InterfaceSyntaxError(line: 2, problem: "types are nested too deep")) {
      try InterfaceDescription(text)
    }
  }
}
