import CLinux
import Glibc
import Synchronization

/// A thread of the operating system, for work that blocks or must not share a core's queue.
public final class OSThread: @unchecked Sendable {
  private var handle = pthread_t()
  private let joined = Atomic<Bool>(false)
  private let isStarted: Bool

  private final class Start {
    let name: String
    let body: @Sendable () -> Void
    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }

  /// Starts a thread.
  ///
  /// - Parameter name: Shown by ps and gdb; the kernel keeps 15 bytes.
  /// - Throws: `EAGAIN` when the limit of processes is reached.
  public init(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
    let start = Start(name: name, body: body)
    // SAFETY: the retained box is taken over by the new thread, or released here on failure.
    let argument = unsafe Unmanaged.passRetained(start)
    let failure = unsafe pthread_create(
      &handle, nil,
      { raw in
        guard let raw = unsafe raw else { return nil }
        let start = unsafe Unmanaged<Start>.fromOpaque(raw).takeRetainedValue()
        _ = unsafe clinux_name_thread(String(start.name.prefix(15)))
        start.body()
        return nil
      }, argument.toOpaque())
    isStarted = failure == 0
    if failure != 0 {
      unsafe argument.release()
      throw SystemError(.pthreadCreate, code: failure, subject: name)
    }
  }

  /// Waits until the thread has ended. Later calls return at once.
  public func join() {
    guard !joined.exchange(true, ordering: .acquiringAndReleasing) else { return }
    _ = pthread_join(handle, nil)
  }

  deinit {
    // Nobody can wait for it any more: what the system keeps for that goes with the thread.
    if !joined.load(ordering: .acquiring), isStarted { _ = pthread_detach(handle) }
  }
}

/// How long a thread wants to run in one piece before others may.
///
/// A thread that asks for little is let in sooner when it wakes up: since Linux 6.12 a shorter slice means an
/// earlier deadline, and a running thread with a longer one gives way at once instead of at the next tick.
/// Older kernels take the request and change nothing. No privilege is needed, and a thread's share of the
/// processor stays what it was.
public enum SchedulingSlice {
  /// For threads that others wait for and that work for microseconds: the kernel's minimum, 100 microseconds.
  case shortest
  /// What the kernel gives every thread.
  case usual

  /// Applies to the calling thread, and to threads that it starts from then on until they ask for their own.
  ///
  /// Nothing depends on the success: a kernel that refuses schedules as it always did.
  ///
  /// The corresponding system call is `sched_setattr`, with `sched_runtime` for a `SCHED_OTHER` thread.
  public func apply() {
    switch self {
    case .shortest: _ = clinux_set_slice(100_000)
    case .usual: _ = clinux_set_slice(0)
    }
  }
}

/// A 32-bit word that threads wait on, as in futex(2).
@safe public final class FutexWord: @unchecked Sendable {
  // SAFETY: the word lives at a fixed address from init to deinit and is only accessed atomically.
  private let word: UnsafeMutablePointer<UInt32>

  public init(_ value: UInt32 = 0) {
    unsafe word = .allocate(capacity: 1)
    unsafe word.initialize(to: value)
  }

  deinit { unsafe word.deallocate() }

  public var value: UInt32 {
    get { unsafe clinux_load32(word) }
    set { unsafe clinux_store32(word, newValue) }
  }

  /// Sets the word and returns what it was, in one step.
  public func exchange(_ value: UInt32) -> UInt32 { unsafe clinux_exchange32(word, value) }

  /// Waits while the word is `expected`; may also return for no reason, so check again.
  ///
  /// - Parameter timeoutNanoseconds: How long at most; nil for ever.
  public func wait(while expected: UInt32, timeoutNanoseconds: UInt64? = nil) {
    unsafe _ = clinux_futex_wait(word, expected, timeoutNanoseconds.map { Int64($0) } ?? -1)
  }

  /// Wakes every thread that waits.
  public func wakeAll() { unsafe _ = clinux_futex_wake(word, Int32.max) }
}
