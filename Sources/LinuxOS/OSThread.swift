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
  /// - Parameters:
  ///   - name: Shown by ps and gdb; the kernel keeps 15 bytes.
  ///   - takesSignals: Whether signals to the process may be handled on it; else on the process's other threads only.
  /// - Throws: `EAGAIN` when the limit of processes is reached.
  public init(
    name: String, takesSignals: Bool = true, _ body: @escaping @Sendable () -> Void
  ) throws(SystemError) {
    let start = Start(name: name, body: body)
    // SAFETY: the retained box is taken over by the new thread, or released here on failure.
    let argument = unsafe Unmanaged.passRetained(start)
    var all = sigset_t()
    var before = sigset_t()
    // The new thread inherits the mask.
    if !takesSignals {
      unsafe sigfillset(&all)
      unsafe pthread_sigmask(SIG_SETMASK, &all, &before)
    }
    defer { if !takesSignals { unsafe pthread_sigmask(SIG_SETMASK, &before, nil) } }
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
