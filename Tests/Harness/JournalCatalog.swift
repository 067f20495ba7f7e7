import FoundationEssentials

/// What `journalctl -x` says about messages: one of the message catalogs in `units` (journalctl(1), `--catalog`).
public struct JournalCatalog {
  /// The explanation of one message id.
  public struct Entry {
    public var subject = ""
    public var body = ""

    /// The fields of the message that the explanation puts in, which stand between two @; nil when one is not closed.
    public var fields: [String]? {
      let parts = (subject + body).split(separator: "@", omittingEmptySubsequences: false)
      return parts.count % 2 == 1 ? stride(from: 1, to: parts.count, by: 2).map { String(parts[$0]) } : nil
    }
  }

  /// By message id.
  public private(set) var entries: [String: Entry] = [:]
  /// Message ids that stand there more than once.
  public private(set) var repeated: [String] = []

  /// Reads a catalog of the project.
  ///
  /// - Parameter name: Of a file in `units`.
  public init(named name: String) throws {
    let project = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let text = try String(contentsOfFile: "/\(project)/units/\(name)", encoding: .utf8)
    var current: String?
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("-- ") {
        let id = String(line.dropFirst(3))
        if entries.updateValue(Entry(), forKey: id) != nil { repeated.append(id) }
        current = id
      } else if let id = current {
        if line.hasPrefix("Subject: ") {
          entries[id]?.subject = String(line.dropFirst(9))
        } else if !line.hasPrefix("Defined-By:"), !line.hasPrefix("Documentation:") {
          entries[id]?.body += line
        }
      }
    }
  }
}
