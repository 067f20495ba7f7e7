import SEVABI
import Testing

@Suite("A token")
struct InfoTokenTests {
  @Test("is not made of zero, which means that there is none")
  func zero() {
    let token = InfoToken(adopting: 0)
    switch token {
    case .none: break
    case .some: Issue.record("a token was made of zero")
    }
  }

  @Test("is wiped in the buffer that it was taken from, and nothing else is")
  func takenFromBuffer() throws {
    var buffer: [UInt8] = [9, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    guard let token = InfoToken(takingFrom: &buffer, at: 1) else {
      Issue.record("no token was made")
      return
    }
    #expect(buffer == [9, 0, 0, 0, 0, 0, 0, 0, 0, 9])
    var copy = [UInt8](repeating: 0xFF, count: 10)
    token.write(into: &copy, at: 1)
    #expect(copy == [0xFF, 1, 2, 3, 4, 5, 6, 7, 8, 0xFF])
  }

  @Test("is wiped in the buffer also if there was none")
  func noneInBuffer() {
    var buffer = [UInt8](repeating: 0, count: 8)
    switch InfoToken(takingFrom: &buffer, at: 0) {
    case .none: break
    case .some: Issue.record("a token was made of zero")
    }
    #expect(buffer == [UInt8](repeating: 0, count: 8))
  }

  @Test("equals only a token with the same 64 bits", arguments: 0..<64)
  func comparison(bit: Int) {
    let bits: UInt64 = 0x0123_4567_89AB_CDEF
    guard let token = InfoToken(adopting: bits), let same = InfoToken(adopting: bits),
      let other = InfoToken(adopting: bits ^ (1 << UInt64(bit)))
    else {
      Issue.record("no token was made")
      return
    }
    let equalsSame = token.isEqual(to: same)
    let equalsOther = token.isEqual(to: other)
    #expect(equalsSame)
    #expect(!equalsOther)
  }
}
