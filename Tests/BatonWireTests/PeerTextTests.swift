import BatonWire
import Testing

@Suite("A text that somebody else chose")
struct PeerTextTests {
  @Test("stays as it is as long as it is harmless")
  func harmless() {
    for text in ["", "north.example:4646", "größer – 50 %", "版本 2", #"C:\u{1B}"#] {
      #expect(PeerText.visible(text) == text)
    }
  }

  @Test("cannot begin a line, move the cursor, colour or turn what stands beside it")
  func spelledOut() {
    #expect(PeerText.visible("a\nb\r\u{1B}[2Jc\u{9B}d") == #"a\u{A}b\u{D}\u{1B}[2Jc\u{9B}d"#)
    #expect(PeerText.visible("x\u{202E}y\u{2066}z\u{200B}") == #"x\u{202E}y\u{2066}z\u{200B}"#)
    #expect(PeerText.visible("\u{2028}\u{2029}\u{0}\u{FEFF}") == #"\u{2028}\u{2029}\u{0}\u{FEFF}"#)
    // A control character that is one grapheme with the next one.
    #expect(PeerText.visible("\r\n") == #"\u{D}\u{A}"#)
  }

  @Test("is cut where it is longer than allowed, and shows that", arguments: 0...12)
  func cut(_ limit: Int) {
    let shown = PeerText.visible("abc\u{1B}defgh", limit: limit)
    #expect(shown.unicodeScalars.count <= limit)
    #expect(limit == 0 || shown.hasSuffix("…"))
    #expect(!shown.unicodeScalars.contains("\u{1B}"))
    #expect(PeerText.visible("abcdef", limit: 6) == "abcdef")
  }
}
