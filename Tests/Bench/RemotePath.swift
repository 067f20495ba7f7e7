import Harness
import LinuxOS

/// The way from one VMM to another through two sidecars, in raw bytes, beside iperf3 and bulk TLS 1.3 streams of
/// openssl's programs and of socat, in turns.
struct RemotePath {
  let workspace: Workspace

  func measure(_ plan: BenchPlan.Remote) throws -> Results.Remote {
    let port = 20_000 + Int(ThisProcess.pid) % 20_000
    let peers = RemoteTools(workspace: workspace, port: port + 1)
    try peers.makeCertificate()
    let target = try start("south", port: port)
    let source = try start("north", port: port + 2)
    defer {
      source.kill()
      target.kill()
    }
    var path = Distribution()
    var stream = Distribution()
    var socat = Distribution()
    var plain = Distribution()
    var processorSeconds = 0.0
    for round in 1...plan.rounds {
      Progress.say("remote, round \(round) of \(plan.rounds): \(plan.mebibytes) MiB each way")
      let before = try source.processorSeconds() + target.processorSeconds()
      let carried = try carry(mebibytes: plan.mebibytes, port: port)
      path.record(nanoseconds: Self.perGibibyte(carried, plan.mebibytes))
      processorSeconds += try source.processorSeconds() + target.processorSeconds() - before
      if let time = try peers.openSSL(mebibytes: plan.mebibytes) {
        stream.record(nanoseconds: Self.perGibibyte(time, plan.mebibytes))
      }
      if let time = try peers.socat(mebibytes: plan.mebibytes) {
        socat.record(nanoseconds: Self.perGibibyte(time, plan.mebibytes))
      }
      if let time = try peers.iperf3(mebibytes: plan.mebibytes) {
        plain.record(nanoseconds: Self.perGibibyte(time, plan.mebibytes))
      }
    }
    Progress.say("remote: \(plan.largeMebibytes) MiB in one piece, for the memory")
    _ = try carry(mebibytes: plan.largeMebibytes, port: port)
    guard let figures = path.figures else { throw BenchError("nothing was carried") }
    return Results.Remote(
      mebibytes: plan.mebibytes, path: figures, openSSL: stream.figures, socat: socat.figures,
      iperf3: plain.figures,
      processorSecondsPerGibibyte: processorSeconds * 1024 / Double(plan.rounds * plan.mebibytes),
      largeMebibytes: plan.largeMebibytes, sourceByteCount: try source.largestResidentByteCount(),
      targetByteCount: try target.largestResidentByteCount())
  }

  private static func perGibibyte(_ nanoseconds: UInt64, _ mebibytes: Int) -> UInt64 {
    nanoseconds * 1024 / UInt64(mebibytes)
  }

  private func start(_ name: String, port: Int) throws -> RunningProgram {
    let ready = workspace.path("\(name).ready")
    let program = try workspace.start(
      "baton-remote",
      [
        "--listen", "127.0.0.1:\(port)", "--socket", workspace.path(name), "--cert",
        workspace.path("remote.pem"),
        "--key", workspace.path("remote.key"), "--ca", workspace.path("remote.pem"), "--allow", "localhost",
        "--quiet",
      ], output: ready, log: "\(name).log")
    for _ in 0..<500 {
      if let text = try? TextFile.read(ready), !text.isEmpty { return program }
      guard program.isRunning else { break }
      Wait.pause(milliseconds: 10)
    }
    throw BenchError("baton-remote does not serve; \(RunningProgram.tail(workspace.path("\(name).log")))")
  }

  // MARK: One stream

  /// Carries so many bytes from a socket of the one sidecar to one of the other; nanoseconds from the first one sent
  /// to the last one received.
  private func carry(mebibytes: Int, port: Int) throws -> UInt64 {
    let receiver = try RemoteStream(path: workspace.path("south"), line: "await bench")
    try receiver.expect("waiting")
    let sender = try RemoteStream(path: workspace.path("north"), line: "connect bench localhost:\(port)")
    try sender.expect("ok")
    try receiver.expect("ok")
    let byteCount = UInt64(mebibytes) << 20
    let start = MonotonicClock.now()
    let thread = try OSThread(name: "sender") { sender.send(byteCount) }
    let received = try receiver.receiveAll()
    let end = MonotonicClock.now()
    thread.join()
    guard received == byteCount else {
      throw BenchError("\(received) of \(byteCount) bytes came through the sidecars")
    }
    receiver.end()
    return end - start
  }
}

/// A VMM's end of a stream, as far as sending and receiving go.
private final class RemoteStream: Sendable {
  private let socket: StreamSocket
  private static let bufferByteCount = 256 << 10

  init(path: String, line: String) throws {
    socket = try StreamSocket.connect(path: path)
    // As a VMM does; where the host allows less it is less.
    try socket.setSendBuffer(byteCount: 1 << 20)
    let bytes = Array("\(line)\n".utf8)
    guard try socket.send(bytes[...]) == bytes.count else {
      throw BenchError("the sidecar takes no first line")
    }
  }

  private func wait(writable: Bool) throws {
    var interests = [Poller.Interest(socket.descriptor.number, readable: !writable, writable: writable)]
    guard try Poller.wait(&interests, timeoutNanoseconds: 60_000_000_000) > 0 else {
      throw BenchError("the stream stood still for a minute")
    }
  }

  /// Reads a line that begins with a word.
  func expect(_ word: String) throws {
    var line: [UInt8] = []
    while line.last != UInt8(ascii: "\n") {
      guard let byte = try socket.receive(maximum: 1) else {
        try wait(writable: false)
        continue
      }
      if byte.isEmpty { break }
      line += byte
    }
    let text = String(decoding: line, as: UTF8.self)
    guard text.hasPrefix(word) else {
      throw BenchError("the sidecar said '\(text)' where \(word) was to come")
    }
  }

  func send(_ byteCount: UInt64) {
    let block = [UInt8](repeating: 0xA5, count: Self.bufferByteCount)
    var left = byteCount
    while left > 0 {
      // A stream that fails is noticed by who receives.
      guard let count = try? socket.send(block[..<Int(min(left, UInt64(block.count)))]) else { return }
      left -= UInt64(count)
      if count == 0, (try? wait(writable: true)) == nil { return }
    }
    end()
  }

  func end() { try? socket.endSending() }

  func receiveAll() throws -> UInt64 {
    var total: UInt64 = 0
    var buffer: [UInt8] = []
    buffer.reserveCapacity(Self.bufferByteCount)
    while true {
      buffer.removeAll(keepingCapacity: true)
      var count: Int?
      try buffer.append(addingCapacity: Self.bufferByteCount) { span throws(SystemError) in
        count = try socket.receive(into: &span)
      }
      if count == 0 { return total }
      total += UInt64(count ?? 0)
      if count == nil { try wait(writable: false) }
    }
  }
}
