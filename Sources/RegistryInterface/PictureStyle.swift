/// How text for people is drawn.
public struct PictureStyle: Hashable, Sendable {
  /// Whether characters beyond ASCII may be used.
  public var unicode: Bool
  /// Whether ANSI colours may be used.
  public var color: Bool

  /// A style.
  public init(unicode: Bool = true, color: Bool = false) {
    self.unicode = unicode
    self.color = color
  }

  /// The colours that carry a meaning.
  public enum Color: String, Hashable, Sendable {
    /// All is well, or the guest runs.
    case good = "32"
    /// Something is worth knowing.
    case notable = "33"
    /// Something failed, or the guest stands still.
    case bad = "31"
    /// Secondary text.
    case faint = "2"
    /// Headings.
    case strong = "1"
  }

  /// The text in a colour, or as it is.
  public func paint(_ text: String, _ color: Color?) -> String {
    guard self.color, let color, !text.isEmpty else { return text }
    return "\u{1B}[\(color.rawValue)m\(text)\u{1B}[0m"
  }
}
