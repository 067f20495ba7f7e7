import FoundationEssentials
import LinuxOS
import RegistryInterface

/// One question to this host's baton-remote, which asks the other host: a line there, a line back.
struct SidecarCall {
  /// What it answered: words after `ok`.
  typealias Answer = [Substring]

  let path: String
  let timeoutNanoseconds: UInt64

  /// Where the socket is: the option, else `$BATON_REMOTE`, else the usual place.
  static func path(_ option: String?) -> String {
    if let option { return option }
    let path = ProcessInfo.processInfo.environment["BATON_REMOTE"] ?? ""
    return path.isEmpty ? "/run/baton/remote.sock" : path
  }

  /// Longer than the sidecar's own deadlines together.
  static let defaultTimeout: UInt64 = 40_000_000_000

  private static let mostBytes = 4096

  /// Asks, and waits for the answer.
  func ask(_ question: String) throws(CommandFailure) -> Answer {
    let bytes: [UInt8]
    do throws(SystemError) {
      bytes = try exchange(Array("\(question)\n".utf8))
    } catch {
      throw Self.failure(path, error)
    }
    return try Self.parse(bytes)
  }

  private func exchange(_ question: [UInt8]) throws(SystemError) -> [UInt8] {
    let socket = try StreamSocket.connect(path: path)
    let deadline = MonotonicClock.now() &+ timeoutNanoseconds
    var rest = question[...]
    var answer: [UInt8] = []
    while true {
      if !rest.isEmpty { rest = rest.dropFirst(try socket.send(rest)) }
      if let piece = try socket.receive(maximum: Self.mostBytes) {
        answer += piece
        if piece.isEmpty || answer.contains(0x0A) || answer.count > Self.mostBytes { return answer }
        continue
      }
      let now = MonotonicClock.now()
      guard now < deadline else { return answer }
      var interests = [
        Poller.Interest(socket.descriptor.number, readable: true, writable: !rest.isEmpty)
      ]
      _ = try Poller.wait(&interests, timeoutNanoseconds: deadline - now)
    }
  }

  /// The words after `ok`, or the failure that an `error` line means.
  static func parse(_ bytes: [UInt8]) throws(CommandFailure) -> Answer {
    guard let end = bytes.firstIndex(of: 0x0A) else {
      throw CommandFailure(
        "no answer", cause: "baton-remote closed the connection or was silent for too long",
        remedy: "look at baton-remote's log", status: .failure)
    }
    let line = PlainText.clean(String(decoding: bytes[..<end], as: UTF8.self))
    let words = line.split(separator: " ")
    switch words.first {
    case "ok": return Array(words.dropFirst())
    case "error":
      let refusal = words.dropFirst().first.map { String($0) } ?? "refused"
      let sentence = words.dropFirst(2).joined(separator: " ")
      throw CommandFailure(
        "other host was not asked", cause: sentence.isEmpty ? refusal : "\(refusal): \(sentence)",
        remedy: remedy(refusal), status: refusal == "wrongPeer" ? .notAllowed : .failure)
    case _:
      throw CommandFailure(
        "answer was not understood", cause: "baton-remote said '\(line.prefix(100))'",
        remedy: "compare the versions of batonctl and baton-remote", status: .failure)
    }
  }

  private static func remedy(_ refusal: String) -> String {
    switch refusal {
    case "wrongPeerName": "check the names that both baton-remote allow, and the name in --peer"
    case "certificateInvalid": "check the certificates of both hosts"
    case "streamVersion": "compare the versions of baton-remote on both hosts"
    case "wrongPeer": "run it as root or as a member of the admin group"
    case _: "check that the other host and its baton-remote can be reached, then run it again"
    }
  }

  private static func failure(_ path: String, _ error: SystemError) -> CommandFailure {
    if error.isPermissionDenial {
      return CommandFailure(
        "not allowed", cause: "\(error)",
        remedy: "run it as root or as a member of the socket's group", status: .notAllowed)
    }
    return CommandFailure(
      "baton-remote at \(path) cannot be reached", cause: "\(error)",
      remedy: "check that baton-remote.socket runs, and --remote-socket", status: .failure)
  }
}
