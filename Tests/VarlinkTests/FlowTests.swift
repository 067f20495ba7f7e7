import Testing
import Varlink

@Suite("The flow of calls and replies")
struct FlowTests {
  static let add = #"{"method":"org.example.test.Add","parameters":{"a":1,"b":1}}"#
  static let count = #"{"method":"org.example.test.Count","parameters":{"to":1},"more":true}"#

  @Test("hands out one call at a time, in order")
  func order() throws {
    var connection = ServerConnection(service: try Transcript.service())
    connection.receive(Transcript.bytes(Self.count, Self.add))
    let first = try #require(try connection.nextCall())
    #expect(first.mode == .more)
    #expect(first.fullName == "org.example.test.Count")
    #expect(try connection.nextCall() == nil)
    connection.reply(to: first.number, ["value": 1], continues: true)
    #expect(try connection.nextCall() == nil)
    connection.reply(to: first.number, ["value": 2])
    let second = try #require(try connection.nextCall())
    #expect(second.method == "Add")
    #expect(second.number != first.number)
  }

  @Test("stops reading while a call waits behind another")
  func backpressure() throws {
    var connection = ServerConnection(service: try Transcript.service())
    connection.receive(Transcript.bytes(Self.count))
    let call = try #require(try connection.nextCall())
    #expect(connection.wantsInput)
    connection.receive(Transcript.bytes(Self.add))
    #expect(!connection.wantsInput)
    connection.reply(to: call.number, ["value": 1])
    #expect(connection.wantsInput)
    try Transcript.serve(&connection)
    #expect(Transcript.drain(&connection) == [#"{"parameters":{"value":1}}"#, #"{"parameters":{"sum":2}}"#])
  }

  @Test("does not send replies that nobody waits for")
  func staleReplies() throws {
    var connection = ServerConnection(service: try Transcript.service())
    connection.receive(Transcript.bytes(Self.add))
    let call = try #require(try connection.nextCall())
    let first = connection.reply(to: call.number, ["sum": 2])
    let second = connection.reply(to: call.number, ["sum": 3])
    let third = connection.reply(to: call.number, error: ServiceError.permissionDenied)
    #expect([first, second, third] == [true, false, false])
    #expect(Transcript.drain(&connection) == [#"{"parameters":{"sum":2}}"#])
  }

  @Test("reports progress only to callers that asked for more")
  func progress() throws {
    var connection = ServerConnection(service: try Transcript.service())
    connection.receive(Transcript.bytes(Self.add))
    let call = try #require(try connection.nextCall())
    #expect({ connection.reply(to: call.number, ["sum": 1], continues: true) }())
    #expect(connection.output.isEmpty)
    #expect({ connection.reply(to: call.number, ["sum": 2]) }())
    #expect(Transcript.drain(&connection) == [#"{"parameters":{"sum":2}}"#])
  }

  @Test("disconnects a subscriber that does not read, and keeps one that does")
  func slowReader() throws {
    let limits = ConnectionLimits(queuedOutputBytes: 1000)
    for reads in [true, false] {
      var connection = ServerConnection(service: try Transcript.service(), limits: limits)
      connection.receive(Transcript.bytes(Self.count))
      let call = try #require(try connection.nextCall())
      var sent = 0
      while sent < 1000, connection.reply(to: call.number, ["value": sent], continues: true) {
        sent += 1
        if reads { connection.didSend(connection.output.count) }
      }
      #expect(connection.shouldClose == !reads)
      if reads {
        #expect(sent == 1000)
      } else {
        #expect(sent < 40)
        guard case .slowReader? = connection.violation else {
          Issue.record("violation is \(String(describing: connection.violation))")
          continue
        }
        #expect(connection.output.count < 1100)
      }
    }
  }

  @Test("lets one reply be longer than the bound")
  func longReply() throws {
    var connection = ServerConnection(
      service: try Transcript.service(), limits: ConnectionLimits(queuedOutputBytes: 100))
    connection.receive(Transcript.bytes(Self.add))
    let call = try #require(try connection.nextCall())
    #expect({ connection.reply(to: call.number, ["sum": String(repeating: "x", count: 5000)]) }())
    #expect(connection.violation == nil)
    #expect(connection.wantsOutput)
  }

  @Test("takes no further calls from a peer that does not read its replies")
  func congestion() throws {
    var connection = ServerConnection(
      service: try Transcript.service(), limits: ConnectionLimits(queuedOutputBytes: 100))
    for _ in 0..<1000 { connection.receive(Transcript.bytes(Self.add)) }
    try Transcript.serve(&connection)
    #expect(connection.violation == nil)
    #expect(connection.output.count < 200)
    #expect(!connection.wantsInput)
    var replies = 0
    while connection.wantsOutput {
      replies += Transcript.drain(&connection).count
      try Transcript.serve(&connection)
    }
    #expect(replies == 1000)
  }

  @Test("closes when a peer that ended its side has its answers, and at once if it only subscribed")
  func end() throws {
    var connection = ServerConnection(service: try Transcript.service())
    connection.receive(Transcript.bytes(Self.add))
    connection.receiveEnd()
    let call = try #require(try connection.nextCall())
    #expect(!connection.shouldClose)
    connection.reply(to: call.number, ["sum": 2])
    #expect(!connection.shouldClose)
    connection.didSend(connection.output.count)
    #expect(connection.shouldClose)

    var subscriber = ServerConnection(service: try Transcript.service())
    subscriber.receive(Transcript.bytes(Self.count))
    #expect(try subscriber.nextCall() != nil)
    #expect(!subscriber.shouldClose)
    subscriber.receiveEnd()
    #expect(subscriber.shouldClose)
  }

  @Test("closes instead of sending half a reply that cannot be written")
  func unencodable() throws {
    var connection = ServerConnection(service: try Transcript.service())
    connection.receive(Transcript.bytes(Self.add))
    let call = try #require(try connection.nextCall())
    #expect(!{ connection.reply(to: call.number, ["sum": Double.infinity]) }())
    #expect(connection.shouldClose)
    #expect(connection.output.isEmpty)
  }
}
