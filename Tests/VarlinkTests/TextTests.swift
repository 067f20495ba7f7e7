import RegistryInterface
import Testing

@Suite("Text for people")
struct TextTests {
  @Test("shows durations with a unit that suits them")
  func durations() {
    let expected: [(UInt64, String)] = [
      (0, "0 µs"), (999, "999 µs"), (1000, "1.00 ms"), (4205, "4.20 ms"), (999_999, "999.99 ms"),
      (1_000_000, "1.000 s"), (30_014_284, "30.014 s"), (119_999_999, "119.999 s"),
      (120_000_000, "2 min 0 s"), (.max, "307445734561 min 49 s"),
    ]
    for (value, text) in expected { #expect(PlainText.duration(microseconds: value) == text) }
    #expect(PlainText.duration(microseconds: 5, unicode: false) == "5 us")
  }

  @Test("groups digits by three")
  func grouping() {
    #expect(PlainText.grouped(0) == "0")
    #expect(PlainText.grouped(999) == "999")
    #expect(PlainText.grouped(1000) == "1,000")
    #expect(PlainText.grouped(30_001_204) == "30,001,204")
    #expect(PlainText.grouped(.max) == "18,446,744,073,709,551,615")
  }

  @Test("shows sizes with binary units")
  func sizes() {
    #expect(PlainText.size(bytes: 512) == "512 B")
    #expect(PlainText.size(bytes: 1 << 30) == "1 GiB")
    #expect(PlainText.size(bytes: 3 << 29) == "1.5 GiB")
    #expect(PlainText.size(bytes: .max) == "16777215.9 TiB")
  }

  @Test("takes every control character out, also those that reorder a line")
  func cleaning() {
    #expect(PlainText.clean("a\u{0}b\u{1B}[0m\u{9B}c\r\n\u{202E}d\u{2028}é") == "a?b?[0m?c???d?é")
  }

  @Test("aligns a table and wraps its last column")
  func table() {
    var table = TextTable([.init("NAME"), .init("COUNT", numeric: true), .init("DETAIL")])
    table.append(["vm1", "7", "short"])
    table.append(["longer", "1234567", "some words that do not fit into one line of the table"])
    #expect(
      table.lines(width: 46, style: PictureStyle()) == [
        "NAME      COUNT  DETAIL",
        "vm1           7  short",
        "longer  1234567  some words that do not fit",
        "                 into one line of the table",
      ])
    #expect(table.lines(width: nil, style: PictureStyle()).count == 3)
    #expect(
      table.lines(width: 46, style: PictureStyle(color: true))[0].hasPrefix("\u{1B}[1mNAME\u{1B}[0m    "))
  }
}
