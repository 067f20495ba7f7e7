import Crypto
import CryptoExtras
import SEVABI
import SEVModel

/// Makes the calls of a random sequence on the model, with real bytes where the reference has names.
struct NaiveDriver {
  private static let owner = SessionOwner()
  private static let identity = PlatformIdentity(key: owner.platformKey)
  /// The owner who takes platforms over.
  private static let authority = PlatformOwner()

  private struct PacketBytes {
    let header: [UInt8]
    let data: [UInt8]
  }

  var host: ModelHost
  var memory = BadAddressMemory()
  /// The platform's certificates by the edition of its identity.
  private var editions: [PlatformCertificates] = []
  /// What the guest owner and the platform agree on, by edition.
  private var ownerSecrets: [Int: SymmetricKey] = [:]
  private var machines: [VirtualMachineID] = []
  private var vcpus: [[VirtualCPUID]] = []
  private var sessions: [Int: [UInt8]] = [:]
  private var packets: [Int: PacketBytes] = [:]
  private var measurements: [Int: [UInt8]] = [:]
  /// The VMs whose guests may not reach the migration MSR.
  private var denied: Set<Int> = []

  init(_ configuration: ModelConfiguration, seed: UInt64) {
    host = ModelHost(
      configuration: configuration, random: NaiveRandomSource(seed: seed), identity: Self.identity)
    memory.map(
      NaivePlace.mapped.lowerBound,
      count: NaivePlace.mapped.upperBound - NaivePlace.mapped.lowerBound)
    memory.store((0..<0x4000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }, at: NaivePlace.guest)
    fileEdition()
  }

  /// Keeps the certificates of a new edition of the platform's identity.
  mutating func fileEdition() {
    guard let made = try? host.platformCertificates() else {
      preconditionFailure("the platform has no certificates")
    }
    editions.append(made)
  }

  /// Makes a call.
  ///
  /// - Parameter expected: What the reference answered: which fields of the command's struct to look at.
  mutating func run(_ request: NaiveRequest) -> NaiveAnswer {
    let caller = Caller(
      addressSpace: AddressSpaceID(rawValue: request.space), lockablePages: request.lockablePages)
    memory.firmware = request.hasFirmwareAtZero ? [0, Address.firmware] : [Address.firmware]
    do throws(KernelError) {
      switch request.call {
      case .makeMachine(let type):
        let machine = try host.makeMachine(type: type, creator: caller.addressSpace)
        memory.machines[Self.descriptor(machines.count)] = machine
        machines.append(machine)
        vcpus.append([])
      case .makeVCPU(let machine, let number):
        vcpus[machine].append(try host.makeVCPU(number: number, on: machines[machine], caller: caller))
      case .guestDebug(let machine, let vcpu, let isOn):
        var control = [UInt8](repeating: 0, count: 72)
        control[0] = isOn ? 1 : 0
        try host.setVCPUState(.guestDebug, of: vcpus[machine][vcpu], to: control, caller: caller)
      case .destroy(let machine):
        memory.machines[Self.descriptor(machine)] = nil
        host.destroy(machines[machine])
      case .run(let machine, let vcpu):
        try host.checkRun(vcpus[machine][vcpu], caller: caller)
      case .registerRegion(let machine, let address, let size):
        memory.store(EncryptedRegion(address: address, size: size).bytes, at: NaivePlace.structure)
        return finish(
          host.registerRegion(on: machines[machine], argument: NaivePlace.structure, caller: caller))
      case .unregisterRegion(let machine, let address, let size):
        memory.store(EncryptedRegion(address: address, size: size).bytes, at: NaivePlace.structure)
        return finish(
          host.unregisterRegion(on: machines[machine], argument: NaivePlace.structure, caller: caller))
      case .enableCapability(let machine, let number, let flags, let source):
        let descriptor = source.map(Self.descriptor) ?? 9
        memory.store(
          EnableCapability(capability: number, flags: flags, argument: UInt64(descriptor)).bytes,
          at: NaivePlace.structure)
        return finish(
          host.enableCapability(on: machines[machine], argument: NaivePlace.structure, caller: caller))
      case .command(let command):
        return run(command, caller)
      case .device(let command):
        return run(command)
      case .enableExits(let machine, let number, let argument):
        memory.store(
          EnableCapability(capability: number, argument: argument).bytes, at: NaivePlace.structure)
        return finish(
          host.enableCapability(on: machines[machine], argument: NaivePlace.structure, caller: caller))
      case .denyMSR(let machine):
        let isDenied = denied.contains(machine)
        let number = NaiveKernel.migrationMSR
        host.denyMSRs(isDenied ? [] : [number...number], on: machines[machine])
        denied.formSymmetricDifference([machine])
      case .hypercall(let machine, let vcpu, let number, let arguments, let privilege):
        return answer(
          try host.hypercall(
            number, arguments, privilege: privilege, on: vcpus[machine][vcpu], caller: caller))
      case .readMSR(let machine, let vcpu, let index):
        return answer(try host.readMSR(index, on: vcpus[machine][vcpu], caller: caller))
      case .writeMSR(let machine, let vcpu, let index, let value):
        return answer(try host.writeMSR(index, value, on: vcpus[machine][vcpu], caller: caller))
      case .getSharedPages(let machine, let list):
        return run(list, sets: false, on: machines[machine], caller)
      case .setSharedPages(let machine, let list):
        return run(list, sets: true, on: machines[machine], caller)
      }
      return NaiveAnswer()
    } catch {
      return NaiveAnswer(error: error)
    }
  }

  private static func descriptor(_ machine: Int) -> Int32 { 100 + Int32(machine) }

  mutating func finish(_ step: Step) -> NaiveAnswer {
    NaiveAnswer(error: host.run(step, in: &memory))
  }

  // MARK: Commands

  private mutating func run(_ command: NaiveCommand, _ caller: Caller) -> NaiveAnswer {
    let profile = host.configuration.profile
    store(command, isInitialize2: profile == .mainline611)
    let block = SEVCommandBlock(
      id: command.id, data: NaivePlace.structure, error: NaiveAnswer.untouched,
      firmwareDescriptor: command.descriptor)
    memory.store(block.bytes, at: NaivePlace.block)
    allow(command.structure, at: NaivePlace.structure)
    allow(command.block, at: NaivePlace.block)
    let step = host.memoryEncryptOperation(
      on: machines[command.machine], argument: NaivePlace.block, caller: caller)
    let error = host.run(step, in: &memory)
    memory.map(NaivePlace.structure, count: 4096)
    memory.map(NaivePlace.block, count: 4096)
    let status =
      command.block == .unmapped ? NaiveAnswer.untouched : memory.load32(at: NaivePlace.block + 16)
    let answer = NaiveAnswer(error: error, firmware: status, fields: fields(command))
    allow(.readWrite, at: NaivePlace.structure)
    allow(.readWrite, at: NaivePlace.block)
    return answer
  }

  mutating func allow(_ access: NaiveAccess, at address: UInt64) {
    switch access {
    case .unmapped: memory.unmap(address, count: 4096)
    case .readOnly: memory.protect(address, count: 4096, .readOnly)
    case .readWrite: memory.protect(address, count: 4096, .readWrite)
    }
  }

  /// What the command may have written to its struct.
  private func fields(_ command: NaiveCommand) -> [UInt64] {
    let offsets: [UInt64] =
      switch command.id {
      case 2, 12: [0]
      case 6: [8]
      case 8: command.arguments.session.length == 0 ? [64] : [0, 64]
      case 9: [8, 40]
      case 16: [0, 4, 8]
      case 20: [24]
      case 23: [8]
      default: []
      }
    return offsets.map { UInt64(memory.load32(at: NaivePlace.structure + $0)) }
  }

  /// The token that a LOCAL_SEND just gave.
  var token: UInt64 { memory.load64(at: NaivePlace.structure) }

  /// Keeps the bytes of what the last command made.
  mutating func file(_ product: NaiveKernel.Product, of arguments: NaiveArguments) {
    switch product {
    case .session(let number): sessions[number] = memory.load(128, at: arguments.session.address)
    case .packet(let number):
      packets[number] = PacketBytes(
        header: memory.load(52, at: arguments.header.address),
        data: memory.load(Int(arguments.guest.length), at: arguments.transport.address))
    case .measurement(let number): measurements[number] = memory.load(32, at: arguments.transport.address)
    }
  }

  private mutating func store(_ command: NaiveCommand, isInitialize2: Bool) {
    let arguments = command.arguments
    memory.store([UInt8](repeating: 0, count: 128), at: NaivePlace.structure)
    memory.store(structure(command, isInitialize2: isInitialize2), at: NaivePlace.structure)
    for buffer in [
      arguments.certificate, arguments.session, arguments.platformCertificates,
      arguments.amdCertificates, arguments.transport, arguments.header,
    ] where NaivePlace.isMapped(buffer.address, 4096) {
      memory.store(bytes(of: buffer, arguments), at: buffer.address)
    }
  }

  private func structure(_ command: NaiveCommand, isInitialize2: Bool) -> [UInt8] {
    let arguments = command.arguments
    switch command.id {
    case 2:
      return LaunchStartParameters(
        handle: arguments.handle, policy: arguments.policy,
        certificateAddress: arguments.certificate.address,
        certificateByteCount: arguments.certificate.length, sessionAddress: arguments.session.address,
        sessionByteCount: arguments.session.length
      ).bytes
    case 3:
      return LaunchUpdateDataParameters(address: arguments.guest.address, length: arguments.guest.length)
        .bytes
    case 5, 9, 13:
      return PacketParameters(
        headerAddress: arguments.header.address, headerByteCount: arguments.header.length,
        guestAddress: arguments.guest.address, guestByteCount: arguments.guest.length,
        transportAddress: arguments.transport.address, transportByteCount: arguments.transport.length
      ).bytes
    case 6:
      return LaunchMeasureParameters(
        address: arguments.transport.address, length: arguments.transport.length
      ).bytes
    case 8:
      return SendStartParameters(
        diffieHellmanAddress: arguments.certificate.address,
        diffieHellmanByteCount: arguments.certificate.length,
        platformCertificatesAddress: arguments.platformCertificates.address,
        platformCertificatesByteCount: arguments.platformCertificates.length,
        amdCertificatesAddress: arguments.amdCertificates.address,
        amdCertificatesByteCount: arguments.amdCertificates.length,
        sessionAddress: arguments.session.address, sessionByteCount: arguments.session.length
      ).bytes
    case 12:
      return ReceiveStartParameters(
        handle: arguments.handle, policy: arguments.policy,
        diffieHellmanAddress: arguments.certificate.address,
        diffieHellmanByteCount: arguments.certificate.length,
        sessionAddress: arguments.session.address, sessionByteCount: arguments.session.length
      ).bytes
    case 17, 18:
      return DebugParameters(
        sourceAddress: arguments.guest.address, destinationAddress: arguments.destination,
        length: arguments.guest.length
      ).bytes
    case 20:
      return AttestationReportParameters(
        nonceLow: 1, nonceHigh: 2, address: arguments.transport.address,
        length: arguments.transport.length
      ).bytes
    case 22 where isInitialize2:
      return Initialize2Parameters(
        vmsaFeatures: arguments.features, flags: arguments.flags, ghcbVersion: arguments.ghcbVersion
      ).bytes
    case 23: return Bench.receiveBytes(arguments.token)
    default: return []
    }
  }

  // MARK: Bytes for names

  mutating func bytes(of buffer: NaiveBuffer, _ arguments: NaiveArguments) -> [UInt8] {
    switch buffer.content {
    case .garbage: return [UInt8](repeating: 0x5A, count: Int(min(buffer.length, 0x4000)))
    case .ownerCertificate: return Self.owner.certificate
    case .platformCertificate(let edition): return editions[edition].pdh
    case .platformChain(let edition): return editions[edition].chain
    case .amdChain: return editions[0].amd
    case .signingRequest(let edition, let isSigned):
      return isSigned ? Self.authority.signed(editions[edition].pek) : editions[edition].pek
    case .ownerAuthority: return Self.authority.certificate
    case .ownerSession(let policy, let edition): return ownerSession(policy, edition: edition)
    case .sentSession(let number): return sessions[number] ?? []
    case .packetHeader(let number, let damage):
      guard var header = packets[number]?.header else { return [] }
      switch damage {
      case .none: break
      case .compressed: header[0] |= 1
      case .flipped: header[4 + number % 48] ^= 1
      }
      return header
    case .packetData(let number, let damage):
      var data = packets[number]?.data ?? []
      if damage != .none, !data.isEmpty { data[number % data.count] ^= 0x80 }
      return data
    case .secretHeader(let measurement, let flags):
      return secretHeader(arguments, measurement: measurements[measurement] ?? [], flags: flags)
    case .secretData: return Self.secret(arguments.transport.length)
    }
  }

  private mutating func ownerSession(_ policy: UInt32, edition: Int) -> [UInt8] {
    guard
      let session = try? SessionOwner.session(
        sharedSecret: ownerSecret(edition), encryptionKey: Self.owner.encryptionKey,
        integrityKey: Self.owner.integrityKey, nonce: [UInt8](repeating: 0x40, count: 16),
        vector: [UInt8](repeating: 0x50, count: 16), policy: GuestPolicy(rawValue: policy))
    else { preconditionFailure("no session could be made") }
    return session
  }

  private mutating func ownerSecret(_ edition: Int) -> SymmetricKey {
    if let known = ownerSecrets[edition] { return known }
    let certificate = editions[edition].pdh
    let point = [4] + certificate[20..<68].reversed() + certificate[92..<140].reversed()
    guard let key = try? P384.KeyAgreement.PublicKey(x963Representation: point),
      let secret = try? Self.owner.ownKey.sharedSecretFromKeyAgreement(with: key)
    else { preconditionFailure("the platform's certificate has no key") }
    let made = SymmetricKey(data: secret)
    ownerSecrets[edition] = made
    return made
  }

  private static let vector = [UInt8](repeating: 0x33, count: 16)

  /// A secret as it travels: encrypted with TEK.
  private static func secret(_ length: UInt32) -> [UInt8] {
    let plain = [UInt8](repeating: 0xAB, count: Int(min(length, 0x4000)))
    guard let nonce = try? AES._CTR.Nonce(nonceBytes: vector),
      let data = try? AES._CTR.encrypt(
        plain, using: SymmetricKey(data: owner.encryptionKey), nonce: nonce)
    else { preconditionFailure("a secret cannot be encrypted") }
    return Array(data)
  }

  private func secretHeader(
    _ arguments: NaiveArguments, measurement: [UInt8], flags: UInt32
  ) -> [UInt8] {
    let message =
      [1] + littleEndianBytes(flags) + Self.vector + littleEndianBytes(arguments.guest.length)
      + littleEndianBytes(arguments.transport.length) + Self.secret(arguments.transport.length)
      + measurement
    let code = HMAC<SHA256>.authenticationCode(
      for: message, using: SymmetricKey(data: Self.owner.integrityKey))
    return littleEndianBytes(flags) + Self.vector + Array(code)
  }
}

/// The model's random numbers in a random sequence: different for each seed, the same in each run.
struct NaiveRandomSource: RandomSource {
  private var generator: NaiveGenerator.Random

  init(seed: UInt64) { generator = NaiveGenerator.Random(seed: seed) }

  mutating func word() -> UInt64 { generator.next() }
}
