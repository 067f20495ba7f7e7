import Glibc
import LinuxOS
import SEVABI
import SEVDevice
import SEVModel
import Testing

extension Desk {
  fileprivate mutating func send(_ source: MachineWithVCPUs) throws -> UInt64 {
    pages.store([UInt8](repeating: 0, count: 8), at: 0)
    let error = try issue(SEVCommandID.localSend.rawValue, on: source)
    #expect(error == 0)
    return pages.load(8, at: 0).span.uint64(at: 0)
  }

  fileprivate mutating func receive(
    _ token: UInt64, into target: MachineWithVCPUs, at data: UInt64? = nil
  ) throws -> Int32 {
    var parameters = [UInt8](repeating: 0, count: 16)
    var span = parameters.mutableSpan
    span.store(token, at: 0)
    let place = data ?? pages.address
    pages.store(parameters, at: Int(place - pages.address))
    return try issue(SEVCommandID.localReceive.rawValue, on: target, data: place)
  }

  fileprivate mutating func launched() throws -> MachineWithVCPUs {
    try session.makeLaunched(firmware, encryptedState: false, vcpus: 0)
  }
}

extension OverTheSocket {
  /// The table that the facts of the June 2021 patches suggest, through the Swift library; Tests/Preload has the
  /// same rows in C.
  @Suite("LOCAL_SEND and LOCAL_RECEIVE, row by row")
  struct ConformanceLocalTests {
    static let rows: [DeviceCase] = [
      DeviceCase("SEND and RECEIVE on a plain VM: ENOTTY") { desk in
        let plain = try desk.plain(vcpus: 0)
        #expect(try desk.issue(22, on: plain) == ENOTTY)
        #expect(try desk.issue(23, on: plain) == ENOTTY)
      },
      DeviceCase("SEND on an initialised VM that was not launched: 0") { desk in
        let source = try desk.initialized(es: false, vcpus: 0)
        #expect(try desk.send(source) != 0)
      },
      DeviceCase("a second SEND, GUEST_STATUS, and any other command after SEND: EPERM; DBG_DECRYPT: 0") {
        desk in
        let source = try desk.launched()
        let token = try desk.send(source)
        for id: UInt32 in 0..<30 where id != 17 && id != 18 {
          #expect(try desk.issue(id, on: source) == EPERM, "command \(id)")
        }
        _ = try desk.session.debugDecrypt(source.machine, address: desk.pages.address, byteCount: 16)
        let target = try desk.initialized(es: false, vcpus: 0)
        #expect(try desk.receive(token, into: target) == 0)
        _ = try desk.session.debugDecrypt(source.machine, address: desk.pages.address, byteCount: 16)
        #expect(try desk.issue(16, on: source) == EPERM)
      },
      DeviceCase("SEND with a bad data pointer: EFAULT, then GUEST_STATUS: 0") { desk in
        let source = try desk.launched()
        #expect(try desk.issue(22, on: source, data: 8) == EFAULT)
        desk.pages.protect(PROT_READ, page: 3)
        #expect(try desk.issue(22, on: source, data: desk.pages.address + 3 * 4096) == EFAULT)
        #expect(try desk.issue(16, on: source) == 0)
      },
      DeviceCase("RECEIVE with an unknown token, a used one, or that of a destroyed source: EFAULT") { desk in
        let target = try desk.initialized(es: false, vcpus: 0)
        #expect(try desk.receive(0x1234, into: target) == EFAULT)
        var token: UInt64 = 0
        do {
          let source = try desk.launched()
          token = try desk.send(source)
        }
        #expect(try desk.receive(token, into: target) == EFAULT)
        let source = try desk.launched()
        token = try desk.send(source)
        #expect(try desk.receive(token, into: target) == 0)
        let other = try desk.initialized(es: false, vcpus: 0)
        #expect(try desk.receive(token, into: other) == EFAULT)
        withExtendedLifetime(source) {}
      },
      DeviceCase("RECEIVE into a launched VM, or one with a region: EPERM") { desk in
        let source = try desk.launched()
        let token = try desk.send(source)
        #expect(try desk.receive(token, into: desk.launched()) == EPERM)
        let target = try desk.initialized(es: false, vcpus: 0)
        let region = EncryptedRegion(address: desk.pages.address, size: 4096)
        try desk.session.register(region, on: target.machine)
        #expect(try desk.receive(token, into: target) == EPERM)
        withExtendedLifetime(source) {}
      },
      DeviceCase("RECEIVE with a read-only data page: EFAULT, then the same token elsewhere: 0") { desk in
        let source = try desk.launched()
        let token = try desk.send(source)
        let first = try desk.initialized(es: false, vcpus: 0)
        let second = try desk.initialized(es: false, vcpus: 0)
        var parameters = [UInt8](repeating: 0, count: 16)
        var span = parameters.mutableSpan
        span.store(token, at: 0)
        desk.pages.store(parameters, at: 2 * 4096)
        desk.pages.protect(PROT_READ, page: 2)
        #expect(try desk.issue(23, on: first, data: desk.pages.address + 2 * 4096) == EFAULT)
        #expect(try desk.receive(token, into: second) == 0)
        // The first one is as it was.
        _ = try desk.session.launchStart(first.machine, policy: [], firmware: desk.firmware)
        withExtendedLifetime(source) {}
      },
      DeviceCase("LAUNCH_START on a receiver: EIO with ASID_OWNED") { desk in
        let source = try desk.launched()
        let target = try desk.initialized(es: false, vcpus: 0)
        let token = try desk.send(source)
        #expect(try desk.receive(token, into: target) == 0)
        let refused = failure {
          _ = try desk.session.launchStart(target.machine, policy: [], firmware: desk.firmware)
        }
        #expect(refused?.firmware == .asidOwned)
        withExtendedLifetime(source) {}
      },
      DeviceCase("GUEST_STATUS on a receiver needs the device at the number 0: else EBADF") { desk in
        let source = try desk.launched()
        let target = try desk.initialized(es: false, vcpus: 0)
        let token = try desk.send(source)
        #expect(try desk.receive(token, into: target) == 0)
        #expect(try desk.issue(16, on: target) == EBADF)
        withExtendedLifetime(source) {}
      },
      DeviceCase("UNREG_REGION of an old region: EINVAL on the source, 0 on the target") { desk in
        let source = try desk.launched()
        let region = EncryptedRegion(address: desk.pages.address, size: 4096)
        try desk.session.register(region, on: source.machine)
        let target = try desk.initialized(es: false, vcpus: 0)
        let token = try desk.send(source)
        #expect(try desk.receive(token, into: target) == 0)
        #expect(errno { try desk.session.unregister(region, on: source.machine) } == EINVAL)
        #expect(errno { try desk.session.unregister(region, on: target.machine) } == 0)
      },
    ]

    @Test("row", arguments: rows)
    func row(_ row: DeviceCase) throws {
      var desk = try Desk(ModelConfiguration(profile: .rfc))
      try row.run(&desk)
    }

    @Test("SEND on a SEV-ES VM where only the second patch is applied: EPERM")
    func withoutThirdPatch() throws {
      var desk = try Desk(
        ModelConfiguration(
          profile: .rfc, encryptedStateASIDCount: 1, localMigrationWithoutEncryptedState: true))
      let source = try desk.started(es: true)
      #expect(try desk.issue(22, on: source) == EPERM)
    }
  }
}
