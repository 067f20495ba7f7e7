public import BatonWire
public import LinuxOS
public import MigrationCore
import SEVCertificates

/// The source's end of a migration to another host, stepped by its VMM's own loop.
///
/// Poll ``interest`` for at most ``waitNanoseconds`` and call ``step(for:)`` until it gives nil. It copies the guest's
/// RAM while the guest runs, round by round, and asks with ``Event/stopGuest(expectedPauseSeconds:)`` for the
/// pause. The registry's part is the VMM's: after ``Event/ready(_:)`` it departs, calls ``finishSending()`` with the
/// registry's permission, and hands the receipt to ``send(_:)``.
///
/// A thrown ``MigrationFailure`` is final: call ``abandon(_:)``, and let the guest go on.
public final class OutgoingMigration {
  /// Which migration, and how.
  public struct Order: Hashable, Sendable {
    public var id: MigrationID
    public var lock: DepartureLock
    public var request: MigrationRequest
    public var guest: String
    /// In which the guest is owned here.
    public var epoch: UInt64
    /// This host's name and this program, for people.
    public var host: String
    public var build: String
    /// Of the sidecar.
    public var socketPath: String
    /// How long the peer may be silent.
    public var silenceNanoseconds: UInt64 = 10_000_000_000

    public init(
      id: MigrationID, lock: DepartureLock, request: MigrationRequest, guest: String, epoch: UInt64,
      host: String, build: String, socketPath: String
    ) {
      self.id = id
      self.lock = lock
      self.request = request
      self.guest = guest
      self.epoch = epoch
      self.host = host
      self.build = build
      self.socketPath = socketPath
    }
  }

  /// What the VMM is told.
  public enum Event: Sendable {
    /// The VMM on the other host answers.
    case connected(peer: String)
    /// The target can take the guest, and may.
    case checked(TargetFacts)
    /// The first pages are out.
    case copying
    /// For people, a few times a second.
    case report(MigrationReport)
    /// Of a plan, all there is: the migration is over, the guest runs on.
    case planned(MigrationReport)
    case roundEnded(round: Int, sent: PageCounts, dirtied: PageCounts, nanoseconds: UInt64)
    /// Stop the vCPUs and call ``guestStopped(state:)``.
    case stopGuest(expectedPauseSeconds: Double)
    /// Everything is out.
    case sent
    /// The target has restored all of it: ask the registry to depart.
    case ready(RestoreTimes)
    /// The target runs the guest.
    case running(FirstInstruction)
  }

  enum Stage: String {
    case connecting = "connecting to the other host"
    case greeting = "greeting the other host's VMM"
    case offering = "waiting for what the target says of itself"
    case settingUp = "agreeing on transport keys"
    case copying = "copying memory"
    case draining = "waiting until the target has a round's pages"
    case stopping = "stopping the guest"
    case lastRound = "sending the last pages"
    case closing = "waiting until the target has restored the guest"
    case departing = "waiting for the registry"
    case receipt = "waiting until the guest runs on the other host"
    case over = "over"

    /// How long it may take, in nanoseconds; nil for as long as there is progress.
    ///
    /// - Parameter ram: Of the guest, in bytes: the target makes as much before it answers the offer. A page took up to
    ///   13 microseconds where a hypervisor had to find it too: 55 s for each 16 GiB.
    func deadline(ram: UInt64) -> UInt64? {
      switch self {
      case .connecting, .greeting, .settingUp: 30_000_000_000
      case .offering: 40_000_000_000 + ((ram >> 34) + 1) * 60_000_000_000
      case .draining, .closing: 60_000_000_000
      case .copying, .stopping, .lastRound, .departing, .receipt, .over: nil
      }
    }
  }

  public let order: Order
  let guest: any OutgoingGuest
  let offer: MachineOffer
  var link: StreamLink?
  var stream = SourceStream()
  var stage = Stage.connecting
  var events: [Event] = []
  var copy: CopyState
  var pace = PaceMeters()
  private var request: SidecarRequest?
  /// When the sidecar is asked again.
  private var retry: UInt64?
  private var stageBegan: UInt64
  private var reported: UInt64 = 0
  /// The target's answer to the offer, for the plan.
  private(set) var facts: TargetFacts?
  /// What was written to a connection that is closed.
  private(set) var bytesBefore: UInt64 = 0
  /// Checks that this end made, for the plan.
  private let ownChecks: [PreflightCheck]
  /// Since when the target takes nothing of what waits to be written.
  private var stalledSince: UInt64?
  /// SEND_START was done and nothing has ended it.
  private var isSending = false

  /// Connects to the sidecar.
  ///
  /// - Parameters:
  ///   - offer: What the target is told of the guest before it decides.
  ///   - checks: What the VMM found out already, for the report of a plan.
  public convenience init(
    _ order: Order, _ guest: any OutgoingGuest, offer: MachineOffer, checks: [PreflightCheck]
  ) throws(MigrationFailure) {
    self.init(unconnected: order, guest, offer, checks)
    request = try .connect(order.guest, to: order.request.host, at: order.socketPath)
  }

  /// Does without a sidecar: sends over a connection to the target that is there already and does not block.
  public convenience init(
    _ order: Order, _ guest: any OutgoingGuest, offer: MachineOffer, checks: [PreflightCheck],
    connected socket: consuming StreamSocket
  ) throws(MigrationFailure) {
    self.init(unconnected: order, guest, offer, checks)
    try greet(socket, peer: order.request.host)
  }

  private init(
    unconnected order: Order, _ guest: any OutgoingGuest, _ offer: MachineOffer, _ checks: [PreflightCheck]
  ) {
    self.order = order
    self.guest = guest
    self.offer = offer
    ownChecks = checks
    stageBegan = MonotonicClock.now()
    copy = CopyState(pageCount: guest.ram.pageCount, isSlow: guest.encryption != nil)
  }

  // MARK: The VMM's loop

  /// What to poll: the descriptor, and whether for writing too.
  public var interest: (number: Int32, writes: Bool) {
    if let number = request?.descriptor { return (number, false) }
    guard let number = link?.number else { return (-1, false) }
    return (number, hasOutput || hasPages)
  }

  /// How long the VMM may wait for ``interest``, in nanoseconds.
  public var waitNanoseconds: UInt64 {
    if !events.isEmpty { return 0 }
    return switch stage {
    case .copying, .draining, .lastRound: 10_000_000
    case .connecting, .greeting, .offering, .settingUp, .stopping, .closing, .departing, .receipt, .over:
      100_000_000
    }
  }

  /// Goes on for a while without waiting.
  ///
  /// - Parameter nanoseconds: About how long; one call of the device may come on top.
  /// - Returns: The next thing that the VMM has to know, or nil.
  public func step(for nanoseconds: UInt64 = 40_000_000) throws(MigrationFailure) -> Event? {
    let end = MonotonicClock.now() + nanoseconds
    while true {
      if !events.isEmpty { return events.removeFirst() }
      let moved = try turn(until: end)
      if events.isEmpty, !moved || MonotonicClock.now() >= end { return nil }
    }
  }

  private func turn(until end: UInt64) throws(MigrationFailure) -> Bool {
    if stage == .connecting { return try connect() }
    guard link != nil else { return false }
    var moved = try receive()
    do throws(MigrationFailure) {
      let wrote = try flush()
      if wrote { moved = true }
      stalledSince = wrote || !hasOutput ? nil : stalledSince ?? MonotonicClock.now()
    } catch {
      // A target that refuses says so before it closes.
      _ = try receive()
      throw error
    }
    if try produce(until: end) { moved = true }
    try mindTime()
    return moved
  }

  func enter(_ next: Stage) {
    stage = next
    stageBegan = MonotonicClock.now()
  }

  // MARK: Connecting

  private func connect() throws(MigrationFailure) -> Bool {
    let now = MonotonicClock.now()
    try mindDeadline(now)
    let state: SidecarRequest.State?
    do throws(MigrationFailure) {
      if let retry, now >= retry {
        self.retry = nil
        request = try .connect(order.guest, to: order.request.host, at: order.socketPath)
      }
      state = try request?.step()
    } catch {
      // A target that has just answered a plan, or was cut off, needs a moment to wait again.
      guard error.refusal == .targetNotWaiting, now - stageBegan < Self.targetPatience else { throw error }
      request = nil
      retry = now + Self.retryInterval
      return false
    }
    guard case .connected(let peer) = state, let connected = request.take() else { return false }
    try greet(connected.takeSocket(), peer: peer)
    return true
  }

  private func greet(_ socket: consuming StreamSocket, peer: String) throws(MigrationFailure) {
    link = StreamLink(socket, now: MonotonicClock.now())
    try send(
      .preamble(
        Preamble(
          intent: order.request.isPlanOnly ? .plan : .migrate,
          required: guest.encryption == nil ? [] : [.encryptedPages], offered: .spoken, id: order.id,
          lock: order.lock, epoch: order.epoch, key: BatchKey(), guest: order.guest, host: order.host,
          build: order.build)))
    pace.asked = MonotonicClock.now()
    enter(.greeting)
    events.append(.connected(peer: peer))
  }

  // MARK: Frames

  func send(_ frame: SourceFrame) throws(MigrationFailure) {
    do throws(StreamFault) {
      link?.queue(try stream.send(frame), now: MonotonicClock.now())
    } catch {
      throw MigrationFailure(error)
    }
  }

  /// Takes what came, and acts on whole frames.
  private func receive() throws(MigrationFailure) -> Bool {
    var received = 0
    while link != nil, received < Self.mostReceived {
      let count: Int?
      do throws(SystemError) {
        count = try stream.receive { out throws(SystemError) in try link?.socket.receive(into: &out) ?? nil }
      } catch {
        throw StreamLink.lost(error)
      }
      guard let count else { break }
      received += count
      link?.noteHeard(MonotonicClock.now())
      if count == 0 {
        do throws(StreamFault) { try stream.receivedEnd() } catch { throw MigrationFailure(error) }
        bytesBefore = link?.byteCount ?? bytesBefore
        link = nil
        return true
      }
      while let frame = try nextFrame() { try take(frame) }
    }
    return received > 0
  }

  /// What is taken in one go: a peer that never stops sending must not keep the VMM from its registry.
  private static let mostReceived = 1 << 20

  private func nextFrame() throws(MigrationFailure) -> TargetFrame? {
    do throws(StreamFault) { return try stream.next() } catch { throw MigrationFailure(error) }
  }

  private func take(_ frame: TargetFrame) throws(MigrationFailure) {
    switch frame {
    case .preambleReply:
      pace.answered(now: MonotonicClock.now())
      try send(.manifest(offer))
      enter(.offering)
    case .target(let facts): try check(facts)
    case .sessionAccepted:
      pace.answered(now: MonotonicClock.now())
      try beginCopying()
    case .acknowledged(let acknowledgement):
      pace.acknowledged(acknowledgement, now: MonotonicClock.now())
    case .ready(let times):
      enter(.departing)
      events.append(.ready(times))
    case .running(let first):
      enter(.over)
      events.append(.running(first))
    case .cancel(let cancellation):
      throw MigrationFailure(
        cancellation.refusal ?? .migrationCancelled, "the target refuses: \(cancellation.text)", isPeers: true
      )
    case .keepalive: break
    }
  }

  private func check(_ facts: TargetFacts) throws(MigrationFailure) {
    self.facts = facts
    guard let encryption = guest.encryption else {
      events.append(.checked(facts))
      return try beginCopying()
    }
    guard let certificates = facts.certificates else {
      throw MigrationFailure(.certificateInvalid, "the target shows no certificates of its SEV platform")
    }
    try encryption.check(
      MigrationTarget(
        api: facts.api, hasEncryptedState: facts.hasEncryptedState,
        canReceiveRegisters: facts.canReceiveSaveAreas), showing: certificates)
    events.append(.checked(facts))
    let session = try encryption.saveSetup(for: certificates)
    isSending = true
    try send(.session(session))
    pace.asked = MonotonicClock.now()
    enter(.settingUp)
  }

  // MARK: Time

  private func mindTime() throws(MigrationFailure) {
    let now = MonotonicClock.now()
    try mindDeadline(now)
    if stage == .copying || stage == .draining { try consider(now) }
    guard let heard = link?.heard, let spoke = link?.spoke else { return }
    if now > heard, now - heard > order.silenceNanoseconds {
      throw MigrationFailure(
        .linkLost,
        "nothing was heard from the other host for \(order.silenceNanoseconds / 1_000_000) ms while "
          + stage.rawValue)
    }
    // Who only says that it lives must not keep a stopped guest waiting.
    if let stalledSince, now - stalledSince > order.silenceNanoseconds {
      throw MigrationFailure(
        .linkLost,
        "the other host took nothing for \(order.silenceNanoseconds / 1_000_000) ms while " + stage.rawValue)
    }
    if now - spoke >= Self.keepalive, stage != .over { try send(.keepalive) }
    if isReportable, now - reported >= Self.reportInterval {
      reported = now
      events.append(.report(report(now)))
    }
  }

  /// Lets the peer hear something while the VMM waits for its registry. What goes wrong shows later.
  public func keepAlive() {
    guard let spoke = link?.spoke, MonotonicClock.now() - spoke >= Self.keepalive else { return }
    do throws(MigrationFailure) {
      _ = try receive()
      try send(.keepalive)
      _ = try flush()
    } catch {
      link = nil
    }
  }

  private func mindDeadline(_ now: UInt64) throws(MigrationFailure) {
    let ram = UInt64(guest.ram.pageCount) * UInt64(GuestRAM.pageByteCount)
    guard let deadline = stage.deadline(ram: ram), now - stageBegan > deadline else { return }
    throw MigrationFailure(
      .deadlinePassed, "\(stage.rawValue) took longer than \(deadline / 1_000_000_000) s")
  }

  private var isReportable: Bool {
    switch stage {
    case .copying, .draining, .lastRound, .closing: true
    case .connecting, .greeting, .offering, .settingUp, .stopping, .departing, .receipt, .over: false
    }
  }

  private static let targetPatience: UInt64 = 3_000_000_000
  private static let retryInterval: UInt64 = 100_000_000
  private static let keepalive: UInt64 = 1_000_000_000
  private static let reportInterval: UInt64 = 250_000_000

  // MARK: The end

  /// SEND_FINISH, with the registry's permission: from here on the guest can run on the target alone.
  ///
  /// - Returns: Where nobody can say whether it was done, that: then the guest never runs here again either.
  /// - Throws: When the target has gone or ended it meanwhile, too: nothing was done then.
  public func finishSending() throws(MigrationFailure) -> SendingEnd {
    _ = try receive()
    guard link != nil else {
      throw MigrationFailure(.linkLost, "the link to the other host broke before the guest was given up")
    }
    let end = try guest.encryption?.finish() ?? .finished
    isSending = false
    return end
  }

  /// Sends what lets the target's registry run the guest. The registry here has given it up before.
  public func send(_ receipt: DepartureReceipt) throws(MigrationFailure) {
    try send(.receipt(receipt))
    enter(.receipt)
    _ = try flush()
  }

  /// Whether the connection to the target still stands.
  public var isConnected: Bool { link != nil }

  /// Gives the migration up: tells the target why, takes the guest back from the device.
  ///
  /// Not after ``finishSending()``.
  ///
  /// - Throws: When the device does not take the guest back (SEND_CANCEL); it may run on then too, and cannot be
  ///   sent again.
  public func abandon(_ failure: MigrationFailure?) throws(MigrationFailure) {
    if stage != .connecting, stage != .over { guest.stopDirtyLog() }
    if failure?.isPeers != true, link != nil {
      let text = failure?.text ?? ""
      try? send(.cancel(Cancellation(refusal: failure?.refusal, text: MigrationReport.shortened(text))))
      _ = try? flush()
    }
    close()
    try cancelSending()
  }

  /// SEND_CANCEL, if there is something to be taken back. The target is told nothing yet.
  public func cancelSending() throws(MigrationFailure) {
    guard isSending else { return }
    isSending = false
    try guest.encryption?.cancel()
  }

  /// Closes the connection, after everything was said.
  public func close() {
    enter(.over)
    request = nil
    retry = nil
    bytesBefore = link?.byteCount ?? bytesBefore
    if let link = link.take() { Farewell.say(link.takeSocket()) }
  }

  /// The checks of a plan: this end's and the target's.
  var checks: [PreflightCheck] { ownChecks + (facts?.checks ?? []) }
}

extension MigrationFailure {
  /// What the stream found wrong.
  public init(_ fault: StreamFault) { self.init(fault.refusal, "\(fault)") }
}

extension MigrationReport {
  /// A text as long as a report or a cancel may have it, cut at a character's end.
  static func shortened(_ text: String) -> String {
    var rest = text[...]
    while rest.utf8.count > maximumText { rest.removeLast() }
    return String(rest)
  }
}
