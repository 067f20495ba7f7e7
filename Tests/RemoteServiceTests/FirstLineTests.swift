import Testing

@testable import RemoteService

@Suite("A first line")
struct FirstLineTests {
  private let migration = "0123456789abcdef0123456789abcdef"
  private var receipt: String { migration + migration }

  private func local(_ text: String) throws -> LocalRequest { try LocalRequest(parsing: Array(text.utf8)) }

  private func peer(_ text: String) throws -> PeerRequest { try PeerRequest(parsing: Array(text.utf8)) }

  @Test("on the local socket is one of four")
  func localRequests() throws {
    let south = HostAddress(host: "south.test")
    #expect(try local("await vm1") == .await(guest: "vm1"))
    #expect(try local("connect vm1 South.test") == .connect(guest: "vm1", south))
    #expect(
      try local("connect vm1 [::1]:9") == .connect(guest: "vm1", HostAddress(host: "::1", port: 9)))
    #expect(
      try local("departure south.test vm1 \(migration)")
        == .departure(south, guest: "vm1", migration: migration))
    #expect(
      try local("settle south.test:4646 vm1 \(migration)")
        == .settle(south, guest: "vm1", migration: migration))
  }

  @Test(
    "that is none of them is refused",
    arguments: [
      "", "await", "await ", "await vm1 vm2", " await vm1", "await  vm1", "await -vm1", "await vm/1",
      "await \(String(repeating: "a", count: 64))", "AWAIT vm1", "connect vm1", "connect vm1 host:0",
      "connect vm1 host:65536", "connect vm1 host:+1", "connect vm1 -host", "connect vm1 ho_st",
      "connect vm1 [::1", "connect vm1 ::1", "connect vm1 host:", "connect vm1 h..t", "settle host vm1 abc",
      "settle host vm1 0123456789ABCDEF0123456789abcdef", "departure host vm1", "await vm1\t",
      "await v\u{0}m",
      "migrate vm1",
    ])
  func badLocalRequests(_ text: String) {
    #expect(throws: RemoteFault.self) { try local(text) }
  }

  @Test("inside TLS is read as it is written")
  func peerRequests() throws {
    let requests: [PeerRequest] = [
      .migrate(guest: "vm1"), .departure(migration: migration), .arrival(migration: migration),
      .settle(guest: "vm1", migration: migration, try #require(ReceiptText(hex: receipt))),
    ]
    for request in requests {
      #expect(request.line.last == UInt8(ascii: "\n"))
      #expect(try PeerRequest(parsing: request.line.dropLast()) == request)
    }
    for text in ["await vm1", "settle vm1 \(migration)", "settle vm1 \(migration) \(migration)", "departure"]
    {
      #expect(throws: RemoteFault.self) { try peer(text) }
    }
  }

  @Test("is answered with ok and words, or with a refusal's name and a sentence")
  func replies() throws {
    let fault = RemoteFault.notWaiting(guest: "vm1")
    let line = FirstLine.refusing(fault)
    #expect(
      try PeerReply(parsing: line.dropLast())
        == .error(refusal: "targetNotWaiting", sentence: fault.description))
    #expect(try PeerReply(parsing: Array("ok stays".utf8)) == .ok(["stays"]))
    for text in ["", "okay", "error", "error  x", "error te1 x", "\u{7}"] {
      #expect(throws: RemoteFault.self) { try PeerReply(parsing: Array(text.utf8)) }
    }
  }

  @Test("never is longer than 1024 bytes, and is one line whatever a name holds")
  func length() {
    let fault = RemoteFault.unreachable(host: "a\nb\u{1B}[2J", reason: String(repeating: "x", count: 4000))
    let line = FirstLine.refusing(fault)
    #expect(line.count == FirstLine.limit)
    #expect(line.count { $0 < 0x20 } == 1)
  }

  @Test("comes in pieces; what follows it is kept")
  func pieces() throws {
    var buffer = LineBuffer()
    #expect(try buffer.append(Array("awa".utf8)) == nil)
    #expect(try buffer.append(Array("it vm1\nrest".utf8)) == Array("await vm1".utf8))
    #expect(buffer.bytes == Array("rest".utf8))
    var endless = LineBuffer()
    #expect(throws: RemoteFault.lineTooLong(limit: 1024)) {
      for _ in 0..<2 { _ = try endless.append([UInt8](repeating: 0x61, count: 512)) }
    }
    var longest = LineBuffer()
    let line = [UInt8](repeating: 0x61, count: 1023)
    #expect(try longest.append(line + [0x0A]) == line)
  }

  @Test("with a receipt does not show it")
  func receiptIsHidden() throws {
    let receipt = try #require(ReceiptText(hex: receipt))
    let request = PeerRequest.settle(guest: "vm1", migration: migration, receipt)
    #expect(!"\(request)".contains(receipt.hex) && !String(reflecting: request).contains(receipt.hex))
    #expect(!"\(DepartureAnswer.departed(receipt))".contains(receipt.hex))
  }
}
