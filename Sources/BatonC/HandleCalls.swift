import Baton
import BatonWire
public import CBaton
import Glibc
import LinuxOS

// Making handles, and what they tell.

@c @implementation
public func baton_vmm_new(
  _ identity: UnsafePointer<baton_identity>?, _ vmm: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  guard let identity = unsafe identity, let vmm = unsafe vmm,
    unsafe identity.pointee.struct_size >= MemoryLayout<baton_identity>.size
  else { return -EINVAL }
  let given = unsafe identity.pointee
  let registry =
    unsafe given.registry == nil ? "/run/baton/handoff" : Borrowed.text(given.registry, maximum: 107)
  guard let registry, let guest = unsafe Borrowed.text(given.guest, maximum: 63), GuestName(guest) != nil,
    let build = unsafe Borrowed.text(given.build, maximum: 128),
    let format = unsafe Borrowed.text(given.format_name, maximum: 64),
    unsafe given.format_oldest <= given.format_newest
  else { return -EINVAL }
  let reads = unsafe ReadableFormats(
    name: format, oldest: given.format_oldest, newest: given.format_newest, features: given.format_features)
  let participant = unsafe Participant(
    VMMIdentity(registry: registry, guest: guest, build: build, reads: reads),
    isFresh: given.is_fresh != 0)
  unsafe vmm.pointee = Handle(participant).retained()
  return 0
}

@c @implementation
public func baton_vmm_free(_ vmm: OpaquePointer?) {
  if let vmm = unsafe vmm { unsafe Handle.release(vmm) }
}

@c @implementation
public func baton_vmm_connect(_ vmm: OpaquePointer?, _ timeoutMilliseconds: UInt32) -> Int32 {
  unsafe Handle.callVoid(vmm) { try $0.connect(milliseconds: UInt64(timeoutMilliseconds)) }
}

@c @implementation
public func baton_vmm_descriptor(_ vmm: OpaquePointer?) -> Int32 {
  unsafe Handle.callInt(vmm) { $0.participant.descriptor < 0 ? -ENOTCONN : $0.participant.descriptor }
}

@c @implementation
public func baton_vmm_process(
  _ vmm: OpaquePointer?, _ event: UnsafeMutablePointer<baton_event>?
) -> Int32 {
  unsafe tell(vmm, event) { try $0.next() }
}

@c @implementation
public func baton_vmm_wait(
  _ vmm: OpaquePointer?, _ timeoutMilliseconds: Int32, _ event: UnsafeMutablePointer<baton_event>?
) -> Int32 {
  unsafe tell(vmm, event) {
    try $0.wait(milliseconds: timeoutMilliseconds < 0 ? nil : UInt64(timeoutMilliseconds))
  }
}

/// Fills in the next event; nothing is taken up when there is no room for it.
private func tell(
  _ vmm: OpaquePointer?, _ event: UnsafeMutablePointer<baton_event>?,
  _ next: (Handle) throws -> Participant.Event?
) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    let size = unsafe event.map { unsafe $0.pointee.struct_size } ?? 0
    unsafe try Borrowed.store(
      baton_event(), to: event, size: size, smallest: MemoryLayout<baton_event>.size)
    guard let found = try next(handle) else { return 0 }
    unsafe try Borrowed.store(
      baton_event(found), to: event, size: size, smallest: MemoryLayout<baton_event>.size)
    return 1
  }
}

extension baton_event {
  fileprivate init(_ event: Participant.Event) {
    self.init()
    switch event {
    case .start(let epoch): fill(BATON_EVENT_START, epoch: epoch)
    case .run(let epoch): fill(BATON_EVENT_RUN, epoch: epoch)
    case .offered(let handoff): fill(BATON_EVENT_OFFERED, handoff: handoff)
    case .claim(let handoff): fill(BATON_EVENT_CLAIM, handoff: handoff)
    case .prepare(let handoff): fill(BATON_EVENT_PREPARE, handoff: handoff)
    case .freeze(let handoff): fill(BATON_EVENT_FREEZE, handoff: handoff)
    case .attemptOver(let handoff): fill(BATON_EVENT_ATTEMPT_OVER, handoff: handoff)
    case .preflight: fill(BATON_EVENT_PREFLIGHT)
    case .takeBack(let handoff): fill(BATON_EVENT_TAKE_BACK, handoff: handoff)
    case .released(let refusal):
      fill(BATON_EVENT_RELEASED)
      self.refusal = refusal.map { Int32($0.rawValue) } ?? 0
    case .alarm: fill(BATON_EVENT_ALARM)
    case .migrate: fill(BATON_EVENT_MIGRATE)
    case .stop: fill(BATON_EVENT_STOP)
    case .migrationOver(let refusal):
      fill(BATON_EVENT_MIGRATION_OVER)
      self.refusal = refusal.map { Int32($0.rawValue) } ?? 0
    case .arriving: fill(BATON_EVENT_ARRIVING)
    case .arrived: fill(BATON_EVENT_ARRIVED)
    }
  }

  private mutating func fill(_ type: Int, handoff: UInt64 = 0, epoch: UInt64 = 0) {
    self.type = UInt32(type)
    self.handoff = handoff
    self.epoch = epoch
  }
}

@c @implementation
public func baton_vmm_state(_ vmm: OpaquePointer?) -> Int32 {
  unsafe Handle.callInt(vmm) { Int32($0.participant.phase.number) }
}

extension Participant.Phase {
  fileprivate var number: Int {
    switch self {
    case .new: BATON_STATE_NEW
    case .attached: BATON_STATE_ATTACHED
    case .offered: BATON_STATE_OFFERED
    case .prepared: BATON_STATE_PREPARED
    case .claiming: BATON_STATE_CLAIMING
    case .received: BATON_STATE_RECEIVED
    case .permitted: BATON_STATE_PERMITTED
    case .running: BATON_STATE_RUNNING
    case .frozen: BATON_STATE_FROZEN
    case .staged: BATON_STATE_STAGED
    case .takingBack: BATON_STATE_TAKING_BACK
    case .tookBack: BATON_STATE_TOOK_BACK
    case .returned: BATON_STATE_RETURNED
    case .over: BATON_STATE_OVER
    case .leaving: BATON_STATE_LEAVING
    case .departing: BATON_STATE_DEPARTING
    case .departed: BATON_STATE_DEPARTED
    case .awaiting: BATON_STATE_AWAITING
    case .arriving: BATON_STATE_ARRIVING
    case .arrived: BATON_STATE_ARRIVED
    }
  }
}

@c @implementation
public func baton_vmm_may_run(_ vmm: OpaquePointer?) -> Int32 {
  unsafe Handle.mayRun(vmm)
}

@c @implementation
public func baton_vmm_failure(
  _ vmm: OpaquePointer?, _ failure: UnsafeMutablePointer<baton_failure>?
) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    var told = baton_failure()
    let last = handle.lastFailure()
    told.error = last.code
    told.refusal = last.refusal.map { Int32($0.rawValue) } ?? 0
    // Cut at a whole character, with room for the NUL.
    let text = last.text
    unsafe withUnsafeMutableBytes(of: &told.text) { bytes in
      var count = 0
      for character in text {
        let encoded = Array(String(character).utf8)
        guard count + encoded.count < bytes.count else { break }
        for byte in encoded {
          unsafe bytes[count] = byte
          count += 1
        }
      }
    }
    let size = unsafe failure.map { unsafe $0.pointee.struct_size } ?? 0
    unsafe try Borrowed.store(told, to: failure, size: size, smallest: MemoryLayout<baton_failure>.size)
    return 0
  }
}
