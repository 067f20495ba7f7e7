import BatonC
import BatonWire
import CBaton
import FuzzSupport
import Glibc
import LinuxOS
import MigrationCore
import RemoteMigration

private let registry: RegistryEnd = {
  do { return try RegistryEnd() } catch { fatalError("no registry can be played: \(error)") }
}()

/// Functions of baton.h in any order, to a registry that says anything and another host that may break off at any time:
/// each pair of bytes is one call, one record, or some turns of a migration.
///
/// Whatever comes, vCPUs may run only between a verdict and what takes it back, never once another host may run the
/// guest, and a call that has ended a migration is followed by the event that says so.
@c(LLVMFuzzerTestOneInput)
public func fuzzLibraryCalls(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var source = ByteSource(unsafe copyInput(start, min(count, 512)))
  let caller = Caller()
  while !source.isEmpty {
    if source.flag() { caller.hear(&source) } else { caller.call(&source) }
    caller.checkRight()
  }
  registry.forget()
  return 0
}

/// A VMM that calls anything at any time, and knows only what it was told.
///
/// SAFETY: what is passed to the library lives for the call, RAM for the process; the handle is freed once.
@safe private final class Caller {
  private var vmm: OpaquePointer?
  private var regions: OpaquePointer?
  private let otherHost = OtherHost(registry.manifest)
  /// A verdict came, and nothing has taken it back.
  private var hasVerdict = false
  /// A guest of this process stands still: before its stage, or for its last pages.
  private var isHeld = false

  init() {
    unsafe registry.path.withCString { path in
      unsafe "vm1".withCString { name in
        unsafe "fuzz".withCString { format in
          var identity = unsafe baton_identity()
          unsafe identity.struct_size = MemoryLayout<baton_identity>.size
          unsafe identity.registry = path
          unsafe identity.guest = name
          unsafe identity.build = name
          unsafe identity.format_name = format
          unsafe identity.format_oldest = 1
          unsafe identity.format_newest = 1
          precondition(unsafe baton_vmm_new(&identity, &vmm) == 0, "no handle")
        }
      }
    }
    precondition(unsafe baton_regions_new(1, 1, &regions) == 0, "no set of pages")
  }

  deinit {
    unsafe baton_vmm_free(vmm)
    unsafe baton_regions_free(regions)
  }

  private var state: Int { Int(unsafe baton_vmm_state(vmm)) }

  func checkRight() {
    switch state {
    // Given away: only a verdict brings it back.
    case BATON_STATE_STAGED, BATON_STATE_DEPARTING, BATON_STATE_DEPARTED: hasVerdict = false
    case _: break
    }
    guard unsafe baton_vmm_may_run(vmm) == 0 else { return }
    // That a call has ended the migration is said by an event that may still wait.
    for _ in 0..<8 where isHeld { tell() }
    precondition(hasVerdict && !isHeld, "vCPUs may run in state \(state) without a verdict")
    precondition(!otherHost.hasReceipt, "the other host may run the guest, and so may this one")
  }

  // MARK: What the registry says

  func hear(_ source: inout ByteSource) {
    let number = UInt64(source.below(4))
    let id = MigrationID([UInt8](repeating: UInt8(number), count: MigrationID.byteCount))
    guard let id else { return }
    let lock = DepartureLock(of: rightReceipt, for: id)
    let message: RegistryMessage
    switch source.below(24) {
    case 0: message = .prepare(handoff: number)
    case 1: message = .offered(handoff: number, registry.manifest, isGuestStopped: source.flag())
    case 2: message = .freeze(handoff: number)
    case 3: message = registry.claim
    case 4: message = .takeBack(handoff: number)
    case 5: message = .run(epoch: number)
    case 6: message = .release(number == 0 ? nil : .notOwner)
    case 7: message = .refusal(number < 2 ? .quotaExceeded : .secondOwner, "no")
    case 8: message = .preflight
    case 9: message = .migrate(id, lock, MigrationRequest(host: "south", isPlanOnly: source.flag()))
    case 10: message = .depart(id, source.flag() ? .random() : rightReceipt)
    case 11: message = .cancelMigration(id)
    case 12: message = .arrivalJournalled(id)
    case 13: return registry.closeLast()
    case 14: return registry.say(bytes: source.take(source.below(64)))
    case 15: return tell()
    case 16: return otherHost.hangUp()
    case 17: return otherHost.say(bytes: source.take(source.below(64)))
    case 18: return otherHost.say(bytes: Array("error noRoom no\n".utf8))
    case 19: return otherHost.end(MigrationFailure(.noRoom, "no"))
    default:
      for _ in 0..<source.below(64) {
        otherHost.goOn(id)
        tell()
      }
      return
    }
    registry.say(message, withDescriptors: source.below(8) != 0)
    tell()
  }

  /// Takes up one event.
  private func tell(waiting milliseconds: Int32? = nil) {
    var event = baton_event()
    event.struct_size = MemoryLayout<baton_event>.size
    tell(&event, waiting: milliseconds)
  }

  private func tell(_ event: inout baton_event, waiting milliseconds: Int32? = nil) {
    let told =
      if let milliseconds {
        unsafe baton_vmm_wait(vmm, milliseconds, &event)
      } else {
        unsafe baton_vmm_process(vmm, &event)
      }
    guard told == 1 else { return }
    switch Int(event.type) {
    case BATON_EVENT_START, BATON_EVENT_RUN:
      hasVerdict = true
      isHeld = false
    case BATON_EVENT_RELEASED: hasVerdict = false
    case BATON_EVENT_MIGRATION_OVER: isHeld = false
    case _: break
    }
  }

  // MARK: What the VMM calls

  func call(_ source: inout ByteSource) {
    let function = source.below(58)
    let small = source.byte()
    var word: UInt64 = 0
    var buffer = [UInt8](repeating: 0, count: 64)
    let room = Int(small & 63)
    switch function {
    case 0: _ = unsafe baton_vmm_connect(vmm, 50)
    case 1, 2: tell()
    case 3: _ = unsafe baton_vmm_descriptor(vmm)
    case 4:
      var offer = baton_offer()
      offer.struct_size = small & 1 == 0 ? MemoryLayout<baton_offer>.size : Int(small)
      _ = unsafe baton_vmm_offer_get(vmm, &offer)
    case 5:
      var region = baton_region()
      _ = unsafe baton_vmm_offer_region(vmm, UInt32(small), &region)
    case 6: unsafe text(&buffer) { _ = unsafe baton_vmm_offer_name(vmm, UInt32(small >> 6), $0, room) }
    case 7: _ = unsafe baton_vmm_offer_details(vmm, &buffer, room)
    case 8: close(unsafe baton_vmm_take_ram(vmm, UInt32(small)))
    case 9: unsafe "a".withCString { close(unsafe baton_vmm_take_named(vmm, $0)) }
    case 10: close(unsafe baton_vmm_take_vm(vmm))
    case 11: _ = unsafe baton_vmm_ready(vmm, small & 3 == 0 ? registry.ram.number : -1)
    case 12: unsafe "no".withCString { _ = unsafe baton_vmm_decline(vmm, $0) }
    case 13: _ = unsafe baton_vmm_claim_state(vmm, &buffer, room)
    case 14: _ = unsafe baton_vmm_claim_token(vmm, &word)
    case 15: _ = unsafe baton_vmm_context_vm(vmm, UInt32(small))
    case 16: receive(small)
    case 17: _ = unsafe baton_vmm_found_used(vmm)
    case 18: _ = unsafe baton_vmm_give_back(vmm)
    case 19, 20: unsafe withGuest(small) { _ = unsafe baton_vmm_running(vmm, $0, UInt64(small)) }
    case 21, 22: unsafe withGuest(small) { _ = unsafe baton_vmm_offer(vmm, $0) }
    case 23: _ = unsafe baton_vmm_report(vmm, nil, Int(small))
    case 24: _ = unsafe baton_vmm_park(vmm)
    case 25, 26: if unsafe baton_vmm_froze(vmm) == 0 { isHeld = true }
    case 27: _ = unsafe baton_vmm_gave_up_context(vmm)
    case 28: if unsafe baton_vmm_resume(vmm) == 0 { isHeld = false }
    case 29, 30:
      if small & 128 == 0 { _ = unsafe baton_vmm_stage(vmm, buffer, room, nil, 1) }
      if small & 128 != 0 { _ = unsafe baton_vmm_stage(vmm, buffer, room, &word, 1) }
    case 31: _ = unsafe baton_vmm_took_back(vmm, Int32(small & 3))
    case 32: if unsafe baton_vmm_end(vmm) == 0 { hasVerdict = false }
    case 33:
      var failure = baton_failure()
      failure.struct_size = MemoryLayout<baton_failure>.size
      _ = unsafe baton_vmm_failure(vmm, &failure)
    case 34: unsafe withRemote { _ = unsafe baton_vmm_allow_migration(vmm, $0) }
    case 35: unsafe withRemote { _ = unsafe baton_vmm_await(vmm, $0, UInt64(small) << 12) }
    case 36:
      unsafe withSource(small) { source in
        expectEnd(
          after: small & 32 == 0
            ? unsafe baton_vmm_migrate(vmm, source) : withoutRoom { unsafe baton_vmm_migrate(vmm, source) })
      }
    case 37:
      let result = unsafe baton_vmm_stopped(vmm, buffer, room, 1)
      if result == 0 { isHeld = true }
      expectEnd(after: result)
    case 38:
      var arrival = baton_arrival()
      arrival.struct_size = MemoryLayout<baton_arrival>.size
      _ = unsafe baton_vmm_arrival(vmm, &arrival)
    case 39: _ = unsafe baton_vmm_arrival_facts(vmm, &buffer, room)
    case 40: unsafe text(&buffer) { _ = unsafe baton_vmm_peer(vmm, $0, room) }
    case 41:
      var entries = [pollfd](repeating: pollfd(), count: Int(BATON_MOST_INTERESTS))
      var timeout: Int32 = 0
      _ = unsafe baton_vmm_interests(vmm, &entries, min(room, entries.count), &timeout)
    case 42: _ = unsafe baton_regions_set_shared(regions, UInt64(small) << 48, UInt64(small))
    case 43: _ = unsafe baton_regions_set_private(regions, UInt64(small), UInt64(small) << 3)
    case 44: _ = unsafe baton_regions_kind(regions, UInt64(small), &word)
    case 45:
      let bytes = source.take(room)
      _ = unsafe baton_regions_load(regions, bytes, bytes.count)
    case 46:
      var result: Int64 = 0
      _ = unsafe baton_regions_hypercall(
        regions, 12, [UInt64(small) << 12, UInt64(small), UInt64(small & 1)], &result)
    case 47: _ = unsafe baton_regions_write_msr(regions, 0x4B56_4D08, UInt64(small & 3))
    case 48: _ = unsafe baton_regions_read_msr(regions, 0x4B56_4D08, &word)
    case 49: _ = unsafe baton_regions_is_shared(regions, UInt64(small))
    case 50: _ = unsafe baton_regions_may_migrate(regions)
    case 51: _ = unsafe baton_regions_save(regions, &buffer, room)
    case 52: _ = unsafe baton_regions_reset(regions)
    case 53:
      unsafe withTarget { target in
        expectEnd(
          after: small & 32 == 0
            ? unsafe baton_vmm_accept(vmm, target) : withoutRoom { unsafe baton_vmm_accept(vmm, target) })
      }
    case 54: tell(waiting: Int32(small & 1))
    case 55: _ = unsafe baton_refusal_sentence(Int32(small))
    case 56: _ = baton_refusal_exit_status(Int32(small))
    case _: _ = unsafe baton_refusal_name(Int32(small))
    }
  }

  /// Says that the guest is restored. Of one from another host the registry has to know first, and its word is waited for.
  private func receive(_ small: UInt8) {
    guard state == BATON_STATE_ARRIVING else {
      _ = unsafe baton_vmm_received(vmm)
      return
    }
    switch small & 7 {
    case 0: registry.closeLast()
    case 1: registry.say(.release(.notOwner), withDescriptors: false)
    case 2: registry.say(.refusal(.quotaExceeded, "no"), withDescriptors: false)
    case _: registry.say(.arrivalJournalled(otherHost.id), withDescriptors: false)
    }
    expectEnd(after: unsafe baton_vmm_received(vmm))
  }

  /// The call at this process's limit of descriptors.
  private func withoutRoom(_ body: () -> Int32) -> Int32 {
    var limit = rlimit()
    precondition(unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
    var none = limit
    none.rlim_cur = 4
    precondition(unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &none) == 0)
    defer { precondition(unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0) }
    return body()
  }

  private func expectEnd(after result: Int32) {
    guard result < 0, ![EINVAL, EPERM, EBADF].contains(-result) else { return }
    var event = baton_event()
    event.struct_size = MemoryLayout<baton_event>.size
    var turns = 8
    while turns > 0, event.type != UInt32(BATON_EVENT_MIGRATION_OVER) {
      tell(&event)
      turns -= 1
    }
    precondition(turns > 0, "a migration ended with \(result), and nobody says so")
  }

  private func close(_ number: Int32) { if number >= 0 { _ = Glibc.close(number) } }

  private func text(_ buffer: inout [UInt8], _ body: (UnsafeMutablePointer<CChar>?) -> Void) {
    unsafe buffer.withUnsafeMutableBytes { unsafe body($0.assumingMemoryBound(to: CChar.self).baseAddress) }
  }

  /// A guest that is mostly right.
  private func withGuest(_ small: UInt8, _ body: (UnsafePointer<baton_guest>) -> Void) {
    let ram = [registry.ram.number]
    var region = baton_region()
    region.byte_count = RegistryEnd.pageCount * 4096
    unsafe "fuzz".withCString { format in
      unsafe ram.withUnsafeBufferPointer { files in
        unsafe withUnsafePointer(to: &region) { regions in
          var guest = unsafe baton_guest()
          unsafe guest.struct_size = MemoryLayout<baton_guest>.size
          unsafe guest.way =
            switch small & 7 {
            case 7: UInt32(small >> 3)
            case 6: UInt32(BATON_WAY_TOKEN)
            case _: UInt32(BATON_WAY_NONE)
            }
          unsafe guest.vcpu_count = 1
          unsafe guest.ram_count = 1
          unsafe guest.region_count = small == 255 ? 0 : 1
          unsafe guest.ram = files.baseAddress
          unsafe guest.regions = regions
          unsafe guest.vm = small & 15 == 9 ? registry.ram.number : -1
          unsafe guest.take_back_vm = -1
          unsafe guest.format_name = format
          unsafe guest.format_version = 1
          unsafe body(&guest)
        }
      }
    }
  }

  private func withRemote(_ body: (UnsafePointer<baton_remote>) -> Void) {
    unsafe otherHost.path.withCString { path in
      var remote = unsafe baton_remote()
      unsafe remote.struct_size = MemoryLayout<baton_remote>.size
      unsafe remote.socket = path
      unsafe body(&remote)
    }
  }

  private func withSource(_ small: UInt8, _ body: (UnsafePointer<baton_source>) -> Void) {
    unsafe withGuest(small) { guest in
      var source = unsafe baton_source()
      unsafe source.struct_size = MemoryLayout<baton_source>.size
      unsafe source.guest = guest
      unsafe source.ram = UnsafeRawPointer(memory)
      unsafe source.start_dirty_log = { _ in 0 }
      unsafe source.take_dirty_pages = { _, pages, count in
        for index in 0..<count {
          unsafe precondition(pages?[index] == 0, "bits that the VMM would overwrite")
        }
        if count > 0 { unsafe pages?[0] = 1 }
        return 0
      }
      unsafe source.stop_dirty_log = { _ in }
      unsafe source.vm = -1
      unsafe body(&source)
    }
  }

  private func withTarget(_ body: (UnsafePointer<baton_target>) -> Void) {
    unsafe withGuest(0) { guest in
      var target = unsafe baton_target()
      unsafe target.struct_size = MemoryLayout<baton_target>.size
      unsafe target.guest = guest
      unsafe target.ram = memory
      unsafe target.vm = -1
      unsafe body(&target)
    }
  }
}

/// RAM where a migration would look for it.
nonisolated(unsafe) private let memory = UnsafeMutableRawPointer.allocate(
  byteCount: Int(RegistryEnd.pageCount) * 4096, alignment: 4096)
