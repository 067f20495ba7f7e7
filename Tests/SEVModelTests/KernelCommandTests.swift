import SEVABI
import SEVModel
import Testing

/// Numbers of commands by kernel, and what the two local-migration commands look like on kernels without them.
@Suite("Command numbers")
struct KernelCommandTests {
  /// What a number means on a VM that is no guest. Commands of guests are ENOTTY there, before their parameters.
  private enum Meaning {
    case initialize, guestCommand, receiveUpdateData, initialize2, nothing
  }

  private static func meaning(_ id: UInt32, _ profile: KernelProfile) -> Meaning {
    switch id {
    case 0, 1: .initialize
    case 10, 14, 19: .nothing
    case 13: .receiveUpdateData
    case 21: profile == .v10SharedPages ? .nothing : .guestCommand
    case 22: profile == .rfc ? .guestCommand : profile == .mainline611 ? .initialize2 : .nothing
    case 23: profile == .rfc ? .guestCommand : .nothing
    case 2...20: .guestCommand
    default: .nothing
    }
  }

  @Test("mean what each kernel gives them", arguments: KernelProfile.allCases, 0..<UInt32(110))
  func numbers(profile: KernelProfile, id: UInt32) {
    var bench = Bench(profile)
    let machine = bench.makeMachine()
    switch Self.meaning(id, profile) {
    case .initialize: #expect(bench.issue(rawID: id, machine).error == nil)
    case .guestCommand: #expect(bench.issue(rawID: id, machine, data: 8) == .failed(.notSupported))
    case .receiveUpdateData, .initialize2:
      #expect(bench.issue(rawID: id, machine, data: 8) == .failed(.invalidArgument))
    case .nothing:
      // Without write-back, also on a guest.
      bench.memory.readOnly = [Address.block]
      #expect(bench.issue(rawID: id, machine) == .failed(.invalidArgument))
      bench.memory.readOnly = []
      let guest = bench.makeLaunched()
      bench.memory.readOnly = [Address.block]
      #expect(bench.issue(rawID: id, guest) == .failed(.invalidArgument))
    }
  }

  private static func both(
    _ profile: KernelProfile, _ expected: KernelError?, _ make: (inout Bench) -> VirtualMachineID
  ) {
    for id in [UInt32(22), 23] {
      var bench = Bench(profile)
      let machine = make(&bench)
      #expect(bench.issue(rawID: id, machine).error == expected, "command \(id)")
    }
  }

  static let collisions: [KernelCase] = [
    KernelCase("SEV off: ENOTTY") {
      for id in [UInt32(22), 23] {
        var bench = Bench(ModelConfiguration(isEnabled: false, profile: .mainline611))
        #expect(bench.issue(rawID: id, bench.makeMachine()) == .failed(.notSupported))
      }
    },
    KernelCase("SEV on, argument NULL: 0") {
      var bench = Bench(.mainline611)
      let machine = bench.makeMachine()
      let step = bench.host.memoryEncryptOperation(on: machine, argument: 0, caller: bench.caller)
      #expect(bench.host.run(step, in: &bench.memory) == nil)
    },
    KernelCase("command block that cannot be read: EFAULT") {
      var bench = Bench(.mainline611)
      let machine = bench.makeMachine()
      let step = bench.host.memoryEncryptOperation(on: machine, argument: 8, caller: bench.caller)
      #expect(bench.host.run(step, in: &bench.memory) == .badAddress)
    },
    KernelCase("another address space, or a dead VM: EIO") {
      both(.mainline611, .inputOutput) { bench in
        let machine = bench.makeLaunched()
        bench.caller.addressSpace = AddressSpaceID(rawValue: 2)
        return machine
      }
      both(.mainline611, .inputOutput) { bench in
        let machine = bench.makeLaunched()
        precondition(bench.move(machine, to: bench.makePlain()) == nil)
        return machine
      }
    },
    KernelCase("mirror: EINVAL") {
      both(.mainline611, .invalidArgument) { bench in
        let mirror = bench.makePlain()
        precondition(bench.mirror(bench.makeLaunched(), as: mirror) == nil)
        return mirror
      }
    },
    KernelCase("up to 6.9, plain VM, initialised or launched guest: EINVAL") {
      both(.mainline516, .invalidArgument) { $0.makeMachine() }
      both(.mainline516, .invalidArgument) { $0.makeGuest() }
      both(.mainline516, .invalidArgument) { $0.makeLaunched() }
    },
    KernelCase("from 6.10, VM of the default type, plain, initialised or launched: EINVAL") {
      both(.mainline611, .invalidArgument) { $0.makeMachine() }
      both(.mainline611, .invalidArgument) { $0.makeGuest() }
      both(.mainline611, .invalidArgument) { $0.makeLaunched() }
    },
    KernelCase("from 6.10, typed VM: 22 is taken for INIT2 and succeeds; the token stays what it was") {
      var bench = Bench(.mainline611)
      let machine = try bench.host.makeMachine(type: 2, creator: bench.caller.addressSpace)
      let (ending, token) = bench.send(machine)
      #expect(ending.error == nil)
      #expect(token == 0)
      #expect(bench.start(machine) == .ok)
    },
    KernelCase("from 6.10, typed VM: 22 with an 8-byte buffer at the end of its page: EFAULT; 23: EINVAL") {
      var bench = Bench(.mainline611)
      let machine = try bench.host.makeMachine(type: 2, creator: bench.caller.addressSpace)
      bench.memory.faults = [Address.parameters]
      #expect(bench.issue(rawID: 22, machine) == .failed(.badAddress))
      #expect(bench.issue(rawID: 23, machine) == .failed(.invalidArgument))
    },
    KernelCase("from 6.10, typed VM: 22 with garbage behind the 8 bytes: EINVAL") {
      var bench = Bench(.mainline611)
      let machine = try bench.host.makeMachine(type: 2, creator: bench.caller.addressSpace)
      bench.memory.store([UInt8](repeating: 0xEE, count: 40), at: Address.parameters + 8)
      #expect(bench.issue(rawID: 22, machine) == .failed(.invalidArgument))
    },
    KernelCase("from 6.10, typed VM that is a guest: EINVAL") {
      both(.mainline611, .invalidArgument) { bench in
        guard let machine = try? bench.host.makeMachine(type: 2, creator: bench.caller.addressSpace) else {
          preconditionFailure("no typed VM")
        }
        precondition(bench.issue(rawID: 22, machine).error == nil)
        return machine
      }
    },
    KernelCase("the probe: NULL 0 with 23 ENOTTY on a plain VM is the patches, with EINVAL mainline") {
      var rfc = Bench(.rfc)
      #expect(rfc.issue(rawID: 23, rfc.makeMachine()) == .failed(.notSupported))
      for profile in [KernelProfile.mainline516, .mainline611, .v10SharedPages] {
        var bench = Bench(profile)
        #expect(bench.issue(rawID: 23, bench.makeMachine()) == .failed(.invalidArgument))
      }
    },
  ]

  @Test("22 and 23 on a kernel without local migration", arguments: collisions)
  func withoutLocalMigration(row: KernelCase) throws {
    try row.run()
  }
}
