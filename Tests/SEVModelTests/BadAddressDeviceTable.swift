import SEVABI
import SEVModel

/// The requests on `/dev/sev`, and those of the v10 kernel that keeps the list of shared pages.
extension BadAddressScenario {
  static let device: [BadAddressScenario] = [
    .device("PLATFORM_STATUS", .platformStatus, [.structure(.output, 12)]) { _, _ in
      [UInt8](repeating: 0, count: 12)
    },
    .device("PEK_GEN", .generatePEK, []),
    .device("PDH_GEN", .generatePDH, []),
    .device("FACTORY_RESET", .factoryReset, []),
    .device("PEK_CSR", .certificateSigningRequest, [.structure(.both, 12), .output("request", 2084)]) {
      _, buffers in
      SigningRequestParameters(address: buffers[0], length: 2084).bytes
    },
    .device(
      "PEK_CSR as a query", .certificateSigningRequest, [.structure(.both, 12)],
      ending: .refused(.invalidLength)
    ) { _, _ in
      SigningRequestParameters(address: 0, length: 0).bytes
    },
    .device("GET_ID2", .getID2, [.structure(.both, 12), .output("identifier", 128)]) { _, buffers in
      IdentifierParameters(address: buffers[0], length: 128).bytes
    },
    .device("GET_ID", .getID, [.structure(.output, 128)]) { _, _ in
      [UInt8](repeating: 0, count: 128)
    },
    .device(
      "PDH_CERT_EXPORT", .exportPDH,
      [.structure(.both, 24), .output("PDH", 2084), .output("chain", 6252)]
    ) { _, buffers in
      ExportParameters(
        diffieHellmanAddress: buffers[0], diffieHellmanByteCount: 2084, chainAddress: buffers[1],
        chainByteCount: 6252
      ).bytes
    },
    .device(
      "PDH_CERT_EXPORT as a query", .exportPDH, [.structure(.both, 24)],
      ending: .refused(.invalidLength)
    ) { _, _ in
      [UInt8](repeating: 0, count: 24)
    },
    .device(
      "PEK_CERT_IMPORT", .importPEK, [.structure(.input, 24), .input("PEK", 2084), .input("OCA", 2084)]
    ) { world, buffers in
      // The platform's own authority: as good as any other for the one signature that counts.
      if let own = world.certificates {
        world.memory.store(own.pek, at: buffers[0])
        world.memory.store(own.oca, at: buffers[1])
      }
      return ImportParameters(
        certificateAddress: buffers[0], certificateByteCount: 2084, ownerAddress: buffers[1],
        ownerByteCount: 2084
      ).bytes
    },
  ]

  static let sharedPages: [BadAddressScenario] = [
    .request(
      "GET_SHARED_PAGES_LIST", profile: .v10SharedPages,
      pointers: [.structure(.input, 24), .output("count", 4), .output("entries", 16)]
    ) {
      $0.makeRunning()
      $0.enableMigration()
      $0.shareAPage()
    } bytes: { addresses in
      SharedPagesList(countAddress: addresses[1], bufferAddress: addresses[2], size: 64).bytes
    } step: { world, argument in
      world.host.getSharedPages(on: world.machine, argument: argument, caller: world.caller)
    },
    .request(
      "SET_SHARED_PAGES_LIST", profile: .v10SharedPages,
      pointers: [.structure(.input, 24), .input("count", 4), .input("entries", 16)]
    ) {
      $0.makeRunning()
    } bytes: { addresses in
      SharedPagesList(countAddress: addresses[1], bufferAddress: addresses[2], size: 16).bytes
    } step: { world, argument in
      let list = world.memory.load(24, at: argument)
      world.memory.store([1, 0, 0, 0], at: list.span.uint64(at: 0))
      world.memory.store([5, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0], at: list.span.uint64(at: 8))
      return world.host.setSharedPages(on: world.machine, argument: argument, caller: world.caller)
    },
  ]

  /// A command of the device; its pointers are the block and `pointers`, the struct first.
  ///
  /// - Parameter bytes: The struct for the addresses of the buffers behind it.
  private static func device(
    _ name: String, _ id: DeviceCommandID, _ pointers: [BadAddressPointer], ending: Ending = .ok,
    bytes: @escaping @Sendable (inout BadAddressWorld, [UInt64]) -> [UInt8] = { _, _ in [] }
  ) -> BadAddressScenario {
    BadAddressScenario(
      name: name, ending: ending,
      pointers: [BadAddressPointer(name: "block", use: .both, byteCount: 16)] + pointers
    ) {
      $0.certificates = try? $0.host.platformCertificates()
    } issue: { world, addresses in
      let structure = addresses.count > 1 ? addresses[1] : 0
      world.memory.store(bytes(&world, Array(addresses.dropFirst(2))), at: structure)
      world.memory.store(
        DeviceCommandBlock(id: id.rawValue, data: structure, error: FirmwareStatus.neverCalled.rawValue)
          .bytes,
        at: addresses[0])
      let step = world.host.issueDeviceCommand(argument: addresses[0], isWritable: true)
      let error = world.host.run(step, in: &world.memory)
      return Ending(
        error: error, firmware: FirmwareStatus(rawValue: world.memory.load32(at: addresses[0] + 12)))
    }
  }
}

extension BadAddressWorld {
  /// The guest says that it can be migrated, which the v10 kernel waits for.
  mutating func enableMigration() {
    do {
      let vcpu = try host.makeVCPU(number: 0, on: machine, caller: caller)
      let outcome = try host.writeMSR(
        PageStatus.migrationControlMSR, PageStatus.migrationReady, on: vcpu, caller: caller)
      precondition(outcome == .done, "the guest cannot enable migration: \(outcome)")
    } catch {
      preconditionFailure("the guest cannot enable migration: \(error)")
    }
  }

  /// Files one range of shared pages.
  mutating func shareAPage() {
    let base = Self.region.address
    memory.store([1, 0, 0, 0], at: base)
    memory.store([5, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0], at: base + 64)
    memory.store(
      SharedPagesList(countAddress: base, bufferAddress: base + 64, size: 16).bytes, at: base + 128)
    let error = host.run(
      host.setSharedPages(on: machine, argument: base + 128, caller: caller), in: &memory)
    precondition(error == nil, "the list cannot be set")
  }
}
