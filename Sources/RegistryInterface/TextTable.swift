/// A table for people: aligned columns, two spaces between, the last column wrapped.
public struct TextTable: Sendable {
  /// A column.
  public struct Column: Hashable, Sendable {
    /// The heading.
    public var title: String
    /// Whether values stand at the right end, as numbers do.
    public var isNumeric: Bool

    /// A column.
    public init(_ title: String, numeric: Bool = false) {
      self.title = title
      isNumeric = numeric
    }
  }

  /// A value and its colour.
  public struct Cell: Hashable, Sendable, ExpressibleByStringLiteral {
    /// The value, without anything that could disturb a terminal.
    public let text: String
    /// Its colour, if it has a meaning.
    public let color: PictureStyle.Color?

    /// A cell; the text is cleaned.
    public init(_ text: String, _ color: PictureStyle.Color? = nil) {
      self.text = PlainText.clean(text)
      self.color = color
    }

    /// A cell without colour.
    public init(stringLiteral value: String) {
      self.init(value)
    }
  }

  /// The columns.
  public let columns: [Column]
  /// The rows, each with one cell for each column.
  public private(set) var rows: [[Cell]] = []

  /// An empty table.
  public init(_ columns: [Column]) {
    self.columns = columns
  }

  /// Adds a row.
  public mutating func append(_ row: [Cell]) {
    precondition(row.count == columns.count, "a row has a cell for each column")
    rows.append(row)
  }

  /// The lines, heading first, without line ends.
  ///
  /// - Parameter width: Columns of the terminal, or `nil` to never wrap.
  public func lines(width: Int?, style: PictureStyle) -> [String] {
    let widths = columns.indices.map { index in
      max(columns[index].title.count, rows.map { $0[index].text.count }.max() ?? 0)
    }
    let heading = columns.map { Cell($0.title, .strong) }
    return ([heading] + rows).flatMap { line($0, widths, width, style) }
  }

  private func line(
    _ cells: [Cell], _ widths: [Int], _ width: Int?, _ style: PictureStyle
  ) -> [String] {
    let last = columns.count - 1
    let indent = widths.dropLast().reduce(0) { $0 + $1 + 2 }
    var head = ""
    for index in 0..<last {
      let cell = cells[index]
      let space = String(repeating: " ", count: widths[index] - cell.text.count)
      let text = style.paint(cell.text, cell.color)
      head += (columns[index].isNumeric ? space + text : text + space) + "  "
    }
    var pieces = [cells[last].text]
    if columns[last].isNumeric {
      pieces = [PlainText.padLeft(cells[last].text, to: widths[last])]
    } else if let width, width - indent >= 12 {
      pieces = Self.wrap(cells[last].text, width - indent)
    }
    var result: [String] = []
    for (index, piece) in pieces.enumerated() {
      let start = index == 0 ? head : String(repeating: " ", count: indent)
      let whole = start + style.paint(piece, cells[last].color)
      result.append(Self.trimmed(whole))
    }
    return result
  }

  private static func trimmed(_ line: String) -> String {
    var line = line
    while line.last == " " { line.removeLast() }
    return line
  }

  /// Breaks a text at spaces; a longer word stays whole.
  public static func wrap(_ text: String, _ width: Int) -> [String] {
    var lines: [String] = []
    var current = ""
    for word in text.split(separator: " ") {
      if !current.isEmpty && current.count + 1 + word.count > width {
        lines.append(current)
        current = ""
      }
      current += (current.isEmpty ? "" : " ") + word
    }
    return lines.isEmpty || !current.isEmpty ? lines + [current] : lines
  }
}
