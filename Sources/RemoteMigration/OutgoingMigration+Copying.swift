import BatonWire
import EncryptionStatus
import LinuxOS
public import MigrationCore

/// Rounds of pages.
extension OutgoingMigration {
  var hasOutput: Bool { copy.written != nil || link?.hasOutput == true }

  /// Whether pages could be sent now.
  var hasPages: Bool {
    switch stage {
    case .copying: (isEchoing ? isEchoDue : !isProbeFull) && copy.nextBatch <= MonotonicClock.now()
    case .lastRound: true
    case .connecting, .greeting, .offering, .settingUp, .draining, .stopping, .closing, .departing, .receipt,
      .over:
      false
    }
  }

  // MARK: Begin

  func beginCopying() throws(MigrationFailure) {
    _ = guest.encryption?.refreshRegions()
    // First the log: a page that is written between the two is sent twice at worst.
    try guest.startDirtyLog()
    copy.populated = guest.populatedPages()
    copy.pending.insertAll()
    copy.toSend = count(copy.pending)
    copy.began = MonotonicClock.now()
    copy.roundBegan = copy.began
    copy.traced = copy.began
    copy.hasBegun = true
    enter(.copying)
  }

  /// How these pages will be sent, as far as that can be told without reading them.
  func count(_ pages: borrowing PageBitmap) -> PageCounts {
    var counts = PageCounts()
    var at = 0
    while let page = pages.first(from: at) {
      if isEncrypted(page) {
        counts.encrypted += 1
      } else if copy.populated?.contains(page) == false {
        counts.zero += 1
      } else {
        counts.plain += 1
      }
      at = page + 1
    }
    return counts
  }

  private func isEncrypted(_ page: Int) -> Bool {
    guard let encryption = guest.encryption else { return false }
    return !encryption.isShared(guest.ram.frame(ofPage: page))
  }

  // MARK: Batches

  /// Writes what waits: the batch that was begun, then other frames.
  func flush() throws(MigrationFailure) -> Bool {
    var wrote = false
    if let written = copy.written {
      let bytes = copy.batch.bytes
      let count = try link?.write(bytes, from: written) ?? 0
      wrote = count > 0
      copy.written = written + count == bytes.count ? nil : written + count
      guard copy.written == nil else { return wrote }
    }
    if try link?.flush() == true { wrote = true }
    return wrote
  }

  /// Makes the next batch, or ends the round.
  ///
  /// - Returns: Whether anything was made.
  func produce(until end: UInt64) throws(MigrationFailure) -> Bool {
    switch stage {
    case .draining: return try finishRound()
    case .copying, .lastRound: break
    case .connecting, .greeting, .offering, .settingUp, .stopping, .closing, .departing, .receipt, .over:
      return false
    }
    guard !hasOutput, hasPages else { return false }
    copy.batch.clear()
    let began = MonotonicClock.now()
    let sent = try fill(until: end)
    if sent.zero > 0, sent.zero == sent.total {
      pace.foundZeros(sent.zero, nanoseconds: MonotonicClock.now() - began)
    }
    if copy.batch.isEmpty {
      if stage == .lastRound { try sendRest() } else { try endRound() }
      return true
    }
    let isFirst = copy.sent.total == 0 && copy.sentBefore.total == 0
    let sequence = stream.totals.batches
    do throws(StreamFault) { try stream.seal(&copy.batch) } catch { throw MigrationFailure(error) }
    pace.sent(sent, sequence: sequence, began: began, made: MonotonicClock.now(), isEcho: isEchoing)
    if isEchoing { copy.echoes += 1 }
    copy.sent = copy.sent + sent
    copy.written = 0
    let bandwidth = order.request.bandwidthBytesPerSecond
    // In the pause the guest waits, and the limit does not count.
    if bandwidth > 0, stage == .copying {
      let bytes = UInt64(copy.batch.bytes.count)
      copy.nextBatch = max(copy.nextBatch, MonotonicClock.now()) + bytes * 1_000_000_000 / bandwidth
    }
    _ = try flush()
    if isFirst { events.append(.copying) }
    return true
  }

  /// Fills the batch with the next pages of the round.
  private func fill(until end: UInt64) throws(MigrationFailure) -> PageCounts {
    var sent = PageCounts()
    let page = GuestRAM.pageByteCount
    let ram = guest.ram
    let limit = isEchoing ? 1 : .max
    while !copy.batch.isFull, sent.total < limit, let next = copy.pending.first(from: copy.cursor),
      next < endOfProbe ?? .max
    {
      let frame = ram.frame(ofPage: next)
      if let encryption = guest.encryption, !encryption.isShared(frame) {
        let before = MonotonicClock.now()
        // One slow call more is fine, many are not.
        if sent.total > 0, before >= end { break }
        try copy.batch.appendEncrypted(frame) { packet throws(MigrationFailure) in
          try encryption.saveOutgoingPage(at: ram.address(ofPage: next), into: &packet)
        }
        pace.device.add(1, nanoseconds: MonotonicClock.now() - before)
        sent.encrypted += 1
      } else if copy.populated?.contains(next) == false || ram.isZero(page: next) {
        copy.batch.appendZero(frame)
        sent.zero += 1
      } else {
        copy.batch.appendPlain(frame) { bytes in
          ram.mapping.read(at: next * page, count: page, into: &bytes)
        }
        sent.plain += 1
      }
      copy.cursor = next + 1
    }
    return sent
  }

  // MARK: Rounds

  private func endRound() throws(MigrationFailure) {
    try send(.roundEnd(stream.roundSoFar))
    enter(.draining)
  }

  /// Goes on once the target has all pages of the round: only then is known how long it took.
  private func finishRound() throws(MigrationFailure) -> Bool {
    guard !hasOutput, stream.batchesUnacknowledged == 0 else { return false }
    // Without a plan there is nothing to decide by.
    if copy.pilot == nil { try decidePlan(MonotonicClock.now()) }
    guard var pilot = copy.pilot else { return true }
    let drained = MonotonicClock.now()
    try collectDirty()
    // What was zero in the first round and was written since is known as dirty.
    copy.populated = nil
    let now = MonotonicClock.now()
    let dirtied = count(copy.dirty)
    copy.logNanoseconds = MonotonicClock.now() - drained
    pilot.remeasured(roundTripSeconds: roundTripSeconds, logSeconds: logSeconds)
    let took = now - copy.roundBegan
    let round = pilot.round
    let decision = pilot.roundEnded(
      sent: copy.sent, nanoseconds: took, dirtied: dirtied, elapsedNanoseconds: now - copy.began)
    copy.pilot = pilot
    events.append(.roundEnded(round: round, sent: copy.sent, dirtied: dirtied, nanoseconds: took))
    switch decision {
    case .another: beginRound(dirtied)
    case .stop(let pause):
      enter(.stopping)
      events.append(.stopGuest(expectedPauseSeconds: pause))
    case .giveUp(let obstacle): throw MigrationFailure(.willNotConverge, obstacle.sentence)
    }
    return true
  }

  private func beginRound(_ counts: PageCounts) {
    copy.sentBefore = copy.sentBefore + copy.sent
    copy.sent = PageCounts()
    copy.toSend = counts
    copy.pending = copy.dirty
    copy.dirty.removeAll()
    copy.cursor = 0
    copy.roundBegan = MonotonicClock.now()
    enter(.copying)
  }

  /// Adds what was written since the last look, and what changed its kind.
  private func collectDirty() throws(MigrationFailure) {
    try guest.takeDirtyPages(into: &copy.dirty)
    for range in guest.encryption?.refreshRegions() ?? [] {
      // A guest may name far more than it has.
      for ram in guest.ram.ranges {
        let frames = range.clamped(to: ram.firstFrame..<ram.firstFrame + UInt64(ram.count))
        for frame in frames { copy.dirty.insert(ram.firstPage + Int(frame - ram.firstFrame)) }
      }
    }
  }

  // MARK: The pause

  /// The guest stands still, by ``Event/stopGuest(expectedPauseSeconds:)``.
  ///
  /// - Parameter state: Of vCPUs and devices.
  /// - Returns: ``MigrationStop/runsOn`` where it wrote far more in its last moments than a pause should send: start its
  ///   vCPUs again. The event comes once more.
  public func guestStopped(state: [UInt8]) throws(MigrationFailure) -> MigrationStop {
    let stopped = MonotonicClock.now()
    try collectDirty()
    let left = count(copy.dirty)
    let decision = copy.pilot?.guestStopped(leaving: left) ?? .stands
    beginRound(left)
    switch decision {
    case .runsOn: break
    case .stands:
      copy.stopped = stopped
      copy.state = state
      guest.stopDirtyLog()
      enter(.lastRound)
    }
    return decision
  }

  /// Everything but pages.
  private func sendRest() throws(MigrationFailure) {
    var end = stream.roundSoFar
    end.isLast = true
    try send(.roundEnd(end))
    try send(.sharedRegions(guest.encryption?.savedRegions() ?? SharedRegions()))
    if let encryption = guest.encryption, encryption.hasEncryptedState {
      for vcpu in 0..<UInt32(offer.manifest.vcpuCount) {
        try send(.saveArea(try encryption.saveRegisters(ofVCPU: vcpu)))
      }
    }
    for chunk in StateChunk.cut(copy.state) { try send(.state(chunk)) }
    try send(.end(stream.totals))
    enter(.closing)
    events.append(.sent)
  }
}
