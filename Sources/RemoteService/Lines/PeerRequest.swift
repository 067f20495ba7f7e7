/// The first line that the connecting sidecar sends inside TLS.
enum PeerRequest: Hashable, Sendable {
  /// A guest wants to come: what follows the answer is the stream of two VMMs.
  case migrate(guest: String)
  /// Did your registry give this migration's guest up? Asked of the source.
  case departure(migration: String)
  /// How far did this migration's guest come? Asked of the target.
  case arrival(migration: String)
  /// Here is the receipt. Told to the target.
  case settle(guest: String, migration: String, ReceiptText)
  /// The guest runs at the target: see for yourself. Told to the source.
  case confirm(guest: String, migration: String)

  /// - Parameter line: Without its line end.
  init(parsing line: [UInt8]) throws(RemoteFault) {
    let words = try FirstLine.words(line)
    switch (words.first, words.count) {
    case ("migrate", 2): self = .migrate(guest: try FirstLine.guest(words[1]))
    case ("departure", 2): self = .departure(migration: try FirstLine.migration(words[1]))
    case ("arrival", 2): self = .arrival(migration: try FirstLine.migration(words[1]))
    case ("settle", 4):
      guard let receipt = ReceiptText(hex: words[3]) else { throw .malformedLine("that is no receipt") }
      self = .settle(
        guest: try FirstLine.guest(words[1]), migration: try FirstLine.migration(words[2]), receipt)
    case ("confirm", 3):
      self = .confirm(guest: try FirstLine.guest(words[1]), migration: try FirstLine.migration(words[2]))
    case (_, _):
      throw .malformedLine("it is none of migrate, departure, arrival, settle and confirm with its words")
    }
  }

  /// The line with its end.
  var line: [UInt8] {
    switch self {
    case .migrate(let guest): FirstLine.line("migrate \(guest)")
    case .departure(let migration): FirstLine.line("departure \(migration)")
    case .arrival(let migration): FirstLine.line("arrival \(migration)")
    case .settle(let guest, let migration, let receipt):
      FirstLine.line("settle \(guest) \(migration) \(receipt.hex)")
    case .confirm(let guest, let migration): FirstLine.line("confirm \(guest) \(migration)")
    }
  }
}

/// A departure's receipt as 64 hexadecimal digits. It is never written into a log or an operator's answer.
struct ReceiptText: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
  /// The digits.
  let hex: String

  init?(hex: String) {
    guard FirstLine.isHex(hex, count: 64) else { return nil }
    self.hex = hex
  }

  /// Says nothing of what it is.
  var description: String { "a departure receipt" }
  var customMirror: Mirror { Mirror(self, children: []) }
}

/// The line with which the accepting sidecar answers.
enum PeerReply: Hashable, Sendable {
  /// What was asked for, in words.
  case ok([String])
  /// A refusal's name, and its sentence.
  case error(refusal: String, sentence: String)

  /// - Parameter line: Without its line end.
  init(parsing line: [UInt8]) throws(RemoteFault) {
    var words = try FirstLine.words(line)
    switch (words.first, words.count) {
    case ("ok", _): self = .ok(Array(words.dropFirst()))
    case ("error", 2...):
      guard words[1].utf8.allSatisfy({ Self.isLetter($0) }), !words[1].isEmpty else {
        throw .malformedLine("an error without the name of a refusal")
      }
      let refusal = words[1]
      words.removeFirst(2)
      self = .error(refusal: refusal, sentence: words.joined(separator: " "))
    case (_, _): throw .malformedLine("it is neither ok nor an error")
    }
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
      || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
  }
}
