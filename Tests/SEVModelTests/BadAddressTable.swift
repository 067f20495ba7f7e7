import SEVABI
import SEVModel

/// The requests of the kernel's interface with all their pointers.
extension BadAddressScenario {
  static let all = launch + guest + sending + receiving + local + regions + device + sharedPages

  private static let launch: [BadAddressScenario] = [
    .command("INIT", 0, ending: .quiet(nil)) { _ = $0.makeMachine() },
    .command("ES_INIT", 1, ending: .quiet(nil)) { _ = $0.makeMachine() },
    .command(
      "INIT2", 22, profile: .mainline611, ending: .quiet(nil), structure: .structure(.input, 48)
    ) {
      _ = $0.makeMachine(type: .sev)
    } bytes: { _, _ in
      Initialize2Parameters().bytes
    },
    .command("LAUNCH_START", 2, structure: .structure(.unwound, 40)) {
      $0.makeGuest()
    } bytes: { _, _ in
      LaunchStartParameters(policy: 0).bytes
    },
    .command(
      "LAUNCH_START with a session", 2, structure: .structure(.unwound, 40),
      buffers: [.input("certificate", 2084), .input("session", 128)]
    ) {
      $0.makeGuest()
    } contents: { _ in
      [BadAddressWorld.ownerCertificate, BadAddressWorld.ownerSession(policy: .noSending)]
    } bytes: { _, buffers in
      LaunchStartParameters(
        policy: GuestPolicy.noSending.rawValue, certificateAddress: buffers[0],
        certificateByteCount: 2084, sessionAddress: buffers[1], sessionByteCount: 128
      ).bytes
    },
    .command(
      "LAUNCH_UPDATE_DATA", 3, structure: .structure(.input, 16),
      buffers: [BadAddressPointer(name: "guest memory", use: .pinnedForWriting, byteCount: 64)]
    ) {
      $0.makeLaunching()
    } bytes: { _, buffers in
      LaunchUpdateDataParameters(address: buffers[0], length: 64).bytes
    },
    .command("LAUNCH_UPDATE_VMSA", 4) { $0.makeLaunching(policy: .encryptedState) },
    .command(
      "LAUNCH_SECRET", 5, structure: .structure(.input, 48),
      buffers: [.input("header", 52), .page(.pinnedForWriting), .input("transport", 64)]
    ) {
      $0.makeMeasured(withSession: true)
    } contents: { world in
      [world.secret().header, [], world.secret().transport]
    } bytes: { _, buffers in
      BadAddressWorld.packet(buffers[0], buffers[1], buffers[2])
    },
    .command(
      "LAUNCH_MEASURE", 6, structure: .structure(.both, 16), buffers: [.output("measurement", 48)]
    ) {
      $0.makeLaunching()
    } bytes: { _, buffers in
      LaunchMeasureParameters(address: buffers[0], length: 48).bytes
    },
    .command(
      "LAUNCH_MEASURE as a query", 6, ending: .refused(.invalidLength),
      structure: .structure(.both, 16)
    ) {
      $0.makeLaunching()
    } bytes: { _, _ in
      LaunchMeasureParameters(address: 0, length: 0).bytes
    },
    .command("LAUNCH_FINISH", 7) { $0.makeMeasured() },
  ]

  private static let guest: [BadAddressScenario] = [
    .command("GUEST_STATUS", 16, structure: .structure(.output, 12)) {
      $0.makeRunning()
    } bytes: { _, _ in
      GuestStatusParameters().bytes
    },
    debug("DBG_DECRYPT", 17),
    debug("DBG_ENCRYPT", 18),
    .command(
      "GET_ATTESTATION_REPORT", 20, structure: .structure(.both, 32),
      buffers: [.output("report", 208)]
    ) {
      $0.makeRunning()
    } bytes: { _, buffers in
      AttestationReportParameters(nonceLow: 1, nonceHigh: 2, address: buffers[0], length: 208).bytes
    },
    .command(
      "GET_ATTESTATION_REPORT as a query", 20, ending: .refused(.invalidLength),
      structure: .structure(.both, 32)
    ) {
      $0.makeRunning()
    } bytes: { _, _ in
      AttestationReportParameters(nonceLow: 1, nonceHigh: 2, address: 0, length: 0).bytes
    },
  ]

  private static func debug(_ name: String, _ id: UInt32) -> BadAddressScenario {
    .command(
      name, id, structure: .structure(.input, 24),
      buffers: [
        BadAddressPointer(
          name: "source", use: .pinnedForReading, byteCount: 64, canCross: false),
        BadAddressPointer(
          name: "destination", use: .pinnedForWriting, byteCount: 64, canCross: false),
      ]
    ) {
      $0.makeRunning()
    } bytes: { _, buffers in
      DebugParameters(sourceAddress: buffers[0], destinationAddress: buffers[1], length: 64).bytes
    }
  }

  private static let sending: [BadAddressScenario] = [
    .command(
      "SEND_START", 8, structure: .structure(.both, 72),
      buffers: [
        .input("PDH", 2084), .input("platform certificates", 16), .input("AMD certificates", 16),
        .output("session", 128),
      ]
    ) {
      $0.makeRunning()
    } contents: { _ in
      [BadAddressWorld.platformCertificate]
    } bytes: { _, buffers in
      SendStartParameters(
        diffieHellmanAddress: buffers[0], diffieHellmanByteCount: 2084,
        platformCertificatesAddress: buffers[1], platformCertificatesByteCount: 16,
        amdCertificatesAddress: buffers[2], amdCertificatesByteCount: 16, sessionAddress: buffers[3],
        sessionByteCount: 128
      ).bytes
    },
    .command(
      "SEND_START as a query", 8, ending: .refused(.invalidLength), structure: .structure(.both, 72)
    ) {
      $0.makeRunning()
    } bytes: { _, _ in
      [UInt8](repeating: 0, count: 72)
    },
    .command(
      "SEND_UPDATE_DATA", 9, structure: .structure(.input, 48),
      buffers: [.output("header", 52), .page(.pinnedForReading), .output("transport", 64)]
    ) {
      $0.makeSending()
    } bytes: { _, buffers in
      BadAddressWorld.packet(buffers[0], buffers[1], buffers[2])
    },
    .command(
      "SEND_UPDATE_DATA as a query", 9, ending: .refused(.invalidLength),
      structure: .structure(.both, 48)
    ) {
      $0.makeSending()
    } bytes: { _, _ in
      [UInt8](repeating: 0, count: 48)
    },
    .command("SEND_FINISH", 11) { $0.makeSending() },
    .command("SEND_CANCEL", 21) { $0.makeSending() },
  ]

  private static let receiving: [BadAddressScenario] = [
    .command(
      "RECEIVE_START", 12, structure: .structure(.unwound, 40),
      buffers: [.input("PDH", 2084), .input("session", 128)]
    ) {
      $0.makeTarget()
    } contents: { world in
      [BadAddressWorld.platformCertificate, world.session]
    } bytes: { _, buffers in
      ReceiveStartParameters(
        policy: 0, diffieHellmanAddress: buffers[0], diffieHellmanByteCount: 2084,
        sessionAddress: buffers[1], sessionByteCount: 128
      ).bytes
    },
    .command(
      "RECEIVE_UPDATE_DATA", 13, structure: .structure(.input, 48),
      buffers: [.input("header", 52), .page(.pinnedForWriting), .input("transport", 64)]
    ) {
      $0.makeReceiving()
    } contents: { world in
      [world.header, [], world.transport]
    } bytes: { _, buffers in
      BadAddressWorld.packet(buffers[0], buffers[1], buffers[2])
    },
    .command("RECEIVE_FINISH", 15) { $0.makeReceiving() },
  ]

  private static let local: [BadAddressScenario] = [
    .command("LOCAL_SEND", 22, ending: .quiet(nil), structure: .structure(.unwound, 8)) {
      $0.makeRunning()
    } bytes: { _, _ in
      [UInt8](repeating: 0, count: 8)
    },
    .command(
      "LOCAL_SEND with encrypted state", 22, ending: .quiet(nil), structure: .structure(.unwound, 8)
    ) {
      $0.makeRunning(policy: .encryptedState)
    } bytes: { _, _ in
      [UInt8](repeating: 0, count: 8)
    },
    .command("LOCAL_RECEIVE", 23, ending: .quiet(nil), structure: .structure(.unwound, 16)) {
      $0.makeStaged()
    } bytes: { world, _ in
      Bench.receiveBytes(world.token)
    },
    .command(
      "LOCAL_RECEIVE with encrypted state", 23, ending: .quiet(nil),
      structure: .structure(.unwound, 16)
    ) {
      $0.makeStaged(policy: .encryptedState)
    } bytes: { world, _ in
      Bench.receiveBytes(world.token)
    },
    .request("MOVE", profile: .mainline611, pointers: [.structure(.input, 104)]) {
      $0.makeRunning()
      _ = $0.makeMachine()
      $0.machines.swapAt(0, 1)
    } bytes: { _ in
      EnableCapability(capability: 206, argument: 101).bytes
    } step: { world, argument in
      world.host.enableCapability(on: world.machine, argument: argument, caller: world.caller)
    },
    .request("COPY", profile: .mainline611, pointers: [.structure(.input, 104)]) {
      $0.makeRunning()
      _ = $0.makeMachine()
      $0.machines.swapAt(0, 1)
    } bytes: { _ in
      EnableCapability(capability: 197, argument: 101).bytes
    } step: { world, argument in
      world.host.enableCapability(on: world.machine, argument: argument, caller: world.caller)
    },
  ]

  private static let regions: [BadAddressScenario] = [
    .request(
      "REG_REGION",
      pointers: [
        .structure(.input, 16),
        BadAddressPointer(name: "memory", use: .pinnedForWriting, byteCount: 64),
      ]
    ) {
      $0.makeRunning()
    } bytes: { addresses in
      EncryptedRegion(address: addresses[1], size: 64).bytes
    } step: { world, argument in
      world.host.registerRegion(on: world.machine, argument: argument, caller: world.caller)
    },
    .request("UNREG_REGION", pointers: [.structure(.input, 16)]) {
      $0.makeRunning()
      $0.register()
    } bytes: { _ in
      BadAddressWorld.region.bytes
    } step: { world, argument in
      world.host.unregisterRegion(on: world.machine, argument: argument, caller: world.caller)
    },
  ]
}
