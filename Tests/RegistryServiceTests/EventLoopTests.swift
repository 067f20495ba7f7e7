import LinuxOS
import Synchronization
import Systemd
import Testing

@Suite("The event loop")
struct EventLoopTests {
  /// Runs a loop on a thread of its own and returns what `body` collected there.
  private func onLoop(_ body: @escaping @Sendable (EventLoop, Trace) throws -> Void) throws -> [String] {
    let trace = Trace()
    let thread = try OSThread(name: "loop") {
      do {
        let loop = try EventLoop()
        try body(loop, trace)
        trace.add("exit \(try loop.run())")
      } catch { trace.add("failed: \(error)") }
    }
    thread.join()
    return trace.lines
  }

  final class Trace: Sendable {
    private let storage = Mutex<[String]>([])
    func add(_ line: String) { storage.withLock { $0.append(line) } }
    var lines: [String] { storage.withLock { $0 } }
  }

  /// Keeps timers and sources for as long as the loop runs.
  final class Keeper { var kept: [AnyObject] = [] }

  @Test("calls timers in the order of their moments, whatever the order in which they were made")
  func timers() throws {
    let lines = try onLoop { loop, trace in
      let keeper = Keeper()
      let now = MonotonicClock.now()
      for name in ["c", "a", "d", "b"] {
        let offset = UInt64(name.utf8.first ?? 0) * 1_000_000
        keeper.kept.append(
          loop.schedule(at: now + offset) {
            trace.add(name)
            if name == "d" {
              keeper.kept = []
              loop.exit(7)
            }
          })
      }
    }
    #expect(lines == ["a", "b", "c", "d", "exit 7"])
  }

  @Test("does not call a timer that was cancelled or forgotten")
  func cancelled() throws {
    let lines = try onLoop { loop, trace in
      let keeper = Keeper()
      let cancelled = loop.schedule(after: 1_000_000) { trace.add("cancelled") }
      cancelled.cancel()
      keeper.kept.append(cancelled)
      _ = loop.schedule(after: 2_000_000) { trace.add("forgotten") }
      keeper.kept.append(
        loop.schedule(after: 20_000_000) {
          keeper.kept = []
          loop.exit(0)
        })
    }
    #expect(lines == ["exit 0"])
  }

  @Test("handles a record that is there before a deadline that has passed")
  func priorities() throws {
    let lines = try onLoop { loop, trace in
      let keeper = Keeper()
      let event = try EventDescriptor()
      event.signal()
      let number = event.descriptor.number
      let box = DescriptorBox(event)
      keeper.kept.append(box)
      keeper.kept.append(
        loop.schedule(at: MonotonicClock.now()) {
          trace.add("deadline")
          keeper.kept = []
          loop.exit(0)
        })
      let source = try loop.watch(number, priority: .records) { _ in
        trace.add("record")
        box.event.clear()
      }
      keeper.kept.append(source)
    }
    #expect(lines == ["record", "deadline", "exit 0"])
  }

  final class DescriptorBox {
    let event: EventDescriptor
    init(_ event: consuming EventDescriptor) { self.event = event }
  }

  /// An actor that lives on a loop.
  actor Resident {
    let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor }
    init(_ loop: EventLoop) { self.loop = loop }
    func leave(_ trace: Trace) {
      trace.add("on the loop")
      loop.exit(3)
    }
  }

  @Test("is the executor of an actor, from whatever thread it is called")
  func executor() throws {
    let lines = try onLoop { loop, trace in
      let resident = Resident(loop)
      Task(executorPreference: loop) { await resident.leave(trace) }
    }
    #expect(lines == ["on the loop", "exit 3"])
  }
}
