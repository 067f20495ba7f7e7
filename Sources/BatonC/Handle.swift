import Baton
import BatonWire
import CBaton
import Glibc
import LinuxOS
import RemoteMigration
import Synchronization

/// What a `baton_vmm` pointer points to.
final class Handle {
  let participant: Participant
  /// What the VMM is told before anything else.
  var told: [Participant.Event] = []
  /// How this VMM's guest may go to another host, and the migration that is asked for or under way.
  var leaving: Leaving?
  /// How one is waited for.
  var coming: Coming?
  /// Why the last call failed, and with which errno.
  var failure: (code: Int32, refusal: Refusal?, text: String) = (0, nil, "")
  private let isBusy = Atomic<Bool>(false)
  /// Whether vCPUs may be in KVM_RUN since the last call ended: for threads that have no turn on the handle.
  private let mayRun = Atomic<Bool>(false)
  /// Somebody was told that they may not since.
  private let isRunRefused = Atomic<Bool>(false)

  init(_ participant: Participant) { self.participant = participant }

  /// Keeps other threads out; false when one is in already.
  private func enter() -> Bool {
    isBusy.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged
  }

  /// One call of C: its result, or the errno of what it threw.
  ///
  /// SAFETY: the pointer came from ``retained()`` and was not freed, as baton.h asks of the caller.
  static func call(
    _ pointer: OpaquePointer?, _ body: (Handle) throws -> Int64
  ) -> Int64 {
    guard let pointer = unsafe pointer else { return -Int64(EINVAL) }
    let handle = unsafe Unmanaged<Handle>.fromOpaque(UnsafeRawPointer(pointer)).takeUnretainedValue()
    guard handle.enter() else { return -Int64(EBUSY) }
    defer {
      handle.mayRun.store(handle.participant.mayRun, ordering: .releasing)
      handle.isBusy.store(false, ordering: .releasing)
    }
    do {
      return try body(handle)
    } catch {
      handle.isRunRefused.store(false, ordering: .relaxed)
      handle.failure = handle.explain(error)
      return -Int64(handle.failure.code)
    }
  }

  /// Whether vCPUs may be in KVM_RUN, asked by any thread, also while another one is in a call.
  ///
  /// SAFETY: as for ``call(_:_:)``.
  static func mayRun(_ pointer: OpaquePointer?) -> Int32 {
    guard let pointer = unsafe pointer else { return -EINVAL }
    let handle = unsafe Unmanaged<Handle>.fromOpaque(UnsafeRawPointer(pointer)).takeUnretainedValue()
    if handle.mayRun.load(ordering: .acquiring) { return 0 }
    handle.isRunRefused.store(true, ordering: .relaxed)
    return -EPERM
  }

  /// Why the last call failed; to have been refused to run counts.
  func lastFailure() -> (code: Int32, refusal: Refusal?, text: String) {
    if isRunRefused.exchange(false, ordering: .relaxed) {
      failure = explain(Participant.Failure.mayNotRun(participant.phase))
    }
    return failure
  }

  /// The same for calls whose result is an `int`.
  static func callInt(_ pointer: OpaquePointer?, _ body: (Handle) throws -> Int32) -> Int32 {
    Int32(unsafe call(pointer) { Int64(try body($0)) })
  }

  /// The same for calls that only fail or not.
  static func callVoid(_ pointer: OpaquePointer?, _ body: (Participant) throws -> Void) -> Int32 {
    unsafe callInt(pointer) {
      try body($0.participant)
      return 0
    }
  }

  /// The pointer for C; ``release(_:)`` ends its life.
  func retained() -> OpaquePointer { unsafe OpaquePointer(Unmanaged.passRetained(self).toOpaque()) }

  static func release(_ pointer: OpaquePointer) {
    let handle = unsafe Unmanaged<Handle>.fromOpaque(UnsafeRawPointer(pointer))
    unsafe handle.takeUnretainedValue().close()
    unsafe handle.release()
  }

  /// The other hosts learn that this VMM has nothing more to say.
  private func close() {
    leaving?.close()
    coming?.close()
  }

  /// Why a migration did not go on, though no call of the VMM failed.
  func say(_ error: MigrationFailure) { failure = explain(error) }

  private func explain(_ error: any Error) -> (Int32, Refusal?, String) {
    switch error {
    case let error as BatonError:
      switch error {
      case .system(let cause, _): (cause.code, nil, "\(error)")
      case .refused(let refusal, _), .unacceptable(let refusal, _): (EACCES, refusal, "\(error)")
      case .malformed: (EPROTO, nil, "\(error)")
      case .registryUnreachable: (ETIMEDOUT, nil, "\(error)")
      case .badState: (EBADMSG, nil, "\(error)")
      }
    case let error as Participant.Failure:
      switch error {
      case .outOfTurn: (EPERM, .protocolViolation, "\(error)")
      case .mayNotRun: (EPERM, .notOwner, "\(error)")
      case .absent: (ENOENT, nil, "\(error)")
      case .unusable: (EINVAL, nil, "\(error)")
      }
    case let error as MigrationFailure: (EACCES, error.refusal, error.text)
    case let error as Manifest.Problem: (EINVAL, .badManifest, "\(error)")
    case let error as SystemError: (error.code, nil, "\(error)")
    case is NoRoom: (ENOBUFS, nil, "the caller's buffer is too small")
    default: (EINVAL, nil, "\(error)")
    }
  }
}

/// The caller's buffer is too small.
struct NoRoom: Error {}
