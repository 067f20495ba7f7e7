import LinuxOS
import Testing

@Suite("Waiting while a guest stands still")
struct PollerTests {
  @Test("sees what another thread sends at once, before it sleeps, and later", arguments: [0, 20_000_000])
  func wakes(_ after: UInt64) throws {
    let event = Shared(try EventDescriptor())
    let thread = try OSThread(name: "late") {
      _ = try? Poller.waitReadable(-1, timeoutNanoseconds: after)
      event.value.signal()
    }
    let awakeUntil = MonotonicClock.now() + 40_000_000
    #expect(
      try Poller.waitReadable(
        event.value.descriptor.number, timeoutNanoseconds: 20_000_000_000, awakeUntil: awakeUntil))
    thread.join()
  }

  @Test("ends with its time and not before, asleep or awake", arguments: [0, 1_000_000_000])
  func ends(_ awake: UInt64) throws {
    let event = try EventDescriptor()
    let began = MonotonicClock.now()
    let isReady = try Poller.waitReadable(
      event.descriptor.number, timeoutNanoseconds: 30_000_000, awakeUntil: began + 5_000_000 + awake)
    #expect(!isReady)
    #expect(MonotonicClock.now() - began >= 30_000_000)
  }

  private final class Shared: Sendable {
    let value: EventDescriptor
    init(_ value: consuming EventDescriptor) { self.value = value }
  }
}
