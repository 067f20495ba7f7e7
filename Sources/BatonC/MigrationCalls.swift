import Baton
import BatonWire
public import CBaton
import Glibc
import LinuxOS
import MigrationCore
import RemoteMigration

// A guest that goes to another host, or comes from one.

extension Handle {
  /// What the VMM gives for a migration. What is wrong with it changes nothing and is wrong at any time; but that there is no
  /// room for its descriptors ends the migration it is due for.
  fileprivate func argument<Argument>(
    isDue: Bool, _ read: () throws -> Argument, orEnd end: (SystemError) throws -> Void
  ) throws -> Argument {
    do {
      return try read()
    } catch let error as SystemError where !error.isWrongDescriptor {
      guard isDue else { throw Participant.Failure.outOfTurn(participant.phase) }
      try end(error)
      throw error
    }
  }
}

@c @implementation
public func baton_vmm_interests(
  _ vmm: OpaquePointer?, _ entries: UnsafeMutablePointer<pollfd>?, _ count: Int,
  _ timeout: UnsafeMutablePointer<Int32>?
) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    let interests = handle.interests
    guard interests.count <= count else { throw NoRoom() }
    guard let timeout = unsafe timeout, unsafe entries != nil || interests.isEmpty else {
      throw Participant.Failure.unusable("there is nowhere to write to")
    }
    for (index, interest) in interests.enumerated() {
      let events = (interest.readable ? POLLIN : 0) | (interest.writable ? POLLOUT : 0)
      unsafe entries?[index] = pollfd(fd: interest.number, events: Int16(events), revents: 0)
    }
    // Not earlier than it has something to do.
    unsafe timeout.pointee = Int32((handle.waitNanoseconds + 999_999) / 1_000_000)
    return Int32(interests.count)
  }
}

@c @implementation
public func baton_vmm_peer(_ vmm: OpaquePointer?, _ name: UnsafeMutablePointer<CChar>?, _ size: Int) -> Int32
{
  unsafe Handle.callInt(vmm) { handle in
    guard let peer = handle.leaving?.peer ?? handle.coming?.peer, !peer.isEmpty else {
      throw Participant.Failure.absent("another host")
    }
    return unsafe try Borrowed.copy(peer, to: name, size: size)
  }
}

// MARK: Source

@c @implementation
public func baton_vmm_allow_migration(_ vmm: OpaquePointer?, _ remote: UnsafePointer<baton_remote>?) -> Int32
{
  unsafe Handle.callInt(vmm) { handle in
    let remote = unsafe try Remote(remote)
    guard handle.leaving == nil else { throw Participant.Failure.outOfTurn(handle.participant.phase) }
    handle.leaving = Leaving(handle, remote)
    return 0
  }
}

@c @implementation
public func baton_vmm_migrate(_ vmm: OpaquePointer?, _ source: UnsafePointer<baton_source>?) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    let leaving = handle.leaving
    let source = try handle.argument(isDue: leaving?.isOrdered == true) {
      unsafe try CSource(source)
    } orEnd: {
      try leaving?.giveUp(MigrationFailure(.sourceDeclined, "\($0)"))
    }
    guard let leaving else { throw Participant.Failure.outOfTurn(handle.participant.phase) }
    try leaving.begin(source)
    return 0
  }
}

@c @implementation
public func baton_vmm_stopped(
  _ vmm: OpaquePointer?, _ state: UnsafeRawPointer?, _ size: Int, _ lastInstruction: UInt64
) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    let bytes = unsafe try Borrowed.bytes(state, size, maximum: StateEnvelope.maximumState, "the state")
    guard let leaving = handle.leaving else { throw Participant.Failure.outOfTurn(handle.participant.phase) }
    return try leaving.stopped(state: bytes, lastInstruction: lastInstruction) ? 0 : 1
  }
}

// MARK: Target

@c @implementation
public func baton_vmm_await(
  _ vmm: OpaquePointer?, _ remote: UnsafePointer<baton_remote>?, _ mostRAM: UInt64
) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    let remote = unsafe try Remote(remote)
    try handle.participant.awaitArrival()
    handle.coming = Coming(handle, remote, mostRAM: mostRAM)
    return 0
  }
}

@c @implementation
public func baton_vmm_arrival(_ vmm: OpaquePointer?, _ arrival: UnsafeMutablePointer<baton_arrival>?) -> Int32
{
  unsafe Handle.callInt(vmm) { handle in
    guard let (preamble, machine) = handle.coming?.offer else {
      throw Participant.Failure.outOfTurn(handle.participant.phase)
    }
    var told = baton_arrival()
    told.kind = UInt32(machine.kind.rawValue)
    told.policy = machine.policy
    told.is_plan = preamble.intent == .plan ? 1 : 0
    told.facts_size = UInt32(machine.facts.count)
    told.epoch = preamble.epoch
    let size = unsafe arrival.map { unsafe $0.pointee.struct_size } ?? 0
    unsafe try Borrowed.store(told, to: arrival, size: size, smallest: MemoryLayout<baton_arrival>.size)
    return 0
  }
}

@c @implementation
public func baton_vmm_arrival_facts(
  _ vmm: OpaquePointer?, _ facts: UnsafeMutableRawPointer?, _ size: Int
) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    guard let (_, machine) = handle.coming?.offer else {
      throw Participant.Failure.outOfTurn(handle.participant.phase)
    }
    return Int32(unsafe try Borrowed.copy(machine.facts[...], to: facts, size: size))
  }
}

@c @implementation
public func baton_vmm_accept(_ vmm: OpaquePointer?, _ target: UnsafePointer<baton_target>?) -> Int32 {
  unsafe Handle.callInt(vmm) { handle in
    let coming = handle.coming
    let target = try handle.argument(isDue: coming?.offer != nil) {
      unsafe try CTarget(target)
    } orEnd: {
      try coming?.fail(.noRoom("\($0)"))
    }
    guard let coming else { throw Participant.Failure.outOfTurn(handle.participant.phase) }
    try coming.accept(target)
    return 0
  }
}
