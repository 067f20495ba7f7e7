import CSystemd
import Glibc
public import LinuxOS
import Synchronization

/// One thread on sd-event(3), and the Swift executor of everything that lives on it.
///
/// A source's handler runs on the loop's thread, one at a time, never inside another handler. Work
/// that other threads enqueue through the executor runs there too. While nothing happens the thread
/// sleeps in one `epoll_wait` and makes no system call.
///
/// SAFETY: everything but `pending` is touched on the loop's thread only (checked on entry of every
/// method that registers something); `pending` is guarded by its mutex.
@safe public final class EventLoop: SerialExecutor, TaskExecutor, @unchecked Sendable {
  private let event: OpaquePointer
  private let thread: UInt64
  private let pending = Mutex<[UnownedJob]>([])
  private let wakeUp: EventDescriptor
  private var wakeUpSource: EventSource?
  private(set) var timers: TimerQueue?
  private var exitCode: Int32 = 0

  /// Priorities of sources: what lies lower is handled first. A record that has arrived is handled
  /// before the deadline that it meets.
  public enum Priority: Int64, Sendable {
    case records = 0
    case processes = 10
    case connections = 20
    case timers = 30
    case operators = 40
  }

  /// Makes a loop that will run on this thread.
  public init() throws(SystemError) {
    var made: OpaquePointer?
    let failure = unsafe sd_event_new(&made)
    guard failure >= 0, let event = unsafe made else { throw SystemError(.epoll, code: -failure) }
    unsafe self.event = event
    thread = Self.currentThread()
    wakeUp = try EventDescriptor()
    timers = try TimerQueue(loop: self)
    wakeUpSource = try watch(wakeUp.descriptor.number, priority: .records) { [unowned self] _ in
      wakeUp.clear()
      runJobs()
    }
  }

  deinit {
    wakeUpSource = nil
    timers = nil
    unsafe sd_event_unref(event)
  }

  var handle: OpaquePointer { unsafe event }

  // MARK: Sources

  /// Watches a descriptor. The watch ends when the returned value goes.
  ///
  /// - Parameters:
  ///   - number: Borrowed; must stay open as long as the watch lasts.
  ///   - handler: Called on the loop's thread whenever the descriptor is ready (level-triggered).
  public func watch(
    _ number: Int32, for interest: EventSource.Interest = .readable, priority: Priority,
    handler: @escaping (EventSource.Readiness) -> Void
  ) throws(SystemError) -> EventSource {
    preconditionOnLoop()
    return try EventSource(
      loop: self, number: number, interest: interest, priority: priority, handler: handler)
  }

  /// Calls `handler` once, at a moment of `CLOCK_MONOTONIC`, unless the timer goes or is cancelled before.
  ///
  /// - Complexity: O(log n) in the number of timers; a system call only when it is the earliest one.
  public func schedule(at moment: UInt64, handler: @escaping () -> Void) -> LoopTimer {
    preconditionOnLoop()
    let timer = LoopTimer(moment: moment, handler: handler)
    timers?.insert(timer)
    return timer
  }

  /// Calls `handler` once after a time in nanoseconds.
  public func schedule(after nanoseconds: UInt64, handler: @escaping () -> Void) -> LoopTimer {
    schedule(at: MonotonicClock.now() &+ nanoseconds, handler: handler)
  }

  // MARK: Running

  /// Handles events until ``exit(_:)``.
  ///
  /// - Returns: The code given to ``exit(_:)``.
  /// - Throws: The failure of a system call of the loop itself.
  public func run() throws(SystemError) -> Int32 {
    preconditionOnLoop()
    let result = unsafe sd_event_loop(event)
    if result < 0 { throw SystemError(.epoll, code: -result, subject: "the event loop") }
    return exitCode
  }

  /// Feeds the service manager's watchdog from this loop, so that a handler that hangs is noticed.
  ///
  /// Does nothing when the service has none (`WATCHDOG_USEC`, sd_watchdog_enabled(3)).
  public func feedWatchdog() throws(SystemError) {
    preconditionOnLoop()
    let result = unsafe sd_event_set_watchdog(event, 1)
    if result < 0 { throw SystemError(.epoll, code: -result, subject: "the watchdog") }
  }

  /// Ends ``run()`` after the handler that calls this.
  public func exit(_ code: Int32) {
    preconditionOnLoop()
    exitCode = code
    _ = unsafe sd_event_exit(event, 0)
  }

  // MARK: Executor

  public func enqueue(_ job: consuming ExecutorJob) {
    let unowned = UnownedJob(job)
    pending.withLock { $0.append(unowned) }
    wakeUp.signal()
  }

  public func asUnownedSerialExecutor() -> UnownedSerialExecutor {
    // SAFETY: the actors on this executor hold the loop, so that it outlives them.
    unsafe UnownedSerialExecutor(ordinary: self)
  }

  /// What an actor on this loop returns as its `unownedExecutor`. The actor must hold the loop.
  @safe public var executor: UnownedSerialExecutor { unsafe asUnownedSerialExecutor() }

  public func checkIsolated() { preconditionOnLoop() }

  private func runJobs() {
    let jobs = pending.withLock { waiting in
      defer { waiting.removeAll(keepingCapacity: true) }
      return waiting
    }
    for job in jobs {
      // SAFETY: each job is taken out of the queue once and run once.
      unsafe job.runSynchronously(
        isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
    }
  }

  func preconditionOnLoop() {
    precondition(Self.currentThread() == thread, "the event loop is used from another thread")
  }

  private static func currentThread() -> UInt64 { UInt64(pthread_self()) }
}
