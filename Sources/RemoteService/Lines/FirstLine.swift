import BatonWire

/// What every first line, on the local socket and inside TLS, has in common.
enum FirstLine {
  /// The longest line in bytes, its line end included.
  static let limit = 1024

  /// The words of a line, without its line end.
  static func words(_ line: [UInt8]) throws(RemoteFault) -> [String] {
    guard line.allSatisfy({ (0x20...0x7E).contains($0) }) else {
      throw .malformedLine("it has bytes that are not printable")
    }
    return String(decoding: line, as: UTF8.self).split(separator: " ", omittingEmptySubsequences: false)
      .map { String($0) }
  }

  /// A guest's name.
  static func guest(_ word: String) throws(RemoteFault) -> String {
    guard GuestName(word) != nil else { throw .malformedLine("that is no name of a guest") }
    return word
  }

  /// The id of a migration: 32 lower-case hexadecimal digits.
  static func migration(_ word: String) throws(RemoteFault) -> String {
    guard isHex(word, count: 32) else { throw .malformedLine("that is no id of a migration") }
    return word
  }

  static func host(_ word: String) throws(RemoteFault) -> HostAddress {
    guard let host = HostAddress(parsing: word) else { throw .malformedLine("that is no HOST[:PORT]") }
    return host
  }

  static func isHex(_ word: String, count: Int) -> Bool {
    word.utf8.count == count
      && word.utf8.allSatisfy {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
          || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
      }
  }

  /// The answer that refuses: one line.
  static func refusing(_ fault: RemoteFault) -> [UInt8] { line("error \(fault.refusal) \(fault)") }

  /// A text as one line, cut to the limit.
  static func line(_ text: String) -> [UInt8] {
    let clean = text.utf8.map { (0x20...0x7E).contains($0) ? $0 : UInt8(ascii: "?") }
    return Array(clean.prefix(limit - 1)) + [UInt8(ascii: "\n")]
  }
}

/// What came of bytes that may hold a line.
struct LineBuffer {
  private(set) var bytes: [UInt8] = []

  /// Adds bytes; the line without its end once it is there. What followed stays in ``bytes``.
  mutating func append(_ more: some Sequence<UInt8>) throws(RemoteFault) -> [UInt8]? {
    bytes.append(contentsOf: more)
    guard let end = bytes.prefix(FirstLine.limit).firstIndex(of: UInt8(ascii: "\n")) else {
      if bytes.count >= FirstLine.limit { throw .lineTooLong(limit: FirstLine.limit) }
      return nil
    }
    let line = Array(bytes[..<end])
    bytes.removeFirst(end + 1)
    return line
  }

  /// Adds bytes behind a line that was taken.
  mutating func keep(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }
}
