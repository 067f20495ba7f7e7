/// Bytes written as hexadecimal digits in this program. Other characters separate.
package func hexadecimal(_ digits: String) -> [UInt8] {
  var bytes: [UInt8] = []
  var half: UInt8?
  for character in digits {
    guard let digit = character.hexDigitValue.map(UInt8.init) else { continue }
    if let high = half {
      bytes.append(high << 4 | digit)
      half = nil
    } else {
      half = digit
    }
  }
  return bytes
}

/// Bytes as hexadecimal digits, for people.
func hexadecimalDigits(_ bytes: [UInt8]) -> String {
  bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
