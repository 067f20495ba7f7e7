import Testing
import Varlink

@Suite("Framing")
struct FramingTests {
  static let transcript = Transcript.bytes(
    #"{"method":"org.varlink.service.GetInfo"}"#,
    #"{"method":"org.example.test.Add","parameters":{"a":1,"b":2}}"#,
    #"{"method":"org.example.test.Count","parameters":{"to":3},"more":true}"#,
    #"{"method":"org.example.test.Add","parameters":{"a":9007199254740993,"b":0}}"#)

  static let answers = [
    #"{"parameters":{"interfaces":["org.example.test","org.varlink.service"],"product":"Product","#
      + #""url":"https://example.org","vendor":"Vendor","version":"1"}}"#,
    #"{"parameters":{"sum":3}}"#,
    #"{"parameters":{"value":1},"continues":true}"#,
    #"{"parameters":{"value":2},"continues":true}"#,
    #"{"parameters":{"value":3}}"#,
    #"{"parameters":{"sum":9007199254740993}}"#,
  ]

  @Test("gives the same answers wherever the stream is cut in two")
  func everySplitPoint() throws {
    for split in 0...Self.transcript.count {
      var connection = ServerConnection(service: try Transcript.service())
      connection.receive(Self.transcript[..<split])
      try Transcript.serve(&connection)
      connection.receive(Self.transcript[split...])
      try Transcript.serve(&connection)
      #expect(Transcript.drain(&connection) == Self.answers, "split at \(split)")
    }
  }

  @Test("gives the same answers when every byte comes alone")
  func singleBytes() throws {
    var connection = ServerConnection(service: try Transcript.service())
    for byte in Self.transcript {
      connection.receive(CollectionOfOne(byte))
      try Transcript.serve(&connection)
    }
    #expect(Transcript.drain(&connection) == Self.answers)
    #expect(!connection.shouldClose)
    connection.receiveEnd()
    #expect(connection.shouldClose)
  }

  @Test("accepts a message of exactly the limit and refuses one byte more")
  func limit() throws {
    var framer = MessageFramer(messageBytes: 10)
    framer.append(Array(repeating: 65, count: 10) + [0])
    #expect(try framer.next()?.count == 10)
    #expect(try framer.next() == nil)
    framer.append(Array(repeating: 65, count: 11))
    #expect(framer.hasMessage)
    #expect(throws: ProtocolViolation.messageTooLong(limit: 10)) { try framer.next() }
  }

  @Test("refuses a message that is too long even if its end came with it")
  func limitWithEnd() {
    var framer = MessageFramer(messageBytes: 10)
    framer.append(Array(repeating: 65, count: 11) + [0])
    #expect(throws: ProtocolViolation.messageTooLong(limit: 10)) { try framer.next() }
  }

  @Test("refuses a message of 20 MiB as soon as it is longer than 16 MiB")
  func twentyMebibytes() throws {
    var connection = ServerConnection(service: try Transcript.service())
    let chunk = [UInt8](repeating: UInt8(ascii: " "), count: 1 << 20)
    var taken = 0
    var violation: ProtocolViolation?
    while taken < 20 && violation == nil {
      connection.receive(chunk)
      taken += 1
      do { _ = try connection.nextCall() } catch { violation = error }
    }
    #expect(violation == .messageTooLong(limit: 16 << 20))
    #expect(taken == 17)
    #expect(connection.shouldClose)
  }

  @Test("gives up the memory of a large message")
  func memory() throws {
    var framer = MessageFramer(messageBytes: 1 << 20)
    framer.append([UInt8](repeating: 65, count: 1 << 20) + [0])
    #expect(try framer.next()?.count == 1 << 20)
    #expect(framer.bufferedByteCount == 0)
  }

  @Test("calls a stream that ends inside a message truncated")
  func truncated() throws {
    var connection = ServerConnection(service: try Transcript.service())
    connection.receive(Array(#"{"method""#.utf8))
    #expect(try connection.nextCall() == nil)
    connection.receiveEnd()
    #expect(throws: ProtocolViolation.truncated) { try connection.nextCall() }
    #expect(connection.shouldClose)
  }
}
