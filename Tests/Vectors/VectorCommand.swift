/// One line of the input: a name, and fields.
struct VectorCommand {
  /// A line that is no command, with what is wrong with it.
  struct Malformed: Error {
    let reason: String
  }

  let name: String
  private var fields: [String: String] = [:]

  init(_ line: String) throws(Malformed) {
    var words = line.split(separator: " ").map(String.init)[...]
    guard let name = words.popFirst() else { throw Malformed(reason: "empty line") }
    self.name = name
    for word in words {
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else { throw Malformed(reason: "no field: \(word)") }
      fields[String(parts[0])] = String(parts[1])
    }
  }

  func text(_ key: String) throws(Malformed) -> String {
    guard let text = fields[key] else { throw Malformed(reason: "\(name) needs \(key)") }
    return text
  }

  func number<Number: FixedWidthInteger>(_ key: String) throws(Malformed) -> Number {
    guard let number = Number(try text(key)) else { throw Malformed(reason: "\(key) is no number") }
    return number
  }

  func has(_ key: String) -> Bool { fields[key] != nil }

  func bytes(_ key: String) throws(Malformed) -> [UInt8] {
    let digits = Array(try text(key).utf8)
    guard digits.count.isMultiple(of: 2) else { throw Malformed(reason: "\(key) has half a byte") }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(digits.count / 2)
    for index in stride(from: 0, to: digits.count, by: 2) {
      guard let high = Self.value(of: digits[index]), let low = Self.value(of: digits[index + 1]) else {
        throw Malformed(reason: "\(key) is not hexadecimal")
      }
      bytes.append(high << 4 | low)
    }
    return bytes
  }

  private static func value(of digit: UInt8) -> UInt8? {
    switch digit {
    case 0x30...0x39: digit - 0x30
    case 0x61...0x66: digit - 0x61 + 10
    default: nil
    }
  }
}

/// Bytes as hexadecimal digits.
func hexadecimal(_ bytes: [UInt8]) -> String {
  let digits = Array("0123456789abcdef".utf8)
  var text: [UInt8] = []
  text.reserveCapacity(2 * bytes.count)
  for byte in bytes {
    text.append(digits[Int(byte >> 4)])
    text.append(digits[Int(byte & 15)])
  }
  return String(decoding: text, as: UTF8.self)
}
