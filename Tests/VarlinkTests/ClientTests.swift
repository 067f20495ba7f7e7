import Testing
import Varlink

@Suite("A client connection")
struct ClientTests {
  /// A client that waits for one call.
  func client(_ mode: ClientConnection.Mode = .single) throws -> ClientConnection {
    var client = ClientConnection()
    try client.call("org.example.test.Add", ["a": 1, "b": 2], mode: mode)
    return client
  }

  func violation(_ reply: String, _ mode: ClientConnection.Mode = .single) throws -> ProtocolViolation? {
    var client = try client(mode)
    client.receive(Transcript.bytes(reply))
    do {
      while try client.nextReply() != nil {}
    } catch {
      #expect(client.violation == error)
      return error
    }
    return nil
  }

  @Test("writes calls as the specification shows them")
  func calls() throws {
    var client = ClientConnection()
    try client.call("org.example.test.Add", ["a": 1, "b": 2])
    try client.call("org.example.test.Count", ["to": 3], mode: .more)
    try client.call("org.example.test.Add", [String: Int](), mode: .oneway)
    let text = String(decoding: client.output, as: UTF8.self)
    #expect(
      text == #"{"method":"org.example.test.Add","parameters":{"a":1,"b":2}}"# + "\0"
        + #"{"method":"org.example.test.Count","parameters":{"to":3},"more":true}"# + "\0"
        + #"{"method":"org.example.test.Add","parameters":{},"oneway":true}"# + "\0")
  }

  @Test("matches pipelined replies to their calls, and gives a oneway call none")
  func pipeline() throws {
    var client = ClientConnection()
    var server = ServerConnection(service: try Transcript.service())
    let first = try client.call("org.example.test.Add", ["a": 1, "b": 2])
    try client.call("org.example.test.Add", ["a": 1, "b": 1], mode: .oneway)
    let third = try client.call("org.example.test.Count", ["to": 2], mode: .more)
    let fourth = try client.call("org.example.test.Nothing", [String: Int]())
    server.receive(client.output)
    try Transcript.serve(&server)
    client.receive(server.output)
    var calls: [UInt64] = []
    var contents: [ClientReply.Content] = []
    while let reply = try client.nextReply() {
      calls.append(reply.call)
      contents.append(reply.content)
    }
    #expect(calls == [first, third, third, fourth])
    #expect(!client.isWaiting)
    guard case .error(let name, _)? = contents.last else {
      Issue.record("the unknown method was answered")
      return
    }
    #expect(name == "org.varlink.service.MethodNotFound")
  }

  @Test("passes over unknown members of parameters, but not of the envelope")
  func unknownMembers() throws {
    var client = try client()
    client.receive(Transcript.bytes(#"{"parameters":{"sum":3,"later":true},"org.example.vendor":1}"#))
    let reply = try #require(try client.nextReply())
    guard case .parameters(let parameters) = reply.content else {
      Issue.record("an error came")
      return
    }
    struct Sum: Decodable {
      let sum: Int
    }
    #expect(try parameters.decode(Sum.self).sum == 3)
    #expect(try violation(#"{"parameters":{},"later":1}"#) == .unknownMember("later"))
  }

  @Test("closes at replies that were not asked for")
  func unexpected() throws {
    #expect(try violation(#"{"parameters":{},"continues":true}"#) == .unexpectedContinuation)
    #expect(try violation(#"{"error":"a.b.C","continues":true}"#, .more) == .unexpectedContinuation)
    #expect(try violation(#"{"parameters":{},"continues":true}"#, .more) == nil)
    #expect(try violation(#"{}"#, .oneway) == .unexpectedReply)
    #expect(try violation(#"{"error":5}"#) == .wrongMemberType(member: "error"))
    #expect(try violation(#"{"method":"a.b.C"}"#) == .unknownMember("method"))
  }

  @Test("tells an early end from a quiet one")
  func end() throws {
    var waiting = try client()
    waiting.receiveEnd()
    #expect(throws: ProtocolViolation.truncated) { try waiting.nextReply() }
    var idle = ClientConnection()
    idle.receiveEnd()
    #expect(try idle.nextReply() == nil)
  }
}
