/// What the source's registry says about a migration.
enum DepartureAnswer: Hashable, Sendable {
  /// It gave the guest up; this is the proof. It is forgotten once the target was seen to run the guest.
  case departed(ReceiptText?)
  /// It keeps the guest.
  case stays
  /// Not decided yet.
  case undecided
  /// It knows no such migration.
  case unknown

  /// The word in answers.
  var word: String {
    switch self {
    case .departed: "departed"
    case .stays: "stays"
    case .undecided: "undecided"
    case .unknown: "unknown"
    }
  }

  /// The words inside TLS.
  var words: [String] {
    if case .departed(let receipt?) = self { return [word, receipt.hex] }
    return [word]
  }

  init(words: [String]) throws(RemoteFault) {
    switch (words.first, words.count) {
    case ("departed", 2):
      guard let receipt = ReceiptText(hex: words[1]) else {
        throw .malformedLine("departed without a receipt")
      }
      self = .departed(receipt)
    case ("departed", 1): self = .departed(nil)
    case ("stays", 1): self = .stays
    case ("undecided", 1): self = .undecided
    case ("unknown", 1): self = .unknown
    case (_, _): throw .malformedLine("that is no departure")
    }
  }
}
