/// The first line on the local socket.
enum LocalRequest: Hashable {
  /// A VMM waits for a guest that is to come.
  case await(guest: String)
  /// A VMM wants to send its guest.
  case connect(guest: String, HostAddress)
  /// An operator at the target asks whether the source gave the guest up, and settles with the answer.
  case departure(HostAddress, guest: String, migration: String)
  /// An operator at the source hands the receipt over.
  case settle(HostAddress, guest: String, migration: String)

  /// - Parameter line: Without its line end.
  init(parsing line: [UInt8]) throws(RemoteFault) {
    let words = try FirstLine.words(line)
    switch (words.first, words.count) {
    case ("await", 2): self = .await(guest: try FirstLine.guest(words[1]))
    case ("connect", 3):
      self = .connect(guest: try FirstLine.guest(words[1]), try FirstLine.host(words[2]))
    case ("departure", 4):
      self = .departure(
        try FirstLine.host(words[1]), guest: try FirstLine.guest(words[2]),
        migration: try FirstLine.migration(words[3]))
    case ("settle", 4):
      self = .settle(
        try FirstLine.host(words[1]), guest: try FirstLine.guest(words[2]),
        migration: try FirstLine.migration(words[3]))
    case (_, _):
      throw .malformedLine("it is none of await, connect, departure and settle with its words")
    }
  }

  /// Its first word.
  var verb: String {
    switch self {
    case .await: "await"
    case .connect: "connect"
    case .departure: "departure"
    case .settle: "settle"
    }
  }

  /// Whether it is an operator's, so that it needs more than a VMM's rights.
  var isForOperators: Bool {
    switch self {
    case .await, .connect: false
    case .departure, .settle: true
    }
  }
}
