/// Cuts a description text into tokens and keeps the comments before each.
struct InterfaceLexer {
  enum Token: Hashable {
    case word(String)
    case punctuation(Character)
    case arrow
    case end
  }

  private let characters: [Character]
  private var position = 0
  private(set) var line = 1

  init(_ text: String) {
    characters = Array(text)
  }

  /// The next token and the comment lines that stand directly before it; an empty line forgets a comment.
  mutating func next() throws(InterfaceSyntaxError) -> (token: Token, comment: [String], line: Int) {
    var comment: [String] = []
    var lineIsEmpty = false
    while position < characters.count {
      let character = characters[position]
      switch character {
      case "\n", "\r\n":
        if lineIsEmpty { comment = [] }
        lineIsEmpty = true
        line += 1
        position += 1
      case " ", "\t":
        position += 1
      case "#":
        comment.append(readComment())
        lineIsEmpty = false
      case _:
        return (try readToken(character), comment, line)
      }
    }
    return (.end, comment, line)
  }

  private mutating func readComment() -> String {
    let start = position + 1
    while position < characters.count, !characters[position].isNewline { position += 1 }
    let text = String(characters[start..<position])
    return text.hasPrefix(" ") ? String(text.dropFirst()) : text
  }

  private mutating func readToken(_ first: Character) throws(InterfaceSyntaxError) -> Token {
    if "(){}[]:,?".contains(first) {
      position += 1
      return .punctuation(first)
    }
    if first == "-" {
      guard position + 1 < characters.count, characters[position + 1] == ">" else {
        throw InterfaceSyntaxError(line: line, problem: "'-' without '>'")
      }
      position += 2
      return .arrow
    }
    let start = position
    while position < characters.count, Self.isWordCharacter(characters[position]) { position += 1 }
    guard position > start else {
      throw InterfaceSyntaxError(line: line, problem: "unexpected character '\(first)'")
    }
    return .word(String(characters[start..<position]))
  }

  private static func isWordCharacter(_ character: Character) -> Bool {
    character.isASCII && (character.isLetter || character.isNumber || "_.-".contains(character))
  }
}
