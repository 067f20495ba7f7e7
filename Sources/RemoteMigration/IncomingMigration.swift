public import BatonWire
import EncryptionStatus
public import LinuxOS
public import MigrationCore

/// What the target of a migration asks of its VMM. All calls come from the thread that steps the migration.
public protocol IncomingGuest: AnyObject {
  /// All zeros at the begin, and best with every page there already: one that has to be found when it comes costs
  /// several times as long as its copy.
  var ram: GuestRAM { get }
  /// nil for a guest whose memory the host reads.
  var encryption: (any IncomingEncryption)? { get }
}

/// The target's end of a migration from another host, stepped by its VMM's own loop.
///
/// Poll ``interest`` for at most ``waitNanoseconds`` and call ``step(for:)`` until it gives nil. The VMM answers
/// ``Event/offered(_:_:)`` with ``accept(_:_:)`` or ``abandon(_:)``, and ``Event/complete(state:)`` with
/// ``ready(restoreNanoseconds:)`` once it has restored the guest and its registry has the arrival in its journal.
/// From then on only the registry decides: a link that breaks is no failure, see ``hasArrived``.
///
/// A thrown ``MigrationFailure`` is final for the connection: call ``abandon(_:)``.
public final class IncomingMigration {
  public enum Event: Sendable {
    /// The sidecar waits for a source.
    case waiting
    /// The VMM on the other host is there.
    case connected(peer: String)
    /// What is to come. With the intent `plan` it is not going to come: answer as if it were.
    case offered(Preamble, MachineOffer)
    /// The first pages are in RAM.
    case receiving
    /// Everything is here, and with SEV the firmware's RECEIVE_FINISH was done.
    case complete(state: [UInt8])
    /// The source's registry gave the guest up: present it to this host's.
    case receipt(DepartureReceipt)
    /// The source has ended it: nil after a plan.
    case cancelled(Refusal?, String)
  }

  private enum Stage: String {
    case waiting = "waiting for a source"
    case greeting = "waiting for the source's offer"
    case deciding = "deciding about the offer"
    case receiving = "receiving memory"
    case restoring = "restoring the guest"
    case arrived = "waiting for the receipt"
    case presenting = "waiting for the registry"
    case over = "over"
  }

  private let host: String
  private let build: String
  private let silenceNanoseconds: UInt64
  private var request: SidecarRequest?
  private var link: StreamLink?
  private var stream: TargetStream
  private var stage = Stage.waiting
  private var isWaiting = false
  private var events: [Event] = []
  private var guest: (any IncomingGuest)?
  /// Pages that were written, so that the others are known to be zero without being read.
  private var touched = PageBitmap(pageCount: 0)
  private var deviceNanoseconds: UInt64 = 0
  private var finishNanoseconds: UInt64 = 0
  private var hasPages = false
  private var state: [UInt8] = []
  private var regions = SharedRegions()
  /// Where in all that this end writes its word begins that everything is here.
  private var readyOffset: UInt64?
  /// What was written to a connection that is closed.
  private var writtenBefore: UInt64 = 0
  /// Since when the source takes nothing of what waits to be written.
  private var stalledSince: UInt64?
  /// Whose VMM the guest comes from, by its certificate.
  public private(set) var peer = ""

  /// Asks the sidecar to wait for a guest.
  ///
  /// - Parameters:
  ///   - host: This host's name, for people.
  ///   - maximumRAM: The most that is received, in bytes; more is refused before anything is allocated.
  public init(
    _ guest: String, at socketPath: String, host: String, build: String,
    silenceNanoseconds: UInt64 = 10_000_000_000, maximumRAM: UInt64
  ) throws(MigrationFailure) {
    self.host = host
    self.build = build
    self.silenceNanoseconds = silenceNanoseconds
    stream = TargetStream(maximumRAM: maximumRAM)
    request = try .await(guest, at: socketPath)
  }

  /// Does without a sidecar: receives over a connection to a source that is there already and does not block.
  public init(
    connected socket: consuming StreamSocket, host: String, build: String,
    silenceNanoseconds: UInt64 = 10_000_000_000, maximumRAM: UInt64
  ) {
    self.host = host
    self.build = build
    self.silenceNanoseconds = silenceNanoseconds
    stream = TargetStream(maximumRAM: maximumRAM)
    link = StreamLink(socket, now: MonotonicClock.now())
    stage = .greeting
  }

  // MARK: The VMM's loop

  public var interest: (number: Int32, writes: Bool) {
    if let number = request?.descriptor { return (number, false) }
    // What comes stays where it is, so that waiting for it would be no waiting.
    guard let number = link?.number, !isChoked else { return (-1, false) }
    return (number, link?.hasOutput == true)
  }

  /// A source that does not read what it asked for is not listened to either: else what waits for it would be all of
  /// this host's memory before long.
  private var isChoked: Bool { (link?.waitingByteCount ?? 0) >= Self.mostWaiting }

  /// How long the VMM may wait for ``interest``, in nanoseconds.
  public var waitNanoseconds: UInt64 {
    if isChoked { return 10_000_000 }
    if stream.pagesToTake > 0 || !events.isEmpty { return 0 }
    return stage == .waiting ? 1_000_000_000 : 100_000_000
  }

  /// Whether the registry has the arrival: nothing that happens to the link changes anything then.
  public var hasArrived: Bool { stage == .arrived || stage == .presenting }
  public var isConnected: Bool { link != nil }
  /// Whether the source may have heard that everything is here, and so may give the guest up.
  public var hasSaidReady: Bool { readyOffset.map { (link?.byteCount ?? writtenBefore) > $0 } ?? false }
  public var intent: MigrationIntent? { stream.preamble?.intent }

  /// Goes on for a while without waiting.
  ///
  /// - Parameter nanoseconds: About how long; one call of the device may come on top.
  /// - Returns: The next thing that the VMM has to know, or nil.
  public func step(for nanoseconds: UInt64 = 40_000_000) throws(MigrationFailure) -> Event? {
    endSilence()
    let end = MonotonicClock.now() + nanoseconds
    while true {
      if !events.isEmpty { return events.removeFirst() }
      let moved = try turn(until: end)
      if events.isEmpty, !moved || MonotonicClock.now() >= end { return nil }
    }
  }

  private func turn(until end: UInt64) throws(MigrationFailure) -> Bool {
    if request != nil { return try connect() }
    guard link != nil else { return false }
    var moved = false
    if !isChoked {
      moved = try takePages(until: end)
      if stream.pagesToTake == 0, events.isEmpty, try receive() { moved = true }
    }
    do throws(MigrationFailure) {
      let wrote = try link?.flush() == true
      if wrote { moved = true }
      stalledSince = wrote || link?.hasOutput != true ? nil : stalledSince ?? MonotonicClock.now()
    } catch {
      // A source that ends it says so before it closes; one that goes on sending is not listened to for ever.
      for _ in 0..<64 {
        guard events.isEmpty, stream.pagesToTake == 0, try receive() else { break }
      }
      if events.isEmpty { throw error }
    }
    try mindTime()
    return moved
  }

  private func connect() throws(MigrationFailure) -> Bool {
    switch try request?.step() {
    case .waiting where !isWaiting:
      isWaiting = true
      events.append(.waiting)
      return true
    case .connected(let peer):
      guard let connected = request.take() else { return false }
      link = StreamLink(connected.takeSocket(), now: MonotonicClock.now())
      self.peer = peer
      stage = .greeting
      events.append(.connected(peer: peer))
      return true
    case .asked, .waiting, nil: return false
    }
  }

  // MARK: Frames

  private func send(_ frame: TargetFrame) throws(MigrationFailure) {
    do throws(StreamFault) {
      link?.queue(try stream.send(frame), now: MonotonicClock.now())
    } catch {
      throw MigrationFailure(error)
    }
  }

  /// Takes what came, and acts on whole frames; stops at pages.
  private func receive() throws(MigrationFailure) -> Bool {
    if try takeFrames() { return true }
    let count: Int?
    do throws(SystemError) {
      count = try stream.receive { out throws(SystemError) in try link?.socket.receive(into: &out) ?? nil }
    } catch {
      throw StreamLink.lost(error)
    }
    guard let count else { return false }
    link?.noteHeard(MonotonicClock.now())
    if count == 0 {
      writtenBefore = link?.byteCount ?? writtenBefore
      do throws(StreamFault) { try stream.receivedEnd() } catch { throw MigrationFailure(error) }
      link = nil
      return true
    }
    _ = try takeFrames()
    return true
  }

  /// Acts on frames that are complete; false when there is none.
  private func takeFrames() throws(MigrationFailure) -> Bool {
    var took = false
    while stream.pagesToTake == 0, let event = try nextEvent() {
      took = true
      switch event {
      case .batch: break
      case .frame(let frame): try take(frame)
      }
      // The VMM is asked first.
      if !events.isEmpty { return true }
    }
    return took
  }

  private func nextEvent() throws(MigrationFailure) -> TargetStream.Event? {
    do throws(StreamFault) { return try stream.next() } catch { throw MigrationFailure(error) }
  }

  private func take(_ frame: SourceFrame) throws(MigrationFailure) {
    switch frame {
    case .preamble: try send(stream.reply(host: host, build: build))
    case .manifest(let offer):
      guard let preamble = stream.preamble else { return }
      stage = .deciding
      events.append(.offered(preamble, offer))
    case .session(let session):
      try guest?.encryption?.loadSetup(session)
      try send(.sessionAccepted)
    case .roundEnd: break
    case .sharedRegions(let regions): self.regions = regions
    case .saveArea(let packet): try guest?.encryption?.loadRegisters(packet)
    case .state(let chunk): state.append(contentsOf: chunk.bytes)
    case .end: try complete()
    case .receipt(let receipt):
      stage = .presenting
      events.append(.receipt(receipt))
    case .cancel(let cancellation):
      events.append(.cancelled(cancellation.refusal, PeerText.visible(cancellation.text)))
      stage = .over
    case .keepalive: break
    }
  }

  private func complete() throws(MigrationFailure) {
    let begin = MonotonicClock.now()
    if let encryption = guest?.encryption {
      beginSilence()
      defer { endSilence() }
      try encryption.loadRegions(regions)
      try encryption.finish()
    }
    finishNanoseconds = MonotonicClock.now() - begin
    stage = .restoring
    events.append(.complete(state: state))
    state = []
  }

  // MARK: Pages

  private func takePages(until end: UInt64) throws(MigrationFailure) -> Bool {
    guard stream.pagesToTake > 0, let guest else { return false }
    let begin = MonotonicClock.now()
    var now = begin
    while stream.pagesToTake > 0 {
      _ = try stream.takePage { (page, header, data) throws(MigrationFailure) in
        try put(page, header, data, guest)
      }
      // A plain page takes less than a look at the clock.
      if guest.encryption != nil {
        now = MonotonicClock.now()
        if now >= end { break }
      }
    }
    deviceNanoseconds += MonotonicClock.now() - begin
    if stream.pagesToTake == 0 {
      if let acknowledgement = stream.acknowledgement(deviceNanoseconds: deviceNanoseconds) {
        try send(acknowledgement)
      }
      if !hasPages {
        hasPages = true
        events.append(.receiving)
      }
    }
    return true
  }

  private func put(
    _ page: BatchPage, _ header: Span<UInt8>, _ data: Span<UInt8>, _ guest: any IncomingGuest
  ) throws(MigrationFailure) {
    let ram = guest.ram
    guard let number = ram.page(ofFrame: page.frame) else {
      throw MigrationFailure(.streamDamaged, "frame \(page.frame) is no RAM of the guest")
    }
    let offset = number * GuestRAM.pageByteCount
    switch page.kind {
    case .zero:
      if touched.contains(number) { ram.mapping.clear(at: offset, count: GuestRAM.pageByteCount) }
    case .plain:
      touched.insert(number)
      ram.mapping.write(data, at: offset)
    case .encrypted:
      guard let encryption = guest.encryption else {
        throw MigrationFailure(.streamDamaged, "an encrypted page came for a guest that is not encrypted")
      }
      touched.insert(number)
      try encryption.loadIncomingPage(header: header, data: data, at: ram.address(ofPage: number))
    }
  }

  // MARK: Time

  private func mindTime() throws(MigrationFailure) {
    guard let heard = link?.heard, let spoke = link?.spoke else { return }
    let now = MonotonicClock.now()
    if stage != .over, now > heard, now - heard > silenceNanoseconds {
      throw MigrationFailure(
        .linkLost,
        "nothing was heard from the other host for \(silenceNanoseconds / 1_000_000) ms while \(stage.rawValue)"
      )
    }
    if stage != .over, let stalledSince, now - stalledSince > silenceNanoseconds {
      throw MigrationFailure(
        .linkLost,
        "the other host took nothing for \(silenceNanoseconds / 1_000_000) ms while \(stage.rawValue)")
    }
    guard stage != .over, stream.preamble != nil, !isChoked else { return }
    if now - spoke >= Self.keepalive { try send(.keepalive) }
  }

  private static let keepalive: UInt64 = 1_000_000_000
  /// In bytes: some thousand acknowledgements, which an honest source never has outstanding.
  private static let mostWaiting = 64 << 10

  /// Lets the source hear once a second that this end lives until the next call of any other method: the VMM does
  /// something that takes long, such as making the guest's RAM or restoring its state.
  public func beginSilence() {
    endSilence()
    guard stage != .over, stream.preamble != nil else { return }
    _ = try? link?.flush()
    // What waits to be written goes first, and only this thread knows how much of it went.
    guard link?.hasOutput == false, let frame = try? stream.send(.keepalive) else { return }
    link?.beginSilence(saying: frame)
  }

  private func endSilence() { link?.endSilence() }

  /// Lets the peer hear something while the VMM waits for its registry. What goes wrong shows later.
  public func keepAlive() {
    endSilence()
    guard let spoke = link?.spoke, MonotonicClock.now() - spoke >= Self.keepalive else { return }
    try? send(.keepalive)
    _ = try? link?.flush()
  }

  // MARK: The VMM's answers

  /// Takes the offer.
  public func accept(_ guest: any IncomingGuest, _ facts: TargetFacts) throws(MigrationFailure) {
    endSilence()
    DepartureLock.rehearse()
    self.guest = guest
    touched = PageBitmap(pageCount: guest.ram.pageCount)
    stage = .receiving
    try send(.target(facts))
    _ = try link?.flush()
  }

  /// Says that the guest is restored and that this host's registry has its arrival in the journal.
  public func ready(restoreNanoseconds: UInt64) throws(MigrationFailure) {
    endSilence()
    stage = .arrived
    readyOffset = link?.nextOffset
    try send(
      .ready(RestoreTimes(finishNanoseconds: finishNanoseconds, restoreNanoseconds: restoreNanoseconds)))
    _ = try link?.flush()
  }

  /// Says that the guest runs here.
  ///
  /// - Parameter realTime: `CLOCK_REALTIME` of its first instruction, in nanoseconds.
  public func running(epoch: UInt64, realTime: UInt64) throws(MigrationFailure) {
    endSilence()
    try send(.running(FirstInstruction(epoch: epoch, nanoseconds: realTime)))
    _ = try link?.flush()
    stage = .over
  }

  /// Tells the source why it does not come about, if it can be told, and closes the connection.
  ///
  /// After ``ready(restoreNanoseconds:)`` nothing is said any more: the registries settle it.
  public func abandon(_ failure: MigrationFailure?) {
    endSilence()
    if let failure, !failure.isPeers, !hasArrived, stage != .over, link != nil {
      try? send(
        .cancel(Cancellation(refusal: failure.refusal, text: MigrationReport.shortened(failure.text))))
      _ = try? link?.flush()
    }
    stage = .over
    request = nil
    if let link = link.take() { Farewell.say(link.takeSocket()) }
  }

  /// Makes RAM as it was when it was accepted: every page zero that was received. For a VMM that keeps it for the next
  /// source, once this one is abandoned and nothing else has written to it.
  ///
  /// - Complexity: O(pages received).
  public func erase() {
    guard let ram = guest?.ram else { return }
    var next = 0
    while let page = touched.first(from: next) {
      ram.mapping.clear(at: page * GuestRAM.pageByteCount, count: GuestRAM.pageByteCount)
      next = page + 1
    }
    touched.removeAll()
  }
}
