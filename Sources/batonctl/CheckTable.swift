import RegistryInterface

/// Checks as a table, what to do about each below it, and the verdict at last.
///
/// Pure: values in, lines out.
struct CheckTable {
  /// What was checked: `vm1`, or `vm1 to south`.
  let subject: String
  let checks: [Check]
  let verdict: CheckVerdict
  let style: PictureStyle

  /// - Parameter width: Columns to wrap at; nil for not at all.
  func lines(width: Int?) -> [String] {
    var table = TextTable([.init("CHECK"), .init("VERDICT"), .init("DETAIL")])
    for check in checks {
      table.append([
        .init(check.name), .init(check.verdict.rawValue, Self.color(check.verdict)), .init(check.detail),
      ])
      if let remedy = check.remedy {
        table.append(["", "", .init((style.unicode ? "→ " : "-> ") + remedy, .notable)])
      }
    }
    let word = style.paint(verdict.rawValue, Self.color(verdict))
    return table.lines(width: width, style: style) + ["", "\(PlainText.clean(subject)): \(word)"]
  }

  private static func color(_ verdict: CheckVerdict) -> PictureStyle.Color {
    switch verdict {
    case .pass: .good
    case .warn, .unknown: .notable
    case .fail: .bad
    }
  }
}
