import CLinux

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
