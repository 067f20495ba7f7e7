import SEVABI

/// Draws commands of `/dev/sev`, and what guests say about their pages.
extension NaiveGenerator {
  /// An edition of the platform's identity, most often the current one.
  mutating func edition(_ kernel: NaiveKernel) -> Int {
    let current = kernel.firmware.identity.edition
    return chance(90) ? current : Int.random(in: 0...current, using: &random)
  }

  mutating func device(_ kernel: NaiveKernel) -> NaiveDeviceCommand {
    // The keys stay for a while, so that sessions can be used.
    var command = NaiveDeviceCommand(
      id: chance(70) ? pick([1, 3, 5, 7, 8]) ?? 1 : pick([0, 2, 4, 6, 9]) ?? 0)
    if kernel.firmware.guests.isEmpty, chance(40) { command.id = pick([0, 2, 6, 6]) ?? 6 }
    command.isWritable = chance(88)
    if chance(12) {
      command.structure = chance(50) ? .unmapped : .readOnly
    } else if chance(6) {
      command.block = chance(40) ? .unmapped : .readOnly
    }
    switch command.id {
    case 3: command.first = room(2084)
    case 5:
      command.first = room(2084)
      command.second = room(6252)
      command.second.address &+= command.second.address == NaivePlace.output ? 0x2000 : 0
    case 6: takeover(kernel, &command)
    case 8: command.first = room(128)
    default: break
    }
    return command
  }

  /// Room for something of `length` bytes, or too little.
  private mutating func room(_ length: UInt32) -> NaiveBuffer {
    NaiveBuffer(
      address: lean(NaivePlace.output, NaivePlace.output, NaivePlace.output, NaivePlace.unmapped, 0),
      length: lean(length, length + 100, length - 1, 0, 0x4000, 0x4001))
  }

  private mutating func takeover(_ kernel: NaiveKernel, _ command: inout NaiveDeviceCommand) {
    command.first = NaiveBuffer(
      address: NaivePlace.certificate, length: 2084,
      content: .signingRequest(edition(kernel), isSigned: chance(85)))
    command.second = NaiveBuffer(
      address: NaivePlace.platformCertificates, length: 2084, content: .ownerAuthority)
    switch Int.random(in: 0..<16, using: &random) {
    case 0: command.first.content = .garbage
    case 1: command.second.content = lean(.garbage, .platformCertificate(0))
    case 2: spoil(&command.first)
    case 3: spoil(&command.second)
    default: break
    }
  }

  // MARK: Pages

  mutating func pages(_ kernel: NaiveKernel, machine: Int, open: [Int]) -> NaiveRequest.Call {
    // Most often a guest that can speak.
    let speaking = open.filter { kernel.machines[$0].isActive && !kernel.machines[$0].vcpus.isEmpty }
    let machine = chance(80) ? speaking.first ?? machine : machine
    let state = kernel.machines[machine]
    guard !state.vcpus.isEmpty, chance(75) else {
      return chance(60)
        ? .getSharedPages(machine: machine, list(setting: nil))
        : .setSharedPages(machine: machine, list(setting: state))
    }
    let vcpu = Int.random(in: state.vcpus.indices, using: &random)
    let register: UInt32 = lean(NaiveKernel.migrationMSR, 0x10)
    switch Int.random(in: 0..<12, using: &random) {
    case 0:
      return .enableExits(
        machine: machine, number: lean(201, 188, 188, 235), argument: lean(1 << 12, 0, 2, 4, 6, 8))
    case 1: return .denyMSR(machine: machine)
    case 2: return .readMSR(machine: machine, vcpu: vcpu, index: register)
    case 3, 4: return .writeMSR(machine: machine, vcpu: vcpu, index: register, value: UInt64(lean(1, 0, 2)))
    default:
      var arguments: [UInt64] = [
        UInt64.random(in: 0..<48, using: &random) * 4096, UInt64.random(in: 0...9, using: &random),
        chance(60) ? 0 : 0x11,
      ]
      if chance(4) { arguments[0] += 8 }
      // A range that wraps.
      if chance(4) { (arguments[0], arguments[1]) = (4096, .max) }
      return .hypercall(
        machine: machine, vcpu: vcpu, number: lean(12, 12, 12, 11), arguments: arguments,
        privilege: chance(95) ? 0 : 3)
    }
  }

  /// - Parameter machine: Whose list gets entries, which lie behind all that are in it and apart.
  private mutating func list(setting machine: NaiveKernel.Machine?) -> NaiveList {
    var list = NaiveList()
    if let machine, chance(85) {
      var next = (machine.sharedPages.max() ?? 0) + 2
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let end = next + UInt64.random(in: 1...4, using: &random)
        list.entries.append([next, end])
        next = end + UInt64.random(in: 1...3, using: &random)
      }
      if chance(5) { list.entries[0].reverse() }
    }
    if machine == nil, chance(25) { list.size = lean(0, 15, 16, 32) }
    switch Int.random(in: 0..<30, using: &random) {
    case 0: list.structure = .unmapped
    case 1: list.structure = .readOnly
    case 2: list.count = .unmapped
    case 3: list.count = .readOnly
    case 4: list.entriesAccess = .unmapped
    case 5: list.entriesAccess = .readOnly
    case 6: list.hasBuffer = false
    default: break
    }
    return list
  }
}
