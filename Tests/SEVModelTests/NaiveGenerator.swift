import SEVABI

/// Draws the next call of a random sequence. It looks at the reference so that most calls are about something;
/// the rest are whatever a process can get wrong. One thing is wrong in a call at most where the order of two
/// refusals is nowhere written down.
struct NaiveGenerator {
  /// SplitMix64: small, and the same everywhere.
  struct Random: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
      state = seed
      // A multiple of the increment would make the next seed's numbers these ones, but for the first.
      state = next()
    }

    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var word = state
      word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
      word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
      return word ^ word >> 31
    }
  }

  var random: Random
  /// So that a bad buffer is not met by a memlock limit as well.
  private var hasBadBuffer = false

  init(seed: UInt64) { random = Random(seed: seed) }

  mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

  mutating func pick<Element>(_ elements: [Element]) -> Element? { elements.randomElement(using: &random) }

  /// One of several, the earlier the more often.
  mutating func lean<Element>(_ first: Element, _ others: Element...) -> Element {
    chance(60) ? first : pick(others) ?? first
  }

  mutating func request(_ kernel: NaiveKernel) -> NaiveRequest {
    hasBadBuffer = false
    let open = kernel.machines.indices.filter { kernel.machines[$0].isOpen }
    guard let machine = pick(open) else { return make(kernel) }
    let call = call(kernel, machine: machine, open: open)
    var request = NaiveRequest(call: call)
    if case .makeMachine = call {
      request.space = chance(80) ? 1 : 2
      return request
    }
    let creator = kernel.machines[call.speaker ?? machine].creator
    request.space = chance(97) ? creator : 3 - creator
    if !hasBadBuffer, chance(25) {
      // Near what the VM has pinned already, so that a page more or less is told.
      let locked = chance(60) ? kernel.machines[machine].lockedPages : 0
      request.lockablePages = locked + UInt64(lean(1, 0, 2, 3, 40))
    }
    request.hasFirmwareAtZero = chance(85)
    return request
  }

  private mutating func make(_ kernel: NaiveKernel) -> NaiveRequest {
    NaiveRequest(call: .makeMachine(type: machineType(kernel)), space: chance(80) ? 1 : 2)
  }

  private mutating func machineType(_ kernel: NaiveKernel) -> UInt64 {
    kernel.profile == .mainline611 ? lean(0, 2, 3, 3, 2, 1, 4, 9) : lean(0, 0, 0, 0, 2)
  }

  private mutating func call(_ kernel: NaiveKernel, machine: Int, open: [Int]) -> NaiveRequest.Call {
    let state = kernel.machines[machine]
    switch Int.random(in: 0..<100, using: &random) {
    case 0..<(open.count < 4 ? 12 : open.count < 8 ? 3 : 0): return .makeMachine(type: machineType(kernel))
    case 12..<15: return .destroy(machine: machine)
    case 15..<20: return .makeVCPU(machine: machine, number: lean(0, 1, 2, 1, 5000))
    case 20..<27:
      let mirrors = open.filter { kernel.machines[$0].owner != nil }
      let active = chance(30) && !mirrors.isEmpty ? mirrors : open.filter { kernel.machines[$0].isActive }
      return .enableCapability(
        machine: machine, number: lean(206, 197, 197, 197, 9), flags: chance(96) ? 0 : 1,
        source: chance(95) ? pick(chance(70) && !active.isEmpty ? active : open) : nil)
    case 27..<31:
      return .registerRegion(
        machine: machine, address: lean(NaivePlace.guest, NaivePlace.guest + 0x2800, 0x7000),
        size: UInt64(lean(0x2000, 0x1000, 0x1800, 0, 0x8000)))
    case 31..<35:
      if let region = pick(state.regions), chance(75) {
        return .unregisterRegion(
          machine: machine, address: region.address, size: region.size)
      }
      return .unregisterRegion(machine: machine, address: NaivePlace.guest, size: 0x2000)
    case 35..<37 where !state.vcpus.isEmpty:
      return .run(machine: machine, vcpu: Int.random(in: state.vcpus.indices, using: &random))
    case 37..<39 where !state.vcpus.isEmpty:
      let vcpu = Int.random(in: state.vcpus.indices, using: &random)
      guard !state.vcpus[vcpu].isProtected else { return .run(machine: machine, vcpu: vcpu) }
      return .guestDebug(machine: machine, vcpu: vcpu, isOn: chance(30))
    case 39..<44: return .device(device(kernel))
    case 44..<52: return pages(kernel, machine: machine, open: open)
    default: return .command(command(kernel, machine: machine))
    }
  }

  // MARK: Commands

  private mutating func command(_ kernel: NaiveKernel, machine: Int) -> NaiveCommand {
    let id = chance(78) ? sensible(kernel, machine: machine) : UInt32.random(in: 0..<26, using: &random)
    var command = NaiveCommand(id: id, machine: machine)
    command.arguments = arguments(kernel, machine: machine, id: id)
    if chance(5) { command.descriptor = pick([0, -1, 3]) ?? 0 }
    if !hasBadBuffer, chance(6) {
      command.structure = chance(50) ? .unmapped : .readOnly
      hasBadBuffer = true
    }
    if chance(2) { command.block = chance(40) ? .unmapped : .readOnly }
    return command
  }

  /// A command that the state of the VM asks for.
  private mutating func sensible(_ kernel: NaiveKernel, machine number: Int) -> UInt32 {
    let machine = kernel.machines[number]
    let isRFC = kernel.profile == .rfc
    guard machine.isActive else {
      // Most stay plain for a while, so that there is something to move to.
      guard chance(50) else { return 16 }
      if machine.type >= 2 { return 22 }
      return kernel.freeASIDs.encryptedState > 0 && chance(40) ? 1 : 0
    }
    let hasNodes = isRFC && !kernel.nodes.isEmpty
    switch kernel.firmware.guests[machine.handle]?.state ?? 0 {
    case NaiveFirmware.State.launching: return lean(6, 3, 4, 4, 3, 16)
    case NaiveFirmware.State.measured: return lean(5, 7, 7, 7, 20, 16)
    case NaiveFirmware.State.running: return lean(8, isRFC ? 22 : 16, isRFC ? 22 : 20, 17, 18, 16, 20)
    case NaiveFirmware.State.sending: return lean(9, 11, 11, 21, 16, 20)
    case NaiveFirmware.State.receiving: return lean(13, 15, 13, 16)
    case NaiveFirmware.State.sent: return lean(16, 17, 20, 22)
    default:
      if hasNodes, chance(50) { return 23 }
      if !kernel.sessions.isEmpty, chance(50) { return 12 }
      return lean(2, 2, 2, isRFC ? 22 : 16)
    }
  }

  private mutating func arguments(
    _ kernel: NaiveKernel, machine: Int, id: UInt32
  ) -> NaiveArguments {
    var arguments = NaiveArguments()
    switch id {
    case 2: launchStart(kernel, machine, &arguments)
    case 3:
      arguments.guest = guest(lengths: [16, 64, 4096, 0x3000])
    case 5: secret(kernel, machine, &arguments)
    case 6: arguments.transport = output(lengths: [48, 48, 64, 0, 47, 0x4001])
    case 8: sendStart(kernel, machine, &arguments)
    case 9:
      arguments.guest = guest(lengths: [64, 16, 4096, 4096])
      arguments.header = output(lengths: [52, 52, 60, 0, 51], at: NaivePlace.header)
      arguments.transport = output(
        lengths: [arguments.guest.length, arguments.guest.length + 32, 0], at: NaivePlace.transport)
    case 12: receiveStart(kernel, machine, &arguments)
    case 13: packet(kernel, machine, &arguments)
    case 17, 18:
      arguments.guest = guest(lengths: [16, 20, 4096, 0x2100])
      arguments.destination = chance(96) ? arguments.guest.address &+ 0x8000 : pick([0, 0x6000]) ?? 0
    case 20: arguments.transport = output(lengths: [208, 208, 300, 0, 207, 0x4001])
    case 22:
      arguments.features = chance(94) ? 0 : 1 << 63
      arguments.flags = chance(94) ? 0 : 1 << UInt32.random(in: 0..<32, using: &random)
      arguments.ghcbVersion = UInt16(lean(0, 1, 2, 3))
    case 23:
      let tokens = kernel.nodes.keys.sorted()
      arguments.token = chance(92) ? pick(tokens) ?? 1 : UInt64.random(in: 0...3, using: &random)
    default: break
    }
    return arguments
  }

  private mutating func policy(_ kernel: NaiveKernel, _ machine: Int) -> UInt32 {
    let base: UInt32 = lean(
      0, 0, 1, 2, 8, 9, 0x10, 0x20, 0x30, 0x0001_0000, 0x40, 0xFF00_0000, 0x0100_0000, 0x8000)
    let isES = kernel.machines[machine].isES
    return isES == chance(95) ? base | NaiveFirmware.Policy.encryptedState : base
  }

  private mutating func launchStart(
    _ kernel: NaiveKernel, _ machine: Int, _ arguments: inout NaiveArguments
  ) {
    arguments.policy = policy(kernel, machine)
    if chance(6) { arguments.handle = UInt32.random(in: 1...4, using: &random) }
    guard chance(55) else { return }
    arguments.certificate = NaiveBuffer(
      address: NaivePlace.certificate, length: 2084, content: .ownerCertificate)
    let edition = edition(kernel)
    arguments.session = NaiveBuffer(
      address: NaivePlace.session, length: 128,
      content: .ownerSession(policy: arguments.policy, edition: edition))
    if chance(25) { spoilSession(kernel, &arguments) }
  }

  /// A session that does not fit, or a buffer that is none.
  private mutating func spoilSession(_ kernel: NaiveKernel, _ arguments: inout NaiveArguments) {
    switch Int.random(in: 0..<6, using: &random) {
    case 0: arguments.policy ^= 1
    case 1:
      arguments.certificate.content = lean(
        .garbage, .platformCertificate(edition(kernel)), .ownerCertificate)
    case 2: arguments.session.content = .garbage
    case 3:
      if let other = pick(kernel.sessions.keys.sorted()) { arguments.session.content = .sentSession(other) }
    case 4: spoil(&arguments.certificate)
    default: spoil(&arguments.session)
    }
  }

  mutating func spoil(_ buffer: inout NaiveBuffer) {
    hasBadBuffer = true
    switch Int.random(in: 0..<5, using: &random) {
    case 0: buffer.address = 0
    case 1: buffer.address = NaivePlace.unmapped
    case 2: buffer.length = 0
    case 3: buffer.length = 0x4001
    default: buffer.length -= 1
    }
  }

  /// Guest memory of a command.
  private mutating func guest(lengths: [UInt32]) -> NaiveBuffer {
    var buffer = NaiveBuffer(address: NaivePlace.guest, length: pick(lengths) ?? 16)
    if chance(30) { buffer.address += 0x1000 }
    guard chance(10) else { return buffer }
    hasBadBuffer = true
    switch Int.random(in: 0..<6, using: &random) {
    case 0: buffer.address = 0
    case 1: buffer.address = NaivePlace.unmapped
    case 2: buffer.length = 0
    case 3: buffer.length += 8
    case 4: buffer.address += 8
    default: buffer.address = .max - 7
    }
    return buffer
  }

  private mutating func output(lengths: [UInt32], at address: UInt64 = NaivePlace.output) -> NaiveBuffer {
    var buffer = NaiveBuffer(address: address, length: lengths[0])
    if chance(25), let length = pick(lengths) { buffer.length = length }
    if !hasBadBuffer, chance(5) {
      hasBadBuffer = true
      buffer.address = chance(50) ? 0 : NaivePlace.unmapped
    }
    return buffer
  }

  private mutating func secret(
    _ kernel: NaiveKernel, _ machine: Int, _ arguments: inout NaiveArguments
  ) {
    let length: UInt32 = lean(64, 16, 2048)
    let known = kernel.firmware.guests[kernel.machines[machine].handle]?.measurement ?? 0
    let measurement = chance(90) ? known : Int.random(in: 0...3, using: &random)
    arguments.guest = NaiveBuffer(address: NaivePlace.guest, length: length)
    arguments.header = NaiveBuffer(
      address: NaivePlace.header, length: 52,
      content: .secretHeader(measurement: measurement, flags: chance(94) ? 0 : 1))
    arguments.transport = NaiveBuffer(
      address: NaivePlace.transport, length: length, content: .secretData)
    switch Int.random(in: 0..<24, using: &random) {
    case 0: spoil(&arguments.header)
    case 1: spoil(&arguments.transport)
    case 2: spoil(&arguments.guest)
    case 3: arguments.header.content = .garbage
    case 4: arguments.guest.address += 8
    case 5: arguments.guest.address += 0xFF8
    default: break
    }
  }

  private mutating func sendStart(
    _ kernel: NaiveKernel, _ machine: Int, _ arguments: inout NaiveArguments
  ) {
    let policy = kernel.firmware.guests[kernel.machines[machine].handle]?.policy ?? 0
    arguments.certificate = NaiveBuffer(
      address: NaivePlace.certificate, length: 2084, content: .platformCertificate(edition(kernel)))
    arguments.platformCertificates = NaiveBuffer(
      address: NaivePlace.platformCertificates, length: 6252, content: .platformChain(edition(kernel)))
    arguments.amdCertificates = NaiveBuffer(
      address: NaivePlace.amdCertificates, length: 1664, content: .amdChain)
    arguments.session = NaiveBuffer(address: NaivePlace.session, length: 128)
    let needsChain = policy & (NaiveFirmware.Policy.domain | NaiveFirmware.Policy.genuine) != 0
    if !needsChain, chance(50) {
      arguments.platformCertificates = NaiveBuffer(
        address: NaivePlace.platformCertificates, length: 16)
      arguments.amdCertificates = NaiveBuffer(address: NaivePlace.amdCertificates, length: 16)
      arguments.certificate.content = lean(
        arguments.certificate.content, .ownerCertificate, .garbage)
    }
    switch Int.random(in: 0..<20, using: &random) {
    case 0: arguments.session.length = 0
    case 1: spoil(&arguments.session)
    case 2 where policy & NaiveFirmware.Policy.domain == 0: spoil(&arguments.platformCertificates)
    case 3 where policy & NaiveFirmware.Policy.domain == 0: spoil(&arguments.amdCertificates)
    case 4 where policy & NaiveFirmware.Policy.domain == 0: spoil(&arguments.certificate)
    default: break
    }
  }

  private mutating func receiveStart(
    _ kernel: NaiveKernel, _ machine: Int, _ arguments: inout NaiveArguments
  ) {
    guard let number = pick(kernel.sessions.keys.sorted()), let sent = kernel.sessions[number] else {
      return launchStart(kernel, machine, &arguments)
    }
    arguments.policy = sent.policy
    arguments.certificate = NaiveBuffer(
      address: NaivePlace.certificate, length: 2084, content: sent.receiver)
    arguments.session = NaiveBuffer(
      address: NaivePlace.session, length: 128, content: .sentSession(number))
    if chance(15) { spoilSession(kernel, &arguments) }
  }

  private mutating func packet(
    _ kernel: NaiveKernel, _ machine: Int, _ arguments: inout NaiveArguments
  ) {
    let keys = kernel.firmware.guests[kernel.machines[machine].handle]?.keys
    let fitting = kernel.packets.filter { $0.value.keys == keys }.keys.sorted()
    let known = kernel.packets.keys.sorted()
    let number = pick(chance(85) && !fitting.isEmpty ? fitting : known)
    let length = number.flatMap { kernel.packets[$0]?.length } ?? 64
    let damage: NaiveDamage = lean(.none, .none, .none, .compressed, .flipped)
    arguments.header = NaiveBuffer(
      address: NaivePlace.header, length: chance(90) ? 52 : 51,
      content: number.map { .packetHeader($0, damage) } ?? .garbage)
    arguments.transport = NaiveBuffer(
      address: NaivePlace.transport, length: length,
      content: number.map { .packetData($0, chance(92) ? .none : .flipped) } ?? .garbage)
    arguments.guest = NaiveBuffer(address: NaivePlace.guest + 0x4000, length: length)
    switch Int.random(in: 0..<20, using: &random) {
    case 0: spoil(&arguments.header)
    case 1: spoil(&arguments.transport)
    case 2: spoil(&arguments.guest)
    case 3:
      arguments.guest.length = 32
      arguments.transport.length = 32
    default: break
    }
  }
}
