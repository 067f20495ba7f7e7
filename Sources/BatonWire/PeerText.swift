/// Text that somebody else chose, a VMM or another host, for a log or a terminal.
public enum PeerText {
  /// Whether a scalar can be shown as it is: it neither moves the cursor, nor changes colours, nor turns the direction
  /// of what stands beside it, nor is invisible.
  public static func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    // Bidirectional marks and zero-width characters are of the category `format`.
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
    case _: true
    }
  }

  /// The text in one line, with everything in it that is not harmless spelled out as `\u{1B}`.
  ///
  /// - Parameter limit: The most scalars of the result; what is longer ends in `…`.
  /// - Complexity: O(limit)
  public static func visible(_ text: String, limit: Int = 512) -> String {
    var result = String.UnicodeScalarView()
    var count = 0
    for scalar in text.unicodeScalars {
      let piece =
        isHarmless(scalar)
        ? String(scalar) : "\\u{\(String(scalar.value, radix: 16, uppercase: true))}"
      let length = piece.unicodeScalars.count
      guard count + length <= limit else { return cut(result, limit) }
      result.append(contentsOf: piece.unicodeScalars)
      count += length
    }
    return String(result)
  }

  private static func cut(_ scalars: String.UnicodeScalarView, _ limit: Int) -> String {
    limit > 0 ? String(String.UnicodeScalarView(scalars.prefix(limit - 1))) + "…" : ""
  }
}
