/// The escapes of JSON strings (RFC 8259, section 7).
enum JSONStringEscapes {
  /// The string that a range between two quotation marks stands for.
  static func resolve(_ bytes: [UInt8], _ range: Range<Int>) throws(JSONFault) -> String {
    var result = ""
    var index = range.lowerBound
    var plainStart = index
    while index < range.upperBound {
      guard bytes[index] == UInt8(ascii: "\\") else {
        index += 1
        continue
      }
      result += String(decoding: bytes[plainStart..<index], as: UTF8.self)
      result.unicodeScalars.append(try scalar(bytes, &index, range.upperBound))
      plainStart = index
    }
    result += String(decoding: bytes[plainStart..<range.upperBound], as: UTF8.self)
    return result
  }

  private static func scalar(
    _ bytes: [UInt8], _ index: inout Int, _ end: Int
  ) throws(JSONFault) -> Unicode.Scalar {
    let start = index
    guard index + 1 < end else { throw JSONFault(.badString, at: start) }
    let letter = bytes[index + 1]
    index += 2
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(letter)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      let first = try codeUnit(bytes, &index, end)
      if let scalar = Unicode.Scalar(UInt32(first)) { return scalar }
      guard UTF16.isLeadSurrogate(first), index + 1 < end, bytes[index] == UInt8(ascii: "\\"),
        bytes[index + 1] == UInt8(ascii: "u")
      else { throw JSONFault(.badString, at: start) }
      index += 2
      let second = try codeUnit(bytes, &index, end)
      guard UTF16.isTrailSurrogate(second) else { throw JSONFault(.badString, at: start) }
      return UTF16.decode(UTF16.EncodedScalar([first, second]))
    case _: throw JSONFault(.badString, at: start)
    }
  }

  private static func codeUnit(
    _ bytes: [UInt8], _ index: inout Int, _ end: Int
  ) throws(JSONFault) -> UInt16 {
    var unit: UInt16 = 0
    for _ in 0..<4 {
      guard index < end, let digit = Character(Unicode.Scalar(bytes[index])).hexDigitValue else {
        throw JSONFault(.badString, at: min(index, end))
      }
      unit = unit << 4 | UInt16(digit)
      index += 1
    }
    return unit
  }
}
