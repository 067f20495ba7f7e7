import Testing
import Varlink

@Suite("A server connection")
struct StrictnessTests {
  /// The violation that a message leads to.
  func violation(_ message: [UInt8]) throws -> ProtocolViolation? {
    var connection = ServerConnection(service: try Transcript.service())
    connection.receive(message + [0])
    do {
      try Transcript.serve(&connection)
    } catch {
      #expect(connection.violation == error)
      #expect(connection.shouldClose)
      #expect(!connection.wantsOutput)
      return error
    }
    return nil
  }

  func violation(_ message: String) throws -> ProtocolViolation? {
    try violation(Array(message.utf8))
  }

  /// What a message is answered with.
  func answers(_ messages: String...) throws -> [String] {
    var connection = ServerConnection(service: try Transcript.service())
    for message in messages { connection.receive(Array(message.utf8) + [0]) }
    try Transcript.serve(&connection)
    return Transcript.drain(&connection)
  }

  func invalid(_ parameter: String) -> [String] {
    [#"{"error":"org.varlink.service.InvalidParameter","parameters":{"parameter":"\#(parameter)"}}"#]
  }

  @Test(
    "closes at anything that is not one JSON object",
    arguments: [
      ("", JSONFault(.unexpectedEnd, at: 0)), ("garbage", JSONFault(.unexpectedCharacter, at: 0)),
      ("[]", JSONFault(.notAnObject, at: 0)), ("\"text\"", JSONFault(.notAnObject, at: 0)),
      ("{} {}", JSONFault(.trailingCharacters, at: 3)), ("{", JSONFault(.unexpectedEnd, at: 1)),
      (#"{"a" 1}"#, JSONFault(.unexpectedCharacter, at: 5)), (#"{"a.b":01}"#, JSONFault(.badNumber, at: 8)),
      (#"{"a.b":1.}"#, JSONFault(.badNumber, at: 9)), (#"{"a.b":-}"#, JSONFault(.badNumber, at: 8)),
      (#"{"a.b":"\x"}"#, JSONFault(.badString, at: 8)),
      (#"{"a.b":"\ud800"}"#, JSONFault(.badString, at: 8)),
      ("{\"a.b\":\"\n\"}", JSONFault(.badString, at: 8)),
      (#"{"a.b":tru}"#, JSONFault(.unexpectedCharacter, at: 10)),
      (#"{"a.b":1,}"#, JSONFault(.unexpectedCharacter, at: 9)),
      (#"{"method":"a.b.C","method":"a.b.C"}"#, JSONFault(.repeatedMember, at: 27)),
    ])
  func malformed(message: String, fault: JSONFault) throws {
    #expect(try violation(message) == .malformed(fault))
  }

  @Test("closes at bytes that are not UTF-8")
  func notUTF8() throws {
    #expect(
      try violation(Array(#"{"a.b":""#.utf8) + [0xFF] + Array(#""}"#.utf8))
        == .malformed(JSONFault(.notUTF8, at: 8)))
  }

  @Test("survives every truncation and every flipped byte of a call")
  func mutations() throws {
    let call = Array(
      #"{"method":"org.example.test.Paint","parameters":{"color":"red","tags":{"a":"\u00e9"},"points":[]}}"#
        .utf8)
    var refused = 0
    for length in 0..<call.count where try violation(Array(call[..<length])) != nil { refused += 1 }
    #expect(refused == call.count)
    for index in call.indices {
      for bit in 0..<8 {
        var copy = call
        copy[index] ^= 1 << UInt8(bit)
        _ = try violation(copy)
      }
    }
  }

  @Test("closes at JSON that is nested too deep, without following it down")
  func deep() throws {
    let depth = 1_000_000
    let arrays = String(repeating: "[", count: depth)
    #expect(
      try violation(#"{"method":"org.example.test.Add","parameters":{"a":\#(arrays)"#)
        == .malformed(JSONFault(.tooDeep, at: 81)))
    let objects = String(repeating: #"{"a":"#, count: depth)
    guard case .malformed(let fault)? = try violation(objects) else {
      Issue.record("deep objects were accepted")
      return
    }
    #expect(fault.reason == .tooDeep)
  }

  @Test("closes at unknown members of the envelope, but passes over a vendor's")
  func unknownMembers() throws {
    #expect(try violation(#"{"method":"org.example.test.Add","extra":1}"#) == .unknownMember("extra"))
    #expect(
      try answers(
        #"{"com.example.vendor":{"x":[1]},"method":"org.example.test.Add","parameters":{"a":1,"b":1}}"#)
        == [#"{"parameters":{"sum":2}}"#])
  }

  @Test(
    "closes at members of the wrong type",
    arguments: [
      (#"{"method":1}"#, ProtocolViolation.wrongMemberType(member: "method")),
      (#"{"method":"a.b.C","more":1}"#, .wrongMemberType(member: "more")),
      (#"{"method":"a.b.C","oneway":"true"}"#, .wrongMemberType(member: "oneway")),
      (#"{"method":"a.b.C","parameters":[]}"#, .wrongMemberType(member: "parameters")),
      (#"{"parameters":{}}"#, .missingMember("method")), (#"{"method":null}"#, .missingMember("method")),
      (#"{"method":"Add"}"#, .invalidMethodName("Add")),
      (#"{"method":"org.add"}"#, .invalidMethodName("org.add")),
      (#"{"method":"a.b.C","more":true,"oneway":true}"#, .contradictingFlags),
      (#"{"method":"a.b.C","upgrade":true,"oneway":true}"#, .contradictingFlags),
    ])
  func envelope(message: String, expected: ProtocolViolation) throws {
    #expect(try violation(message) == expected)
  }

  @Test("says what was wrong in one short clean line")
  func descriptions() throws {
    let long = String(repeating: "x", count: 10_000)
    let violation = try #require(try violation(#"{"method":"a\n\u001b[2J\#(long)"}"#))
    #expect(violation.description.hasPrefix("'a??[2Jxxx"))
    #expect(violation.description.utf8.count < 120)
  }

  @Test("takes absent, null and empty parameters for the same, and false flags for absent ones")
  func emptyParameters() throws {
    let method = #""method":"org.varlink.service.GetInfo""#
    let answer = try answers("{\(method)}")
    #expect(answer.count == 1 && answer[0].contains("Vendor"))
    #expect(try answers("{\(method),\"parameters\":null}") == answer)
    #expect(try answers("{\(method),\"parameters\":{},\"more\":false,\"oneway\":null}") == answer)
  }

  @Test("refuses undeclared, absent and ill-typed parameters by name and goes on")
  func parameters() throws {
    func add(_ parameters: String) throws -> [String] {
      try answers(#"{"method":"org.example.test.Add","parameters":\#(parameters)}"#)
    }
    #expect(try add(#"{"a":1,"b":2,"c":3}"#) == invalid("c"))
    #expect(try add(#"{"a":1}"#) == invalid("b"))
    #expect(try add(#"{"a":1,"a":1,"b":1}"#) == invalid("a"))
    #expect(try add(#"{"a":1.0,"b":2}"#) == invalid("a"))
    #expect(try add(#"{"a":1e2,"b":2}"#) == invalid("a"))
    #expect(try add(#"{"a":"1","b":2}"#) == invalid("a"))
    #expect(try add(#"{"a":18446744073709551616,"b":2}"#) == invalid("a"))
    #expect(try add(#"{"a":1,"b":2,"note":3}"#) == invalid("note"))
    #expect(try add(#"{"a":1,"b":2,"note":null}"#) == [#"{"parameters":{"sum":3}}"#])
  }

  @Test("refuses parameters inside structures, arrays, maps and enumerations by their path")
  func nestedParameters() throws {
    func paint(_ parameters: String) throws -> [String] {
      try answers(#"{"method":"org.example.test.Paint","parameters":\#(parameters)}"#)
    }
    #expect(try paint(#"{"color":"red","tags":{},"points":[]}"#) == [#"{"parameters":{}}"#])
    #expect(try paint(#"{"color":"blue","tags":{},"points":[]}"#) == invalid("color"))
    #expect(try paint(#"{"color":"red","tags":{"a":1},"points":[]}"#) == invalid("tags"))
    #expect(try paint(#"{"color":"red","tags":{},"points":[{"x":1}]}"#) == invalid("points.y"))
    #expect(try paint(#"{"color":"red","tags":{},"points":[{"x":1,"y":2,"z":3}]}"#) == invalid("points.z"))
    #expect(try paint(#"{"color":"red","tags":{},"points":[],"raw":[]}"#) == invalid("raw"))
  }

  @Test("keeps 64-bit integers exact")
  func integers() throws {
    #expect(
      try answers(#"{"method":"org.example.test.Add","parameters":{"a":9223372036854775806,"b":1}}"#)
        == [#"{"parameters":{"sum":9223372036854775807}}"#])
    #expect(
      try answers(#"{"method":"org.example.test.Add","parameters":{"a":9223372036854775807,"b":1}}"#)
        == [#"{"error":"org.example.test.Overflow","parameters":{"limit":9223372036854775807}}"#])
    #expect(
      try answers(#"{"method":"org.example.test.Add","parameters":{"a":-9223372036854775808,"b":0}}"#)
        == [#"{"parameters":{"sum":-9223372036854775808}}"#])
    let parameters = try JSONParameters(encoding: ["number": UInt64.max])
    #expect(try parameters.decode([String: UInt64].self) == ["number": .max])
    #expect(throws: ServiceError.invalidParameter(parameter: "number")) {
      try parameters.decode([String: Int64].self)
    }
  }

  @Test("does not answer a oneway call, whatever comes of it")
  func oneway() throws {
    #expect(
      try answers(
        #"{"method":"org.example.test.Add","parameters":{"a":1,"b":1},"oneway":true}"#,
        #"{"method":"org.example.test.Nothing","oneway":true}"#,
        #"{"method":"org.varlink.service.GetInfo","oneway":true}"#,
        #"{"method":"org.example.test.Add","parameters":{"a":2,"b":2}}"#) == [#"{"parameters":{"sum":4}}"#])
  }
}
