import BatonWire
import Glibc
import LinuxOS
import MigrationCore
import RemoteMigration

private let socketPath = "/tmp/baton-fuzz-\(getpid())-remote.sock"

/// What lets a guest run on the other host, whichever side that is.
let rightReceipt = DepartureReceipt.random()

/// Where sidecars listen.
private let listener: LocalListener = {
  do {
    let listener = try LocalListener.bind(path: socketPath, kind: .stream)
    try listener.descriptor.setNonblocking(true)
    // A crash leaves the socket behind; the end of a run does not.
    atexit { unsafe unlink(socketPath) }
    return listener
  } catch { fatalError("no sidecar can be played: \(error)") }
}()

/// Of the guest on the other host, whether it goes or comes.
private let otherRAM: GuestRAM = {
  do {
    let byteCount = RegistryEnd.pageCount * 4096
    let mapping = try SharedMapping(
      try Memfd.create(name: "other", byteCount: byteCount), byteCount: Int(byteCount))
    let region = RAMRegion(guestPhysicalAddress: 0, byteCount: byteCount, file: 0, fileOffset: 0)
    guard let ram = GuestRAM(mapping, regions: [region]) else { fatalError("this is no RAM") }
    mapping.fillWords(at: 0, count: 512, first: 1, step: 1)
    return ram
  } catch { fatalError("no guest can be played: \(error)") }
}()

/// The sidecar, and behind it the VMM of another host: both do what they should, until the input says otherwise.
final class OtherHost {
  private enum Part {
    /// Nobody is connected, or has not asked yet.
    case none
    case source(OutgoingMigration)
    case target(IncomingMigration)
  }

  var path: String { socketPath }
  private let manifest: Manifest
  private var part = Part.none
  /// The connection once more, for what is not said by the part that is played.
  private var socket: StreamSocket?
  /// The migration in which this host is the source.
  private(set) var id = MigrationID.random()
  /// The other side has given its guest up, and may never run it again.
  private(set) var hasReceipt = false

  init(_ manifest: Manifest) {
    self.manifest = manifest
    // Whoever still waits is of the last input.
    while (try? listener.accept()) != nil {}
  }

  func hangUp() {
    part = .none
    socket = nil
  }

  /// Goes on as far as it goes without waiting.
  ///
  /// - Parameter id: Of the migration that begins here, if one does.
  func goOn(_ id: MigrationID) {
    do {
      try connect(id)
      switch part {
      case .none: break
      case .source(let outgoing):
        while let event = try outgoing.step(for: Self.slice) { try take(event, outgoing) }
      case .target(let incoming):
        while let event = try incoming.step(for: Self.slice) { try take(event, incoming) }
      }
    } catch {
      end(error as? MigrationFailure)
    }
  }

  private static let slice: UInt64 = 1_000_000

  /// Ends it as a VMM does.
  func end(_ failure: MigrationFailure?) {
    switch part {
    case .none: break
    case .source(let outgoing): try? outgoing.abandon(failure)
    case .target(let incoming): incoming.abandon(failure)
    }
    hangUp()
  }

  func say(bytes: [UInt8]) {
    guard !bytes.isEmpty else { return }
    if socket == nil { accept() }
    _ = try? socket?.send(bytes[...])
  }

  // MARK: The sidecar

  private func accept() {
    guard let accepted = try? listener.accept() else { return }
    try? accepted.setNonblocking(true)
    socket = StreamSocket(adopting: accepted)
  }

  /// Answers what is asked, and plays the VMM that was asked for.
  private func connect(_ id: MigrationID) throws {
    guard case .none = part else { return }
    if socket == nil { accept() }
    guard let line = try socket?.receive(maximum: 64) else { return }
    if line.isEmpty { return hangUp() }
    if line.starts(with: "await ".utf8) {
      self.id = id
      say(bytes: Array("waiting\nok south\n".utf8))
      part = .source(
        try OutgoingMigration(
          OutgoingMigration.Order(
            id: id, lock: DepartureLock(of: rightReceipt, for: id), request: MigrationRequest(host: "north"),
            guest: "vm1", epoch: 1, host: "south", build: "fuzz", socketPath: path),
          PlayedSource(),
          offer: MachineOffer(manifest: manifest, kind: .none, policy: 0, parties: [], facts: [7]),
          checks: [], connected: try stream()))
    } else {
      say(bytes: Array("ok south\n".utf8))
      part = .target(
        IncomingMigration(
          connected: try stream(), host: "south", build: "fuzz",
          maximumRAM: UInt64(otherRAM.mapping.byteCount)))
    }
  }

  private func stream() throws(SystemError) -> StreamSocket {
    guard let duplicate = try socket?.descriptor.duplicate() else { throw SystemError(.accept, code: EAGAIN) }
    return StreamSocket(adopting: duplicate)
  }

  // MARK: The VMM

  private func take(_ event: OutgoingMigration.Event, _ outgoing: OutgoingMigration) throws {
    switch event {
    case .stopGuest: _ = try outgoing.guestStopped(state: [1, 2, 3])
    case .ready:
      _ = try outgoing.finishSending()
      try outgoing.send(rightReceipt)
    case .connected, .checked, .copying, .report, .planned, .roundEnded, .sent, .running: break
    }
  }

  private func take(_ event: IncomingMigration.Event, _ incoming: IncomingMigration) throws {
    switch event {
    case .offered: try incoming.accept(PlayedTarget(), .withoutEncryption())
    case .complete: try incoming.ready(restoreNanoseconds: 1)
    case .receipt:
      hasReceipt = true
      try incoming.running(epoch: 2, realTime: 1)
    case .waiting, .connected, .receiving, .cancelled: break
    }
  }
}

/// A guest that writes nothing while it is copied.
private final class PlayedSource: OutgoingGuest {
  var ram: GuestRAM { otherRAM }

  var encryption: (any OutgoingEncryption)? { nil }
  func populatedPages() -> PageBitmap? { nil }
  func startDirtyLog() {}
  func takeDirtyPages(into pages: inout PageBitmap) {}
  func stopDirtyLog() {}
}

private final class PlayedTarget: IncomingGuest {
  var ram: GuestRAM { otherRAM }

  var encryption: (any IncomingEncryption)? { nil }
}
