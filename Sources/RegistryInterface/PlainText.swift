import BatonWire

/// Text for people, from values that a stranger may have chosen.
public enum PlainText {
  /// Replaces everything that could move the cursor, change colours or reorder a line.
  ///
  /// Build ids and sentences come from VMM processes; shown raw they could forge a line of a table.
  public static func clean(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      result.unicodeScalars.append(PeerText.isHarmless(scalar) ? scalar : "?")
    }
    return result
  }

  /// An integer with a comma between each three digits.
  public static func grouped(_ value: UInt64) -> String {
    var result = ""
    let digits = String(value)
    for (index, digit) in digits.enumerated() {
      if index > 0 && (digits.count - index) % 3 == 0 { result.append(",") }
      result.append(digit)
    }
    return result
  }

  /// A duration with a unit that suits it: `312 µs`, `4.20 ms`, `30.014 s`, `12 min 5 s`.
  public static func duration(microseconds: UInt64, unicode: Bool = true) -> String {
    switch microseconds {
    case 0..<1000: "\(microseconds) \(unicode ? "µs" : "us")"
    case 1000..<1_000_000: "\(fraction(microseconds, per: 1000, digits: 2)) ms"
    case 1_000_000..<120_000_000: "\(fraction(microseconds, per: 1_000_000, digits: 3)) s"
    case _: "\(microseconds / 60_000_000) min \(microseconds / 1_000_000 % 60) s"
    }
  }

  /// The same without a fraction, for narrow places: `312 µs`, `4 ms`, `30 s`, `12 min`.
  static func shortDuration(microseconds: UInt64, unicode: Bool) -> String {
    switch microseconds {
    case 0..<1000: duration(microseconds: microseconds, unicode: unicode)
    case 1000..<1_000_000: "\(microseconds / 1000) ms"
    case 1_000_000..<120_000_000: "\(microseconds / 1_000_000) s"
    case _: "\(microseconds / 60_000_000) min"
    }
  }

  /// A size with a binary unit: `512 B`, `1 GiB`, `1.5 GiB`.
  public static func size(bytes: UInt64) -> String {
    let units = [("TiB", UInt64(1) << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
    for (unit, factor) in units where bytes >= factor {
      let tenths = bytes / factor * 10 + bytes % factor * 10 / factor
      return tenths % 10 == 0 ? "\(tenths / 10) \(unit)" : "\(tenths / 10).\(tenths % 10) \(unit)"
    }
    return "\(bytes) B"
  }

  /// What a VMM says of its build, cleaned, with no more than twelve digits of a build id.
  public static func build(_ text: String) -> String {
    var isBuildId = false
    let words = text.split(separator: " ", omittingEmptySubsequences: false).map { word in
      defer { isBuildId = word == "build-id" }
      return isBuildId && word.allSatisfy(\.isHexDigit) ? word.prefix(12) : word
    }
    return clean(words.joined(separator: " "))
  }

  /// Pads to a width on the right.
  static func pad(_ text: String, to width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  /// Pads to a width on the left.
  static func padLeft(_ text: String, to width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  private static func fraction(_ value: UInt64, per unit: UInt64, digits: Int) -> String {
    var scale: UInt64 = 1
    for _ in 0..<digits { scale *= 10 }
    let part = String(value % unit * scale / unit)
    return "\(value / unit).\(String(repeating: "0", count: digits - part.count))\(part)"
  }
}
