import Baton
import BatonWire
import LinuxOS
import Testing

@Suite("An owner whose registry fails it")
struct OwnerConnectionTests {
  @Test(
    "keeps its guest when a record cannot be read, and comes to the registry again", .timeLimit(.minutes(1)))
  func unreadable() throws {
    let registry = try ScriptedRegistry(afterVerdict: [1, 2, 3])
    defer { registry.end() }
    var guest = try registry.owner()
    while registry.standings.count < 2 {
      let order = try guest.process()
      #expect(order == nil)
      _ = try Poller.waitReadable(guest.descriptor, timeoutNanoseconds: 20_000_000)
    }
    #expect(registry.standings == [.fresh, .running(1)])
  }

  @Test("is not held up when nobody reads what it says", .timeLimit(.minutes(1)))
  func silent() throws {
    let registry = try ScriptedRegistry()
    defer { registry.end() }
    var guest = try registry.owner()
    let check = PreflightCheck(name: "room", verdict: .pass, detail: String(repeating: "x", count: 500))
    while guest.descriptor >= 0 { try guest.report([check]) }
    #expect(registry.standings == [.fresh] && !registry.hasEnded)
    // The guest runs on, and the registry is asked again.
    let order = try guest.process()
    #expect(order == nil && guest.descriptor >= 0)
  }
}
