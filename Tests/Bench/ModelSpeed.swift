import LinuxOS
import SEVABI
import SEVDevice

/// How fast the software model is: round trips to `sevmodeld`, and packets of guest memory.
struct ModelSpeed {
  let workspace: Workspace

  /// - Precondition: the model of the workspace runs.
  func measure(roundTrips: Int, pages: Int) throws -> Results.Model {
    do {
      let device = SEVDevice.model(socketPath: workspace.modelSocket)
      Progress.say("model: \(roundTrips) LOCAL_SEND and LOCAL_RECEIVE")
      let (send, receive) = try Self.localRoundTrips(device, count: roundTrips)
      Progress.say("model: \(pages) pages inside the process, and as many over the socket")
      let inside = try PacketSpeed.measure(pages: pages)
      let socket = try Self.overTheSocket(device, pages: pages)
      return Results.Model(
        localSend: send, localReceive: receive, inside: inside, socket: socket,
        cipherBytesPerSecond: OpenSSL.speed(["-evp", "aes-128-ctr"], workspace),
        codeBytesPerSecond: OpenSSL.speed(["-hmac", "sha256"], workspace))
    } catch let error as SEVError {
      throw BenchError("the model: \(error)")
    }
  }

  /// One guest goes from VM to VM; making the VMs is not timed.
  private static func localRoundTrips(
    _ device: SEVDevice, count: Int
  ) throws(SEVError) -> (send: Figures?, receive: Figures?) {
    var session = try device.openSession()
    let firmware = try session.openFirmware()
    var owner = try session.makeMachine()
    try session.initialize(owner)
    _ = try session.launchStart(owner, policy: [], firmware: firmware)
    _ = try session.launchMeasure(owner)
    try session.launchFinish(owner)
    var sends = Distribution()
    var receives = Distribution()
    for _ in 0..<count {
      let target = try session.makeMachine()
      try session.initialize(target)
      let begin = MonotonicClock.now()
      let token = try session.localSend(owner)
      let sent = MonotonicClock.now()
      _ = try session.localReceive(target, token: token)
      let received = MonotonicClock.now()
      sends.record(nanoseconds: sent - begin)
      receives.record(nanoseconds: received - sent)
      owner = target
    }
    return (sends.figures, receives.figures)
  }

  /// SEND_UPDATE_DATA and RECEIVE_UPDATE_DATA of one page, as a VMM calls them.
  private static func overTheSocket(
    _ device: SEVDevice, pages: Int
  ) throws(SEVError) -> Results.Pages {
    let memory: SharedMapping
    do throws(SystemError) {
      memory = try SharedMapping(
        try Memfd.create(name: "bench-pages", byteCount: 8192), byteCount: 8192, populate: true)
    } catch {
      preconditionFailure("two pages cannot be mapped: \(error)")
    }
    let (from, to) = (UInt64(memory.address), UInt64(memory.address) + 4096)
    var session = try device.openSession()
    let firmware = try session.openFirmware()
    let (pdh, chain) = try session.exportPDH(firmware)
    let amd = Array(try session.platformCertificates().dropFirst(4 * PlatformBlob.certificateByteCount))
    let source = try session.makeMachine()
    try session.initialize(source)
    _ = try session.launchStart(source, policy: [], firmware: firmware)
    try session.launchUpdateData(source, address: from, byteCount: 4096)
    _ = try session.launchMeasure(source)
    try session.launchFinish(source)
    let sending = try session.sendStart(
      source, diffieHellman: pdh, platformCertificates: chain, amdCertificates: amd)
    let target = try session.makeMachine()
    try session.initialize(target)
    _ = try session.receiveStart(
      target, policy: sending.policy, diffieHellman: pdh, session: sending.session, firmware: firmware)
    var packet = try session.sendUpdateData(source, address: from, byteCount: 4096)
    let begin = MonotonicClock.now()
    for _ in 0..<pages { packet = try session.sendUpdateData(source, address: from, byteCount: 4096) }
    let sent = MonotonicClock.now()
    for _ in 0..<pages { try session.receiveUpdateData(target, packet, address: to) }
    let received = MonotonicClock.now()
    return Results.Pages(count: pages, sendNanoseconds: sent - begin, receiveNanoseconds: received - sent)
  }
}
