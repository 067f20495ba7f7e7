import SEVABI
import SEVModel
import Testing

@Suite("A command of the firmware")
struct FirmwareStateTests {
  @Test(
    "is INVALID_PLATFORM_STATE in every platform state that it is not for",
    arguments: Firmware.PlatformState.allCases, FirmwareCommand.allCases)
  func platformStates(state: Firmware.PlatformState, command: FirmwareCommand) throws {
    var bench = FirmwareBench()
    switch state {
    case .uninitialized: break
    case .initialized: try bench.initialize()
    case .working: try bench.bring(to: .running)
    }
    #expect(bench.firmware.platform == state)
    let status = bench.status { try command.issue(on: &$0) }
    if Self.admitted(command).contains(state) {
      #expect(status != .invalidPlatformState)
    } else {
      #expect(status == .invalidPlatformState)
      #expect(bench.firmware.platform == state)
    }
  }

  /// The table of the firmware's document, apart from the model's own.
  private static func admitted(_ command: FirmwareCommand) -> Set<Firmware.PlatformState> {
    switch command.rawValue {
    case 0x01, 0x03: [.uninitialized]
    case 0x02, 0x04, 0x0C: [.uninitialized, .initialized, .working]
    case 0x05, 0x07: [.initialized]
    case 0x06, 0x08, 0x09, 0x0A, 0x23, 0x30, 0x50: [.initialized, .working]
    default: [.working]
    }
  }

  @Test(
    "is for some guest states; in others it is INVALID_GUEST_STATE, and without a guest INVALID_GUEST",
    arguments: GuestState.allCases, FirmwareCommand.allCases.filter { $0.guestStates != nil })
  func guestStates(state: GuestState, command: FirmwareCommand) throws {
    var bench = FirmwareBench()
    try bench.bring(to: state)
    if state == .uninitialized {
      // Another guest keeps the platform working.
      try bench.launch()
      _ = try bench.firmware.launchStart(policy: [], sharing: 0, session: nil, random: &bench.random)
      try bench.firmware.deactivate(FirmwareBench.handle)
      try bench.firmware.decommission(FirmwareBench.handle)
    }
    let status = bench.status { try command.issue(on: &$0) }
    let after = try? bench.firmware.guestStatus(FirmwareBench.handle).state
    if command.guestStates?.contains(state) == true {
      #expect(status == nil)
      #expect((after ?? .uninitialized) == command.stateAfterwards ?? state)
    } else {
      #expect(status == (state == .uninitialized ? .invalidGuest : .invalidGuestState))
      #expect(after == state)
    }
  }

  @Test(
    "that handles memory or packets is INACTIVE for a guest without an ASID",
    arguments: [
      (FirmwareCommand.launchUpdateData, GuestState.launching), (.launchUpdateVMSA, .launching),
      (.launchSecret, .measured), (.debugDecrypt, .running), (.sendUpdateData, .sending),
      (.sendUpdateVMSA, .sending), (.receiveUpdateData, .receiving), (.receiveUpdateVMSA, .receiving),
      (.deactivate, .running),
    ])
  func inactive(command: FirmwareCommand, state: GuestState) throws {
    var bench = FirmwareBench()
    try bench.bring(to: state)
    try bench.firmware.deactivate(FirmwareBench.handle)
    #expect(bench.status { try command.issue(on: &$0) } == .inactive)
  }

  @Test("for registers is UNSUPPORTED for a guest whose registers are not encrypted")
  func registersWithoutEncryptedState() throws {
    for (command, state) in [
      (FirmwareCommand.launchUpdateVMSA, GuestState.launching), (.sendUpdateVMSA, .sending),
      (.receiveUpdateVMSA, .receiving),
    ] {
      var bench = FirmwareBench(policy: [])
      try bench.bring(to: state)
      #expect(bench.status { try command.issue(on: &$0) } == .unsupported, "\(command)")
    }
  }

  @Test("leaves nothing of the transport keys when the guest runs, stays or is gone")
  func keysAreGone() throws {
    var bench = FirmwareBench()
    try bench.bring(to: .running)
    #expect(bench.status { try FirmwareCommand.sendUpdateData.issue(on: &$0) } == .invalidGuestState)
    let first = try bench.startSending()
    try bench.firmware.sendCancel(FirmwareBench.handle)
    #expect(bench.status { try FirmwareCommand.sendUpdateData.issue(on: &$0) } == .invalidGuestState)
    let second = try bench.startSending()
    #expect(first != second)
    try bench.firmware.sendFinish(FirmwareBench.handle)
    #expect(bench.status { try FirmwareCommand.sendUpdateData.issue(on: &$0) } == .invalidGuestState)
    #expect(bench.status { try $0.startSending() } == .invalidGuestState)
  }
}

@Suite("Guests and their ASIDs in the firmware")
struct FirmwareActivationTests {
  private func bench(policy: GuestPolicy = []) throws -> FirmwareBench {
    var bench = FirmwareBench(policy: policy)
    try bench.initialize()
    return bench
  }

  private func launch(_ bench: inout FirmwareBench, policy: GuestPolicy = []) throws -> UInt32 {
    try bench.firmware.launchStart(policy: policy, sharing: 0, session: nil, random: &bench.random)
  }

  @Test("get the lowest free handle, and 1024 at most")
  func handles() throws {
    var bench = try bench()
    for expected in 1...UInt32(1024) { #expect(try launch(&bench) == expected) }
    #expect(bench.status { _ = try launch(&$0) } == .resourceLimit)
    #expect(
      bench.status {
        _ = try $0.firmware.receiveStart(
          policy: [], sharing: 0, session: try $0.session(policy: []), random: &$0.random)
      } == .resourceLimit)
    try bench.firmware.decommission(700)
    try bench.firmware.decommission(30)
    #expect(try launch(&bench) == 30)
    #expect(try launch(&bench) == 700)
  }

  @Test("make the platform work from the first to the last")
  func platform() throws {
    var bench = try bench()
    #expect(bench.firmware.platform == .initialized)
    let first = try launch(&bench)
    let second = try launch(&bench)
    #expect(bench.firmware.platform == .working)
    try bench.firmware.decommission(first)
    #expect(bench.firmware.platform == .working)
    try bench.firmware.decommission(second)
    #expect(bench.firmware.platform == .initialized)
  }

  @Test("are INVALID_ASID for 0, for more than there are, and for one of the other kind")
  func wrongASIDs() throws {
    var bench = try bench()
    let plain = try launch(&bench)
    let encrypted = try launch(&bench, policy: .encryptedState)
    for (handle, asid) in [(plain, 0), (plain, 13), (plain, 4), (encrypted, 5), (encrypted, 13)] {
      #expect(
        bench.status { try $0.firmware.activate(handle, asid: UInt32(asid)) } == .invalidASID,
        "guest \(handle), ASID \(asid)")
    }
    try bench.firmware.activate(plain, asid: 12)
    try bench.firmware.activate(encrypted, asid: 4)
    #expect(try bench.firmware.guestStatus(plain).asid == 12)
  }

  @Test("are ASID_OWNED where another guest is, ACTIVE where the guest has one, in that order")
  func owned() throws {
    var bench = try bench()
    let first = try launch(&bench)
    let second = try launch(&bench)
    try bench.firmware.activate(first, asid: 5)
    #expect(bench.status { try $0.firmware.activate(second, asid: 5) } == .asidOwned)
    #expect(bench.status { try $0.firmware.activate(first, asid: 5) } == .asidOwned)
    #expect(bench.status { try $0.firmware.activate(first, asid: 6) } == .active)
    #expect(bench.status { try $0.firmware.decommission(first) } == .active)
    #expect(bench.status { try $0.firmware.activate(99, asid: 0) } == .invalidGuest)
  }

  @Test("leave an ASID dirty if they ran, and clean if they never did")
  func dirty() throws {
    var bench = try bench()
    let never = try launch(&bench)
    try bench.firmware.activate(never, asid: 5)
    try bench.firmware.deactivate(never)
    try bench.firmware.activate(never, asid: 5)
    _ = try bench.firmware.launchMeasure(never, room: 48, random: &bench.random)
    try bench.firmware.launchFinish(never)
    try bench.firmware.deactivate(never)
    #expect(bench.status { try $0.firmware.activate(never, asid: 5) } == .dfFlushRequired)
    #expect(bench.status { try $0.firmware.flushDataFabric() } == .wbinvdRequired)
    #expect(bench.status { try $0.firmware.activate(never, asid: 5) } == .dfFlushRequired)
    bench.firmware.writeBackCaches()
    try bench.firmware.flushDataFabric()
    try bench.firmware.activate(never, asid: 5)
  }

  @Test("find every ASID dirty after INIT")
  func afterInitialization() throws {
    var bench = FirmwareBench(policy: [])
    try bench.firmware.initialize()
    let handle = try launch(&bench)
    #expect(bench.status { try $0.firmware.activate(handle, asid: 5) } == .dfFlushRequired)
    #expect(bench.status { try $0.firmware.flushDataFabric() } == .wbinvdRequired)
    bench.firmware.writeBackCaches()
    try bench.firmware.flushDataFabric()
    try bench.firmware.activate(handle, asid: 5)
    // A guest that has an ASID is asked for it before the ASID's state is.
    try bench.firmware.shutdown()
    #expect(bench.firmware.guestCount == 0)
    #expect(bench.firmware.platform == .uninitialized)
  }

  @Test("share a key only with a guest of the same policy, which must allow it")
  func sharing() throws {
    var bench = try bench()
    let owner = try launch(&bench)
    let closed = try launch(&bench, policy: .noKeySharing)
    func share(_ bench: inout FirmwareBench, _ policy: GuestPolicy, with handle: UInt32) throws -> UInt32 {
      try bench.firmware.launchStart(policy: policy, sharing: handle, session: nil, random: &bench.random)
    }
    #expect(bench.status { _ = try share(&$0, [], with: 77) } == .invalidGuest)
    #expect(bench.status { _ = try share(&$0, .noDebugging, with: owner) } == .policyFailure)
    #expect(bench.status { _ = try share(&$0, .noKeySharing, with: closed) } == .policyFailure)
    let sharer = try share(&bench, [], with: owner)
    let page = PageIdentity(inode: 3, offset: 0x4000)
    let plain = [UInt8](repeating: 5, count: 32)
    var (one, two, other) = (plain, plain, plain)
    try bench.firmware.encryptMemory(of: owner, page: page, offset: 0, &one)
    try bench.firmware.encryptMemory(of: sharer, page: page, offset: 0, &two)
    try bench.firmware.encryptMemory(of: closed, page: page, offset: 0, &other)
    #expect(one == two)
    #expect(one != other)
  }

  @Test("with SEV-ES are UNSUPPORTED on a platform without it")
  func withoutEncryptedState() throws {
    var firmware = Firmware(
      version: FirmwareVersion(major: 1, minor: 55, build: 21), encryptedStateASIDCount: 0, asidCount: 4,
      identity: PlatformIdentity())
    try firmware.initialize()
    var random: any RandomSource = ScriptedRandom()
    #expect(throws: FirmwareStatus.unsupported) {
      try firmware.launchStart(policy: .encryptedState, sharing: 0, session: nil, random: &random)
    }
    #expect(try !firmware.platformStatus().hasEncryptedState)
  }
}
