import BatonWire
import Harness
import LinuxOS

/// The registry's resident memory with many registered guests.
///
/// Each guest has a connection of its own and says what a VMM says; all of them are in this process, because
/// the registry does not care who holds a connection.
struct RegistryMemory {
  let workspace: Workspace

  func measure(guests count: Int) throws -> Results.Memory {
    try ThisProcess.raiseDescriptorLimit()
    let registry = try workspace.startRegistry()
    let empty = try registry.residentByteCount()
    Progress.say("registering \(count) guests")
    var guests: [RecordPeer] = []
    for number in 1...count { guests.append(try register("light-\(number)")) }
    let full = try registry.residentByteCount()
    withExtendedLifetime(guests) {}
    registry.kill()
    return Results.Memory(guests: count, emptyByteCount: empty, residentByteCount: full)
  }

  /// A guest as the registry sees one: a connection whose first record was accepted and that runs it.
  private func register(_ name: String) throws -> RecordPeer {
    let peer = try RecordPeer(path: workspace.handoffSocket)
    try peer.send(.hello(RecordPeer.hello(name, .fresh)))
    while true {
      switch try peer.next() {
      case .message(.run(let epoch)):
        try peer.send(.running(epoch: epoch, firstInstruction: MonotonicClock.now()))
        return peer
      case .message(.refusal(let refusal, let text)):
        throw BenchError("guest \(name) was refused (\(refusal)): \(text)")
      case .message: continue
      case .closed: throw BenchError("the registry closed the connection of guest \(name)")
      case .silence: throw BenchError("the registry does not answer guest \(name)")
      }
    }
  }
}
