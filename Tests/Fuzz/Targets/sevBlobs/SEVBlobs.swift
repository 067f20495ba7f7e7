import FuzzSupport
import SEVABI
import SEVFuzzSupport

@testable import SEVCertificates
@testable import SEVModel

/// Bytes as changes to sessions, packets and secrets that were good. What comes out of the firmware unchanged
/// went in unchanged: nothing that differs in one bit, one length or the policy is accepted, and nothing of what
/// is refused reaches guest memory.
@c(LLVMFuzzerTestOneInput)
public func fuzzSEVBlobs(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var source = ByteSource(unsafe copyInput(start, count))
  var bench = Bench.prepared
  switch source.below(5) {
  case 0: bench.receivePacket(&source)
  case 1: bench.receivePacketOfBytes(&source)
  case 2: bench.putSecret(&source)
  case 3: bench.receiveStart(&source)
  default: bench.sendStart(&source)
  }
  return 0
}

/// A machine with a guest in each state that takes a blob, made once and copied for each input.
private struct Bench: Sendable {
  static let prepared = Bench()

  /// Where buffers are.
  enum Place {
    static let first = PagedMemory.start + 0x1_0000
    static let second = PagedMemory.start + 0x2_0000
    static let third = PagedMemory.start + 0x3_0000
    static let guest = PagedMemory.start + 0x4_0000
  }

  struct Packet {
    let header: [UInt8]
    let transport: [UInt8]
    let plaintext: [UInt8]
  }

  static let caller = Caller(addressSpace: AddressSpaceID(rawValue: 1), lockablePages: nil)
  static let secretByteCount = 64

  var host: ModelHost
  var memory = PagedMemory()
  var sending: VirtualMachineID
  var receiving: VirtualMachineID
  var measured: VirtualMachineID
  var running: VirtualMachineID
  var fresh: VirtualMachineID
  let certificate: [UInt8]
  var session: [UInt8] = []
  var packets: [Packet] = []
  var secret = Packet(header: [], transport: [], plaintext: [])

  init() {
    host = ModelHost(
      configuration: ModelConfiguration(asidCount: 8), random: CountingRandom())
    guard let certificates = try? host.platformCertificates() else {
      preconditionFailure("the platform has no certificates")
    }
    certificate = certificates.pdh
    let creator = Self.caller.addressSpace
    sending = host.makeMachine(creator: creator)
    receiving = host.makeMachine(creator: creator)
    measured = host.makeMachine(creator: creator)
    running = host.makeMachine(creator: creator)
    fresh = host.makeMachine(creator: creator)
    for machine in [sending, receiving, measured, running, fresh] { must(.initialize, machine) }
    for machine in [sending, running] {
      must(.launchStart, machine, LaunchStartParameters(policy: 0).bytes)
      must(.launchMeasure, machine, LaunchMeasureParameters(address: Place.first, length: 48).bytes)
      must(.launchFinish, machine)
    }
    send()
    must(.receiveStart, receiving, receiveParameters(policy: 0, sessionByteCount: 128))
    measure()
  }

  /// SEND_START and three packets, to the platform itself.
  private mutating func send() {
    memory.store(certificate, at: Place.first)
    must(.sendStart, sending, sendParameters(certificateByteCount: 2084))
    session = memory.load(128, at: Place.third)
    for length in [16, 64, 4096] {
      let plaintext = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ length) }
      memory.store(plaintext, at: Place.guest)
      must(.sendUpdateData, sending, packetParameters(52, length, length))
      packets.append(
        Packet(
          header: memory.load(52, at: Place.first), transport: memory.load(length, at: Place.second),
          plaintext: plaintext))
    }
    memory.store(certificate, at: Place.first)
    memory.store(session, at: Place.second)
  }

  /// A launch up to its measurement, and a secret for it.
  private mutating func measure() {
    // The session of the sent guest serves as well: the firmware's keys are within reach here.
    must(
      .launchStart, measured,
      LaunchStartParameters(
        policy: 0, certificateAddress: Place.first, certificateByteCount: 2084,
        sessionAddress: Place.second, sessionByteCount: 128
      ).bytes)
    must(.launchMeasure, measured, LaunchMeasureParameters(address: Place.third, length: 48).bytes)
    let measurement = memory.load(32, at: Place.third)
    let plaintext = [UInt8](repeating: 0xA5, count: Self.secretByteCount)
    guard let handle = host.machines[measured]?.handle,
      let sealed = try? host.firmware.guest(handle).transport?.cipher.seal(
        plaintext, as: .secret, vector: [UInt8](repeating: 9, count: 16), measurement: measurement)
    else { preconditionFailure("no secret could be made") }
    secret = Packet(header: sealed.header, transport: sealed.transport, plaintext: plaintext)
  }

  // MARK: Inputs

  mutating func receivePacket(_ source: inout ByteSource) {
    let packet = packets[source.below(packets.count)]
    let header = changed(packet.header, &source)
    let transport = changed(packet.transport, &source)
    deliver(.receiveUpdateData, receiving, header, transport, packet, &source)
  }

  mutating func receivePacketOfBytes(_ source: inout ByteSource) {
    let packet = packets[source.below(packets.count)]
    let header = source.take(52)
    let transport = source.rest()
    deliver(
      .receiveUpdateData, receiving, header, Array(transport.prefix(4096)), packet, &source)
  }

  mutating func putSecret(_ source: inout ByteSource) {
    let header = changed(secret.header, &source)
    let transport = changed(secret.transport, &source)
    deliver(.launchSecret, measured, header, transport, secret, &source)
  }

  /// Issues a command with a packet; it is accepted exactly if the packet is the good one.
  private mutating func deliver(
    _ id: SEVCommandID, _ machine: VirtualMachineID, _ header: [UInt8], _ transport: [UInt8],
    _ good: Packet, _ source: inout ByteSource
  ) {
    let headerByteCount = length(header.count, &source)
    let guestByteCount = length(transport.count, &source)
    let transportByteCount = length(transport.count, &source)
    memory.store(header + [UInt8](repeating: 0, count: 64), at: Place.first)
    memory.store(transport + [UInt8](repeating: 0, count: 64), at: Place.second)
    let before = [UInt8](repeating: 0x5C, count: 4096)
    memory.store(before, at: Place.guest)
    let error = issue(
      id, machine, packetParameters(headerByteCount, guestByteCount, transportByteCount))
    let isLongHeaderTaken = id == .receiveUpdateData && headerByteCount >= 52
    let isGood =
      header == good.header && transport == good.transport && guestByteCount == transport.count
      && transportByteCount == transport.count && (headerByteCount == 52 || isLongHeaderTaken)
    precondition(
      (error == nil) == isGood,
      "\(id.name) with a packet that is \(isGood ? "" : "not ")good: \(error as Any)")
    let expected = isGood ? good.plaintext + before.dropFirst(good.plaintext.count) : before
    precondition(memory.load(4096, at: Place.guest) == expected, "\(id.name) left other guest memory")
  }

  mutating func receiveStart(_ source: inout ByteSource) {
    let blob = changed(session, &source)
    let policy = source.below(4) == 3 ? UInt32(truncatingIfNeeded: source.word()) : 0
    let certificate = changed(certificate, &source)
    memory.store(certificate, at: Place.first)
    memory.store(blob + [UInt8](repeating: 0, count: 64), at: Place.second)
    let byteCount = length(128, &source)
    let error = issue(.receiveStart, fresh, receiveParameters(policy: policy, sessionByteCount: byteCount))
    guard error == nil else { return }
    precondition(blob == session && policy == 0 && byteCount == 128, "a changed session was accepted")
    // Version, usage, algorithm and key; of the rest the firmware looks at nothing here.
    precondition(certificate[16..<164] == self.certificate[16..<164], "a session went to another key")
  }

  mutating func sendStart(_ source: inout ByteSource) {
    let certificate = source.flag() ? changed(certificate, &source) : source.take(2084)
    memory.store(certificate + [UInt8](repeating: 0, count: 64), at: Place.first)
    let error = issue(
      .sendStart, running, sendParameters(certificateByteCount: length(certificate.count, &source)))
    if error == nil {
      precondition(SEVCertificate(certificate)?.keyAgreementKey != nil, "a session was made for no key")
    }
  }

  /// Up to three bytes changed.
  private func changed(_ bytes: [UInt8], _ source: inout ByteSource) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<source.below(4) {
      let position = (source.below(256) | source.below(256) << 8) % bytes.count
      bytes[position] ^= source.byte()
    }
    return bytes
  }

  /// Mostly the right length.
  private func length(_ right: Int, _ source: inout ByteSource) -> Int {
    source.below(8) == 7 ? max(0, right + source.below(64) - 32) : right
  }

  // MARK: Commands

  private func packetParameters(_ header: Int, _ guest: Int, _ transport: Int) -> [UInt8] {
    PacketParameters(
      headerAddress: Place.first, headerByteCount: UInt32(header), guestAddress: Place.guest,
      guestByteCount: UInt32(guest), transportAddress: Place.second, transportByteCount: UInt32(transport)
    ).bytes
  }

  private func receiveParameters(policy: UInt32, sessionByteCount: Int) -> [UInt8] {
    ReceiveStartParameters(
      policy: policy, diffieHellmanAddress: Place.first, diffieHellmanByteCount: 2084,
      sessionAddress: Place.second, sessionByteCount: UInt32(sessionByteCount)
    ).bytes
  }

  private func sendParameters(certificateByteCount: Int) -> [UInt8] {
    SendStartParameters(
      diffieHellmanAddress: Place.first, diffieHellmanByteCount: UInt32(certificateByteCount),
      platformCertificatesAddress: Place.guest, platformCertificatesByteCount: 16,
      amdCertificatesAddress: Place.guest, amdCertificatesByteCount: 16, sessionAddress: Place.third,
      sessionByteCount: 128
    ).bytes
  }

  private mutating func issue(
    _ id: SEVCommandID, _ machine: VirtualMachineID, _ structure: [UInt8]
  ) -> KernelError? {
    memory.store(structure, at: PagedMemory.structure)
    memory.store(
      SEVCommandBlock(
        id: id.rawValue, data: PagedMemory.structure, firmwareDescriptor: PagedMemory.firmware
      ).bytes, at: PagedMemory.block)
    let step = host.memoryEncryptOperation(on: machine, argument: PagedMemory.block, caller: Self.caller)
    return host.run(step, in: &memory)
  }

  private mutating func must(
    _ id: SEVCommandID, _ machine: VirtualMachineID, _ structure: [UInt8] = []
  ) {
    let error = issue(id, machine, structure)
    precondition(error == nil, "\(id.name) failed: \(error as Any)")
  }
}
