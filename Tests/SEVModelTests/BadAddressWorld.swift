import Crypto
import CryptoExtras
import SEVABI
import SEVModel

/// A modelled machine, and one process whose memory has pages with permissions.
struct BadAddressWorld {
  private static let owner = SessionOwner()
  private static let identity = PlatformIdentity(key: owner.platformKey)

  /// Where the process keeps what no test spoils.
  private enum Place {
    static let block: UInt64 = 0x10_0000
    static let structure: UInt64 = 0x11_0000
    static let first: UInt64 = 0x12_0000
    static let second: UInt64 = 0x13_0000
    static let third: UInt64 = 0x14_0000
    static let guest: UInt64 = 0x15_0000
    static let end: UInt64 = 0x16_0000
  }

  var host: ModelHost
  var memory = BadAddressMemory()
  let caller = Caller(addressSpace: AddressSpaceID(rawValue: 1), lockablePages: 64)
  /// The VM that the request is for, and others that it needs, in the order in which they were made.
  var machines: [VirtualMachineID] = []
  /// What was made on the way.
  var token: UInt64 = 0
  var session: [UInt8] = []
  var header: [UInt8] = []
  var transport: [UInt8] = []
  var measurement: [UInt8] = []
  var certificates: PlatformCertificates?

  init(_ profile: KernelProfile = .rfc) {
    host = ModelHost(
      configuration: ModelConfiguration(profile: profile, asidCount: 4, encryptedStateASIDCount: 4),
      random: ScriptedRandom(), identity: Self.identity)
    memory.map(Place.block, count: Place.end - Place.block)
    memory.firmware = [0, Address.firmware]
  }

  var machine: VirtualMachineID { machines[0] }

  /// The platform's Diffie-Hellman certificate, unsigned: enough for a guest whose policy asks for no chain.
  static var platformCertificate: [UInt8] {
    SessionOwner.certificate(key: owner.platformKey.publicKey)
  }

  static var ownerCertificate: [UInt8] { owner.certificate }

  static func ownerSession(policy: GuestPolicy) -> [UInt8] {
    guard let session = try? owner.session(policy: policy) else {
      preconditionFailure("no session could be made")
    }
    return session
  }

  // MARK: Calls

  mutating func makeMachine(type: MachineType = .standard) -> VirtualMachineID {
    do {
      let machine = try host.makeMachine(type: type.rawValue, creator: caller.addressSpace)
      machines.append(machine)
      memory.machines[100 + Int32(machines.count)] = machine
      return machine
    } catch {
      preconditionFailure("no VM of type \(type): \(error)")
    }
  }

  mutating func makeVCPU(on machine: VirtualMachineID) {
    do {
      _ = try host.makeVCPU(number: 0, on: machine, caller: caller)
    } catch {
      preconditionFailure("no vCPU: \(error)")
    }
  }

  /// A command whose block and struct are where the caller says.
  mutating func issue(
    _ id: UInt32, _ machine: VirtualMachineID, block: UInt64, structure: UInt64, _ bytes: [UInt8]
  ) -> Ending {
    memory.store(bytes, at: structure)
    memory.store(
      SEVCommandBlock(
        id: id, data: structure, error: FirmwareStatus.neverCalled.rawValue,
        firmwareDescriptor: Address.firmware
      ).bytes, at: block)
    let step = host.memoryEncryptOperation(on: machine, argument: block, caller: caller)
    let error = host.run(step, in: &memory)
    return Ending(error: error, firmware: FirmwareStatus(rawValue: memory.load32(at: block + 16)))
  }

  /// A command that must succeed, at addresses that are good.
  mutating func must(_ id: SEVCommandID, _ machine: VirtualMachineID, _ bytes: [UInt8] = []) {
    let ending = issue(
      id.rawValue, machine, block: Place.block, structure: Place.structure, bytes)
    precondition(ending.error == nil, "\(id.name) failed: \(ending)")
  }

  /// Statuses, counts of guests and of free ASIDs: what a request can have changed.
  mutating func fingerprint() -> [UInt64] {
    var print = [UInt64(host.guestCount), UInt64(host.freeASIDCount)]
    for machine in machines {
      let ending = issue(
        SEVCommandID.guestStatus.rawValue, machine, block: Place.block, structure: Place.structure,
        [UInt8](repeating: 0, count: 12))
      print.append(UInt64(UInt32(bitPattern: ending.error?.rawValue ?? 0)))
      for offset in [0, 4, 8] as [UInt64] {
        print.append(UInt64(memory.load32(at: Place.structure + offset)))
      }
      print.append(UInt64(host.sharedPages(of: machine).count))
    }
    return print
  }

  // MARK: States

  mutating func makeGuest(encryptedState: Bool = false) {
    must(encryptedState ? .esInitialize : .initialize, makeMachine())
  }

  mutating func makeLaunching(policy: GuestPolicy = [], withSession: Bool = false) {
    makeGuest(encryptedState: policy.contains(.encryptedState))
    let machine = machines[machines.count - 1]
    if policy.contains(.encryptedState) { makeVCPU(on: machine) }
    var parameters = LaunchStartParameters(policy: policy.rawValue)
    if withSession {
      memory.store(Self.ownerCertificate, at: Place.first)
      memory.store(Self.ownerSession(policy: policy), at: Place.second)
      parameters = LaunchStartParameters(
        policy: policy.rawValue, certificateAddress: Place.first, certificateByteCount: 2084,
        sessionAddress: Place.second, sessionByteCount: 128)
    }
    must(.launchStart, machine, parameters.bytes)
  }

  mutating func makeMeasured(policy: GuestPolicy = [], withSession: Bool = false) {
    makeLaunching(policy: policy, withSession: withSession)
    let machine = machines[machines.count - 1]
    if policy.contains(.encryptedState) { must(.launchUpdateVMSA, machine) }
    must(.launchMeasure, machine, LaunchMeasureParameters(address: Place.first, length: 48).bytes)
    measurement = memory.load(32, at: Place.first)
  }

  mutating func makeRunning(policy: GuestPolicy = []) {
    makeMeasured(policy: policy)
    must(.launchFinish, machines[machines.count - 1])
  }

  mutating func makeSending() {
    makeRunning()
    memory.store(Self.platformCertificate, at: Place.first)
    must(
      .sendStart, machine,
      SendStartParameters(
        diffieHellmanAddress: Place.first, diffieHellmanByteCount: 2084,
        platformCertificatesAddress: Place.second, platformCertificatesByteCount: 16,
        amdCertificatesAddress: Place.second, amdCertificatesByteCount: 16,
        sessionAddress: Place.third, sessionByteCount: 128
      ).bytes)
    session = memory.load(128, at: Place.third)
  }

  /// A guest that sent one packet; the VM of the request is a fresh one, and comes first.
  mutating func makeTarget() {
    makeSending()
    must(
      .sendUpdateData, machine,
      PacketParameters(
        headerAddress: Place.first, headerByteCount: 52, guestAddress: Place.guest,
        guestByteCount: 64, transportAddress: Place.second, transportByteCount: 64
      ).bytes)
    header = memory.load(52, at: Place.first)
    transport = memory.load(64, at: Place.second)
    must(.initialize, makeMachine())
    machines.swapAt(0, machines.count - 1)
  }

  mutating func makeReceiving() {
    makeTarget()
    memory.store(Self.platformCertificate, at: Place.first)
    memory.store(session, at: Place.second)
    must(
      .receiveStart, machine,
      ReceiveStartParameters(
        policy: 0, diffieHellmanAddress: Place.first, diffieHellmanByteCount: 2084,
        sessionAddress: Place.second, sessionByteCount: 128
      ).bytes)
  }

  /// A source that sent itself away on this machine; the VM of the request is its target, and comes first.
  mutating func makeStaged(policy: GuestPolicy = []) {
    makeRunning(policy: policy)
    must(.localSend, machine, [UInt8](repeating: 0, count: 8))
    token = memory.load64(at: Place.structure)
    makeGuest(encryptedState: policy.contains(.encryptedState))
    machines.swapAt(0, machines.count - 1)
    if policy.contains(.encryptedState) { makeVCPU(on: machine) }
  }

  /// The region that ``register()`` registers.
  static let region = EncryptedRegion(address: Place.guest, size: 0x2000)

  mutating func register() {
    memory.store(Self.region.bytes, at: Place.structure)
    let error = host.run(
      host.registerRegion(on: machine, argument: Place.structure, caller: caller), in: &memory)
    precondition(error == nil, "REG_REGION failed")
  }

  /// A secret of 64 bytes for the measured guest: its header and what it travels as.
  func secret() -> (header: [UInt8], transport: [UInt8]) {
    let vector = [UInt8](repeating: 0x33, count: 16)
    guard let nonce = try? AES._CTR.Nonce(nonceBytes: vector),
      let data = try? AES._CTR.encrypt(
        [UInt8](repeating: 0xAB, count: 64), using: SymmetricKey(data: Self.owner.encryptionKey),
        nonce: nonce)
    else { preconditionFailure("a secret cannot be encrypted") }
    let lengths = littleEndianBytes(64) + littleEndianBytes(64)
    let code = HMAC<SHA256>.authenticationCode(
      for: [1, 0, 0, 0, 0] + vector + lengths + Array(data) + measurement,
      using: SymmetricKey(data: Self.owner.integrityKey))
    return ([0, 0, 0, 0] + vector + Array(code), Array(data))
  }

  /// SEND_UPDATE_DATA's structure and the like with three buffers.
  static func packet(_ header: UInt64, _ guest: UInt64, _ transport: UInt64) -> [UInt8] {
    PacketParameters(
      headerAddress: header, headerByteCount: 52, guestAddress: guest, guestByteCount: 64,
      transportAddress: transport, transportByteCount: 64
    ).bytes
  }
}
