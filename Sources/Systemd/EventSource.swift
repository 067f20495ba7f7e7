import CSystemd
import LinuxOS

/// A descriptor that an ``EventLoop`` watches; the watch ends with this value.
@safe public final class EventSource {
  /// What is waited for. Errors and hang-ups are always reported.
  public enum Interest: Sendable {
    case readable
    case writable
    case readableOrWritable
    /// Nothing but errors and hang-ups.
    case hangUp

    var events: UInt32 {
      switch self {
      case .readable: UInt32(EPOLLIN.rawValue)
      case .writable: UInt32(EPOLLOUT.rawValue)
      case .readableOrWritable: UInt32(EPOLLIN.rawValue | EPOLLOUT.rawValue)
      case .hangUp: 0
      }
    }
  }

  /// What is there.
  public struct Readiness: Sendable {
    public let isReadable: Bool
    public let isWritable: Bool
    /// The peer is gone, or the descriptor is in error.
    public let isHungUp: Bool
  }

  private final class Box {
    let handler: (Readiness) -> Void
    init(_ handler: @escaping (Readiness) -> Void) { self.handler = handler }
  }

  private var source: OpaquePointer?
  private let box: Box
  private var interest: Interest
  private var isEnabled = true

  init(
    loop: EventLoop, number: Int32, interest: Interest, priority: EventLoop.Priority,
    handler: @escaping (Readiness) -> Void
  ) throws(SystemError) {
    box = Box(handler)
    self.interest = interest
    // SAFETY: the box lives as long as this value, and deinit ends the source before the box goes.
    let failure = unsafe sd_event_add_io(
      loop.handle, &source, number, interest.events,
      { _, _, events, context in
        guard let context = unsafe context else { return 0 }
        // Retained here, because the handler may drop the source that owns the box.
        let box = unsafe Unmanaged<Box>.fromOpaque(context).takeUnretainedValue()
        box.handler(
          Readiness(
            isReadable: events & UInt32(EPOLLIN.rawValue) != 0,
            isWritable: events & UInt32(EPOLLOUT.rawValue) != 0,
            isHungUp: events & UInt32(EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0))
        return 0
      }, Unmanaged.passUnretained(box).toOpaque())
    if failure < 0 { throw SystemError(.epoll, code: -failure, subject: "descriptor \(number)") }
    _ = unsafe sd_event_source_set_priority(source, priority.rawValue)
  }

  deinit { _ = unsafe sd_event_source_disable_unref(source) }

  /// Waits for something else from now on. No system call when nothing changes.
  public func setInterest(_ interest: Interest) {
    guard interest.events != self.interest.events else { return }
    self.interest = interest
    _ = unsafe sd_event_source_set_io_events(source, interest.events)
  }

  /// Stops or resumes the watch, hang-ups included.
  public func setEnabled(_ enabled: Bool) {
    guard enabled != isEnabled else { return }
    isEnabled = enabled
    // SD_EVENT_ON is 1, SD_EVENT_OFF is 0.
    _ = unsafe sd_event_source_set_enabled(source, enabled ? 1 : 0)
  }
}
