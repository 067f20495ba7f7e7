import BatonWire
public import LinuxOS

/// The first lines on a connection to the sidecar, after which it is a pipe to the VMM on the other host.
///
/// Steps without waiting; poll ``descriptor`` for reading.
public struct SidecarRequest: ~Copyable {
  /// What came of it so far.
  public enum State: Hashable, Sendable {
    case asked
    /// Waits for a source (`await` only).
    case waiting
    /// The connection is a pipe to the VMM on this host now.
    case connected(peer: String)
  }

  private let socket: StreamSocket
  private var unsent: ArraySlice<UInt8>
  private var line: [UInt8] = []
  public private(set) var state = State.asked

  /// The longest line that the sidecar may answer, in bytes.
  private static let longestLine = 1024

  /// The connection, to poll.
  public var descriptor: Int32 { socket.descriptor.number }

  /// Asks for a connection to the VMM that waits for the guest on another host.
  ///
  /// - Throws: ``MigrationFailure`` with `remoteUnreachable` when there is no sidecar.
  public static func connect(
    _ guest: String, to host: String, at path: String
  ) throws(MigrationFailure) -> SidecarRequest {
    try SidecarRequest("connect \(guest) \(host)\n", path)
  }

  /// Waits for a guest that comes from another host.
  public static func await(_ guest: String, at path: String) throws(MigrationFailure) -> SidecarRequest {
    try SidecarRequest("await \(guest)\n", path)
  }

  private init(_ request: String, _ path: String) throws(MigrationFailure) {
    do throws(SystemError) {
      socket = try StreamSocket.connect(path: path)
    } catch {
      throw MigrationFailure(
        .remoteUnreachable, "no sidecar to other hosts answers at \(path): \(error); start baton-remote")
    }
    unsent = Array(request.utf8)[...]
    // With less the two processes take turns. Where it is refused it only takes longer.
    try? socket.setSendBuffer(byteCount: 1 << 20)
  }

  /// Goes on as far as it goes without waiting.
  public mutating func step() throws(MigrationFailure) -> State {
    while !unsent.isEmpty {
      let count = try onSocket { socket throws(SystemError) in try socket.send(unsent) }
      guard count > 0 else { break }
      unsent = unsent.dropFirst(count)
    }
    // One byte at a time: what follows the line belongs to the stream.
    while true {
      if case .connected = state { return state }
      guard let bytes = try onSocket({ socket throws(SystemError) in try socket.receive(maximum: 1) }) else {
        return state
      }
      guard let byte = bytes.first else {
        throw MigrationFailure(.remoteUnreachable, "the sidecar to other hosts closed the connection")
      }
      if byte == UInt8(ascii: "\n") {
        let whole = String(decoding: line, as: UTF8.self)
        line.removeAll()
        try take(whole)
      } else {
        guard line.count < Self.longestLine else {
          throw MigrationFailure(.remoteUnreachable, "the sidecar's answer is no line")
        }
        line.append(byte)
      }
    }
  }

  private borrowing func onSocket<Result>(
    _ body: (borrowing StreamSocket) throws(SystemError) -> Result
  ) throws(MigrationFailure) -> Result {
    do throws(SystemError) { return try body(socket) } catch {
      throw MigrationFailure(.remoteUnreachable, "the sidecar to other hosts: \(error)")
    }
  }

  private mutating func take(_ line: String) throws(MigrationFailure) {
    let words = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
    switch words.first {
    case "waiting" where words.count == 1: state = .waiting
    case "ok" where words.count == 2: state = .connected(peer: String(words[1]))
    case "error" where words.count == 3:
      let refusal = Refusal.allCases.first { $0.name == words[1] } ?? .remoteUnreachable
      throw MigrationFailure(refusal, String(words[2]))
    case _: throw MigrationFailure(.remoteUnreachable, "the sidecar answered '\(line)'")
    }
  }

  /// The pipe, once it is connected.
  public consuming func takeSocket() -> StreamSocket { socket }
}
