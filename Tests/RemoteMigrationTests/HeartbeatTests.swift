import LinuxOS
import MigrationCore
import Testing

@testable import RemoteMigration

@Suite("A target that is busy")
struct HeartbeatTests {
  @Test("lets its source hear that it lives, and goes on where it was")
  func beats() throws {
    let source = try HandmadeSource()
    source.incoming.beginSilence()
    // It makes the guest's memory meanwhile, which nobody steps.
    let deadline = MonotonicClock.now() + 20_000_000_000
    var beats = 0
    while beats < 2, MonotonicClock.now() < deadline {
      _ = try Poller.waitReadable(source.socket.descriptor.number, timeoutNanoseconds: 100_000_000)
      guard let frame = try source.arrived() else { continue }
      guard case .keepalive = frame else {
        Issue.record("\(frame)")
        return
      }
      beats += 1
    }
    #expect(beats == 2)
    try source.incoming.accept(source.target, .withoutEncryption())
    while true {
      switch try source.next() {
      case .keepalive: continue
      case .target: return
      case let other:
        Issue.record("\(other)")
        return
      }
    }
  }

  @Test("that cannot write has no debts but the rest of a frame")
  func fullSocket() throws {
    let pair = try StreamSocket.pair()
    let socket = pair.first
    let filling = [UInt8](repeating: 7, count: 1 << 16)
    while try socket.send(filling[...]) > 0 {}
    let heartbeat = try Heartbeat(on: socket)
    heartbeat.begin(saying: [1, 2, 3])
    _ = try Poller.waitReadable(-1, timeoutNanoseconds: 2_300_000_000)
    let (count, rest) = try #require(heartbeat.end())
    #expect(count == 0 && rest.isEmpty)
    #expect(heartbeat.end() == nil)
  }

  @Test("is not heard once it has ended to be busy")
  func silence() throws {
    let pair = try StreamSocket.pair()
    let heartbeat = try Heartbeat(on: pair.first)
    heartbeat.begin(saying: [1, 2, 3])
    #expect(try Poller.waitReadable(pair.second.descriptor.number, timeoutNanoseconds: 20_000_000_000))
    let (count, rest) = try #require(heartbeat.end())
    #expect(count % 3 == 0 && rest.isEmpty)
    var heard = 0
    while let bytes = try pair.second.receive() { heard += bytes.count }
    #expect(UInt64(heard) == count)
    #expect(try !Poller.waitReadable(pair.second.descriptor.number, timeoutNanoseconds: 2_300_000_000))
  }

  @Test("lets go of the connection when it is over")
  func ends() throws {
    let pair = try StreamSocket.pair()
    var heartbeat: Heartbeat? = try Heartbeat(on: pair.first)
    heartbeat?.begin(saying: [1])
    heartbeat = nil
    let other = Self.closeFirst(pair)
    // Its thread has a duplicate.
    #expect(try Poller.waitReadable(other.descriptor.number, timeoutNanoseconds: 20_000_000_000))
    #expect(try other.receive() == [])
  }

  private static func closeFirst(_ pair: consuming StreamSocket.Pair) -> StreamSocket { pair.second }
}
