import CSystemd
import LinuxOS

/// A call that an ``EventLoop`` makes once; it never comes when this value goes or is cancelled before.
public final class LoopTimer {
  /// When it is due, `CLOCK_MONOTONIC` in nanoseconds.
  public let moment: UInt64
  fileprivate var handler: (() -> Void)?

  init(moment: UInt64, handler: @escaping () -> Void) {
    self.moment = moment
    self.handler = handler
  }

  /// The call will not come any more. Costs no system call.
  public func cancel() { handler = nil }
}

/// All timers of a loop behind one timerfd.
///
/// Deadlines are armed and disarmed in the middle of a handoff, where a system call for each would be
/// part of the blackout; so the kernel's timer is only ever moved to an earlier moment, and one that
/// fires for a cancelled entry finds nothing to do.
@safe final class TimerQueue {
  private struct Entry {
    let moment: UInt64
    weak var timer: LoopTimer?
  }

  private unowned let loop: EventLoop
  private var heap: [Entry] = []
  private var source: OpaquePointer?
  private var armed: UInt64 = .max

  init(loop: EventLoop) throws(SystemError) {
    self.loop = loop
    // SAFETY: the queue lives as long as the source: deinit ends it.
    let failure = unsafe sd_event_add_time(
      loop.handle, &source, CLOCK_MONOTONIC, UInt64.max, 1,
      { _, _, context in
        guard let context = unsafe context else { return 0 }
        unsafe Unmanaged<TimerQueue>.fromOpaque(context).takeUnretainedValue().fire()
        return 0
      }, Unmanaged.passUnretained(self).toOpaque())
    if failure < 0 { throw SystemError(.epoll, code: -failure, subject: "the timer") }
    _ = unsafe sd_event_source_set_priority(source, EventLoop.Priority.timers.rawValue)
    _ = unsafe sd_event_source_set_enabled(source, 0)
  }

  deinit { _ = unsafe sd_event_source_disable_unref(source) }

  func insert(_ timer: LoopTimer) {
    heap.append(Entry(moment: timer.moment, timer: timer))
    siftUp(heap.count - 1)
    arm()
  }

  private func fire() {
    armed = .max
    while let first = heap.first, first.moment <= MonotonicClock.now() {
      removeFirst()
      guard let timer = first.timer, let handler = timer.handler else { continue }
      timer.handler = nil
      handler()
    }
    while let first = heap.first, first.timer?.handler == nil { removeFirst() }
    arm()
  }

  private func arm() {
    guard let first = heap.first, first.moment < armed else { return }
    armed = first.moment
    // sd-event counts in microseconds; a timer never fires too early.
    _ = unsafe sd_event_source_set_time(source, (first.moment + 999) / 1000)
    _ = unsafe sd_event_source_set_enabled(source, -1)
  }

  private func removeFirst() {
    heap.swapAt(0, heap.count - 1)
    heap.removeLast()
    var index = 0
    while true {
      var smallest = index
      for child in [2 * index + 1, 2 * index + 2]
      where child < heap.count && heap[child].moment < heap[smallest].moment {
        smallest = child
      }
      if smallest == index { return }
      heap.swapAt(index, smallest)
      index = smallest
    }
  }

  private func siftUp(_ start: Int) {
    var index = start
    while index > 0, heap[index].moment < heap[(index - 1) / 2].moment {
      heap.swapAt(index, (index - 1) / 2)
      index = (index - 1) / 2
    }
  }
}
