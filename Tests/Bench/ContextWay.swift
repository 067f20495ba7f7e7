/// How a guest's context goes to the successor.
enum ContextWay: String, Codable, CaseIterable {
  /// LOCAL_SEND and LOCAL_RECEIVE.
  case token
  /// VM_MOVE_ENC_CONTEXT_FROM.
  case move

  /// What handoffs of a guest with so much RAM are called; those by token are the usual ones.
  func name(_ ramMebibytes: Int) -> String {
    switch self {
    case .token: "\(ramMebibytes) MiB"
    case .move: "\(ramMebibytes) MiB, way move"
    }
  }

  /// The phases of the C program, in the order of time.
  var floorPhases: [String] {
    switch self {
    case .token: ["stop", "localSend", "stage", "claim", "localReceive", "received", "verdict", "run"]
    case .move: ["stop", "stage", "claim", "move", "received", "verdict", "run"]
    }
  }
}
