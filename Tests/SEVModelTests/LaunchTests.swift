import Crypto
import SEVABI
import SEVModel
import Testing

@Suite("A launch")
struct LaunchTests {
  @Test("goes through the firmware's states, policy and handle as given")
  func states() {
    var bench = Bench()
    let machine = bench.makeGuest()
    #expect(bench.start(machine, policy: .noSending) == .ok)
    #expect(bench.parameters(as: LaunchStartParameters.self).handle == 1)
    #expect(bench.status(machine).status == GuestStatusParameters(handle: 1, policy: 8, state: 1))
    #expect(bench.update(machine, length: 4096) == .ok)
    #expect(bench.status(machine).status.state == GuestState.launching.rawValue)
    #expect(bench.measure(machine) == .ok)
    #expect(bench.status(machine).status.state == GuestState.measured.rawValue)
    #expect(bench.issue(.launchFinish, machine) == .ok)
    #expect(bench.status(machine).status.state == GuestState.running.rawValue)
  }

  @Test("refuses commands of another state with INVALID_GUEST_STATE")
  func wrongStates() {
    var bench = Bench()
    let machine = bench.makeGuest()
    #expect(bench.start(machine) == .ok)
    #expect(bench.issue(.launchFinish, machine) == .refused(.invalidGuestState))
    #expect(bench.measure(machine) == .ok)
    #expect(bench.measure(machine) == .refused(.invalidGuestState))
    #expect(bench.update(machine, length: 16) == .refused(.invalidGuestState))
    #expect(bench.issue(.launchFinish, machine) == .ok)
    #expect(bench.issue(.launchFinish, machine) == .refused(.invalidGuestState))
  }

  @Test("that never started is INVALID_PLATFORM_STATE without other guests and INVALID_GUEST with them")
  func notStarted() {
    var bench = Bench()
    let machine = bench.makeGuest()
    bench.memory.firmware.insert(0)
    #expect(bench.issue(.launchFinish, machine) == .refused(.invalidPlatformState))
    _ = bench.makeLaunched()
    #expect(bench.issue(.launchFinish, machine) == .refused(.invalidGuest))
    #expect(bench.debug(.debugDecrypt, machine) == .refused(.invalidGuest))
    // GUEST_STATUS of no guest is a success.
    let (ending, status) = bench.status(machine)
    #expect(ending == .ok)
    #expect(status == GuestStatusParameters(handle: 0, policy: 0, state: 0))
  }

  @Test("that starts twice keeps the first context: the second is EIO with ASID_OWNED and decommissioned")
  func startTwice() {
    var bench = Bench()
    let machine = bench.makeGuest()
    #expect(bench.start(machine) == .ok)
    #expect(bench.start(machine) == .refused(.asidOwned))
    #expect(bench.host.guestCount == 1)
    #expect(bench.status(machine).status.handle == 1)
  }

  @Test("whose handle cannot be copied out is EFAULT and leaves no context")
  func startWithReadOnlyParameters() {
    var bench = Bench()
    let machine = bench.makeGuest()
    bench.memory.readOnly = [Address.parameters]
    #expect(bench.start(machine).error == .badAddress)
    #expect(bench.host.guestCount == 0)
    bench.memory.readOnly = []
    #expect(bench.start(machine) == .ok)
    #expect(bench.status(machine).status.handle == 1)
  }

  @Test("needs the firmware device that the command names")
  func startWithoutFirmware() {
    var bench = Bench()
    let machine = bench.makeGuest()
    #expect(
      bench.issue(.launchStart, machine, LaunchStartParameters(policy: 0).bytes, firmware: 3)
        == .failed(.badDescriptor))
    #expect(bench.host.guestCount == 0)
  }

  @Test("checks the owner's blobs: length, then memory, certificate before session")
  func blobs() {
    var bench = Bench()
    let machine = bench.makeGuest()
    func start(_ certificate: (UInt64, UInt32), _ session: (UInt64, UInt32)) -> Ending {
      bench.issue(
        .launchStart, machine,
        LaunchStartParameters(
          policy: 0, certificateAddress: certificate.0, certificateByteCount: certificate.1,
          sessionAddress: session.0, sessionByteCount: session.1
        ).bytes)
    }
    #expect(start((0x8000, 0), (0, 0)) == .failed(.invalidArgument))
    #expect(start((0x8000, 0x4001), (0, 0)) == .failed(.invalidArgument))
    #expect(start((8, 2084), (0x9000, 0)) == .failed(.badAddress))
    #expect(start((0x8000, 2084), (0x9000, 0)) == .failed(.invalidArgument))
    #expect(start((0x8000, 2084), (8, 128)) == .failed(.badAddress))
    // The firmware's own order: session length, certificate length, certificate, MAC.
    #expect(start((0x8000, 2083), (0x9000, 127)) == .refused(.invalidLength))
    #expect(start((0x8000, 2083), (0x9000, 128)) == .refused(.invalidLength))
    #expect(start((0x8000, 2084), (0x9000, 128)) == .refused(.invalidCertificate))
    #expect(bench.host.guestCount == 0)
  }

  @Test("with a shared key needs a guest of the same policy that allows it")
  func keySharing() {
    var bench = Bench()
    _ = bench.makeLaunched(policy: .noSending)
    _ = bench.makeLaunched(policy: .noKeySharing)
    let machine = bench.makeGuest()
    func start(_ handle: UInt32, _ policy: GuestPolicy) -> Ending {
      bench.issue(
        .launchStart, machine, LaunchStartParameters(handle: handle, policy: policy.rawValue).bytes)
    }
    #expect(start(9, .noSending) == .refused(.invalidGuest))
    #expect(start(1, []) == .refused(.policyFailure))
    #expect(start(2, .noKeySharing) == .refused(.policyFailure))
    #expect(start(1, .noSending) == .ok)
  }

  @Test("with encrypted state needs a firmware and an ASID for it")
  func encryptedStatePolicy() {
    var bench = Bench()
    #expect(bench.start(bench.makeGuest(), policy: .encryptedState) == .refused(.unsupported))
    var with = Bench(ModelConfiguration(encryptedStateASIDCount: 1))
    #expect(with.start(with.makeGuest(), policy: .encryptedState) == .refused(.invalidASID))
    let machine = with.makeMachine()
    #expect(with.issue(.esInitialize, machine).error == nil)
    #expect(with.start(machine) == .refused(.invalidASID))
    #expect(with.start(machine, policy: .encryptedState) == .ok)
  }

  @Test("gives out the lowest free handle, at most 1024, then RESOURCE_LIMIT")
  func handles() {
    var bench = Bench(ModelConfiguration(asidCount: 1100))
    var machines: [VirtualMachineID] = []
    for _ in 0..<1024 {
      let machine = bench.makeGuest()
      #expect(bench.start(machine) == .ok)
      machines.append(machine)
    }
    let last = bench.makeGuest()
    #expect(bench.start(last) == .refused(.resourceLimit))
    bench.host.destroy(machines[41])
    #expect(bench.start(last) == .ok)
    #expect(bench.status(last).status.handle == 42)
  }

  @Test("ends with the VM: key, handle and ASID are free")
  func destroy() {
    var bench = Bench(ModelConfiguration(asidCount: 1))
    for isFinished in [true, false] {
      let machine = isFinished ? bench.makeLaunched() : bench.makeGuest()
      if !isFinished { #expect(bench.start(machine) == .ok) }
      bench.host.destroy(machine)
      #expect(bench.host.guestCount == 0)
      #expect(bench.host.freeASIDCount == 1)
      #expect(bench.status(machine).ending == .failed(.inputOutput))
    }
  }
}

extension Bench {
  mutating func update(
    _ machine: VirtualMachineID, address: UInt64 = Address.guestMemory, length: UInt32
  ) -> Ending {
    issue(.launchUpdateData, machine, LaunchUpdateDataParameters(address: address, length: length).bytes)
  }
}

@Suite("LAUNCH_UPDATE_DATA")
struct LaunchUpdateDataTests {
  @Test("refuses an empty or wrapping range with EINVAL before the limit, and unmapped memory with ENOMEM")
  func pinning() {
    var bench = Bench()
    let machine = bench.makeGuest()
    #expect(bench.start(machine) == .ok)
    bench.caller.lockablePages = 0
    #expect(bench.update(machine, length: 0) == .failed(.invalidArgument))
    #expect(bench.update(machine, address: .max - 15, length: 32) == .failed(.invalidArgument))
    #expect(bench.update(machine, length: 16) == .failed(.outOfMemory))
    bench.caller.lockablePages = 1
    #expect(bench.update(machine, length: 4096) == .ok)
    #expect(bench.update(machine, length: 4112) == .failed(.outOfMemory))
    bench.caller.lockablePages = nil
    bench.memory.unpinnable = [Address.guestMemory]
    #expect(bench.update(machine, length: 16) == .failed(.outOfMemory))
  }

  @Test("refuses an unaligned address before an unaligned length")
  func alignment() {
    var bench = Bench()
    let machine = bench.makeGuest()
    #expect(bench.start(machine) == .ok)
    #expect(bench.update(machine, address: Address.guestMemory + 8, length: 8) == .refused(.invalidAddress))
    #expect(bench.update(machine, length: 24) == .refused(.invalidLength))
    #expect(bench.update(machine, address: Address.guestMemory + 16, length: 32) == .ok)
  }

  /// Launches with a session whose keys the test knows, and checks the measurement as an owner would.
  @Test("measures all plaintext in call order, across pages and chunks")
  func digest() throws {
    let owner = SessionOwner()
    var bench = Bench()
    bench.host = ModelHost(random: ScriptedRandom(), identity: PlatformIdentity(key: owner.platformKey))
    let machine = bench.makeGuest()
    #expect(bench.start(machine, session: owner, policy: .noSending) == .ok)

    let first = (0..<70_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let second = (0..<48).map { UInt8($0) }
    bench.memory.store(Array(first.prefix(69_984)), at: Address.guestMemory + 32)
    #expect(bench.update(machine, address: Address.guestMemory + 32, length: 69_984) == .ok)
    bench.memory.store(second, at: Address.guestMemory)
    #expect(bench.update(machine, length: 48) == .ok)
    #expect(bench.measure(machine) == .ok)

    let digest = SHA256.hash(data: Array(first.prefix(69_984)) + second)
    let blob = bench.memory.load(48, at: Address.buffer)
    let version = bench.host.configuration.firmwareVersion
    let message =
      [0x04, version.major, version.minor, version.build, 8, 0, 0, 0] + Array(digest) + Array(blob[32...])
    #expect(
      HMAC<SHA256>.isValidAuthenticationCode(
        blob[..<32], authenticating: message, using: SymmetricKey(data: owner.integrityKey)))
  }
}

@Suite("LAUNCH_MEASURE")
struct LaunchMeasureTests {
  @Test("with length 0 is a query: EIO, INVALID_LENGTH, and the length written back")
  func query() {
    var bench = Bench()
    let machine = bench.makeGuest()
    #expect(bench.start(machine) == .ok)
    #expect(bench.measure(machine, length: 0) == .refused(.invalidLength))
    #expect(bench.parameters(as: LaunchMeasureParameters.self).length == 48)
    // Still launching.
    #expect(bench.measure(machine) == .ok)
    #expect(bench.parameters(as: LaunchMeasureParameters.self).length == 48)
  }

  @Test("with a length but no address asks the firmware with none and does not report the length")
  func withoutAddress() {
    var bench = Bench()
    let machine = bench.makeGuest()
    #expect(bench.start(machine) == .ok)
    #expect(
      bench.issue(.launchMeasure, machine, LaunchMeasureParameters(address: 0, length: 100).bytes)
        == .refused(.invalidLength))
    #expect(bench.parameters(as: LaunchMeasureParameters.self).length == 100)
  }

  @Test("refuses a buffer below 48 bytes with INVALID_LENGTH and above 16 KiB with EINVAL")
  func lengths() {
    var bench = Bench()
    let machine = bench.makeGuest()
    #expect(bench.start(machine) == .ok)
    #expect(bench.measure(machine, length: 47) == .refused(.invalidLength))
    #expect(bench.measure(machine, length: 0x4001) == .failed(.invalidArgument))
    #expect(bench.measure(machine, length: 0x4000) == .ok)
  }

  @Test("fills a longer buffer with zeros behind the measurement")
  func padding() {
    var bench = Bench()
    let machine = bench.makeGuest()
    #expect(bench.start(machine) == .ok)
    bench.memory.store([UInt8](repeating: 0xEE, count: 100), at: Address.buffer)
    #expect(bench.measure(machine, length: 64) == .ok)
    #expect(bench.memory.load(17, at: Address.buffer + 48) == [UInt8](repeating: 0, count: 16) + [0xEE])
    #expect(bench.parameters(as: LaunchMeasureParameters.self).length == 48)
  }

  @Test("that cannot be copied out is EFAULT, and the guest is measured all the same")
  func unwritableBuffer() {
    var bench = Bench()
    let machine = bench.makeGuest()
    #expect(bench.start(machine) == .ok)
    bench.memory.readOnly = [Address.buffer]
    #expect(bench.measure(machine).error == .badAddress)
    #expect(bench.status(machine).status.state == GuestState.measured.rawValue)
  }
}
