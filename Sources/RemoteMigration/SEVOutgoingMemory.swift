import BatonWire
public import EncryptionStatus
public import LinuxOS
public import MigrationCore
public import SEVABI
public import SEVCertificates
public import SEVDevice

/// ``OutgoingEncryption`` by the SEND commands, of the kernel or of the model.
///
/// It has a session of its own and a second descriptor of the VM: let it go before the guest is to be destroyed.
/// Used by one thread at a time.
public final class SEVOutgoingMemory: OutgoingEncryption {
  private let device: SEVDevice
  private var session: SEVSession
  private let vm: OwnedDescriptor
  private let firmware: OwnedDescriptor
  private let roots: TrustedRoots
  private let ownPlatform: OwnPlatform
  private let status: () -> MemoryEncryptionStatus
  /// The frames that were shared when they were asked for last.
  private var regions = SharedRegions()
  public let policy: GuestPolicy
  /// Whether the device has SEND_UPDATE_VMSA, which no kernel does.
  public var sendsRegisters: Bool { ownPlatform.movesRegisters }
  public var hasEncryptedState: Bool { policy.contains(.encryptedState) }

  /// - Parameters:
  ///   - vm: Of the guest; the firmware device is open at the number that the VM keeps.
  ///   - trustsModelRoot: Whether a target may show certificates that end in the test root of the SEV model. Only
  ///     for guests of the model: its keys are in everybody's hands.
  ///   - status: What the guest said about its memory, as it is now.
  public init(
    _ device: SEVDevice, vm: consuming OwnedDescriptor, trustsModelRoot: Bool = false,
    status: @escaping () -> MemoryEncryptionStatus
  ) throws(MigrationFailure) {
    self.device = device
    do throws(SEVError) {
      var session = try device.openSession()
      firmware = try session.openFirmware(forWriting: true)
      policy = GuestPolicy(rawValue: try session.guestStatus(vm).policy)
      ownPlatform = try OwnPlatform(&session, firmware)
      self.session = session
    } catch {
      throw MigrationFailure(.sourceDeclined, "asking this host's SEV device about the guest: \(error)")
    }
    self.vm = vm
    roots = trustsModelRoot ? .amdAndModel : .amd
    self.status = status
    regions = status().regions
  }

  public func check(
    _ target: MigrationTarget, showing certificates: TargetCertificates
  ) throws(MigrationFailure) {
    let source = MigrationSource(
      policy: policy, oca: ownPlatform.oca, api: ownPlatform.api, canSendRegisters: ownPlatform.movesRegisters
    )
    do throws(PolicyRefusal) {
      _ = try MigrationPolicy.checkBeforeSending(source, to: target, showing: certificates, roots: roots)
    } catch {
      throw MigrationFailure(error)
    }
  }

  public func saveSetup(
    for certificates: TargetCertificates
  ) throws(MigrationFailure) -> MigrationCore.SendSession {
    do throws(SEVError) {
      let made = try session.sendStart(
        vm, diffieHellman: certificates.pdh, platformCertificates: certificates.platform,
        amdCertificates: certificates.amd)
      regions = status().regions
      return MigrationCore.SendSession(
        policy: made.policy.rawValue, pdh: ownPlatform.pdh, session: made.session)
    } catch {
      throw Self.failure("the device makes no transport keys for the target", error)
    }
  }

  public func saveOutgoingPage(
    at address: UInt64, into packet: inout OutputSpan<UInt8>
  ) throws(MigrationFailure) {
    do throws(SEVError) {
      let made = try session.sendUpdateData(
        vm, address: address, byteCount: UInt32(GuestRAM.pageByteCount))
      packet.append(copying: made.header)
      packet.append(copying: made.payload)
    } catch {
      throw Self.failure("the device does not encrypt a page for the transport", error)
    }
  }

  public func isShared(_ frame: UInt64) -> Bool { regions.contains(frame) }

  public func refreshRegions() -> [Range<UInt64>] {
    let now = status().regions
    defer { regions = now }
    return now == regions ? [] : regions.ranges + now.ranges
  }

  public func savedRegions() -> SharedRegions {
    regions = status().regions
    return regions
  }

  public func saveRegisters(ofVCPU number: UInt32) throws(MigrationFailure) -> SaveAreaPacket {
    do throws(SEVError) {
      let packet = try session.sendUpdateVMSA(vm, vcpu: number)
      return SaveAreaPacket(vcpu: number, header: packet.header, data: packet.payload)
    } catch {
      throw MigrationFailure(
        .encryptedStateNotSendable, "the registers of vCPU \(number) cannot be sent: \(error)")
    }
  }

  public func finish() throws(MigrationFailure) -> SendingEnd {
    do throws(SEVError) {
      try session.sendFinish(vm)
      return .finished
    } catch {
      return try SendingEnd(
        after: error, state: guestState(),
        Self.failure("the device does not give the guest up (SEND_FINISH)", error))
    }
  }

  /// The guest's state as the firmware has it, nil if it does not say. A connection that broke is made anew.
  private func guestState() -> GuestState? {
    if let status = try? session.guestStatus(vm) { return GuestState(rawValue: status.state) }
    guard var anew = try? device.openSession(), let status = try? anew.guestStatus(vm) else { return nil }
    return GuestState(rawValue: status.state)
  }

  public func cancel() throws(MigrationFailure) {
    do throws(SEVError) { try session.sendCancel(vm) } catch {
      throw Self.failure("the device does not take the guest back (SEND_CANCEL)", error)
    }
  }

  private static func failure(_ what: String, _ error: SEVError) -> MigrationFailure {
    let status = error.firmware
    let refusal: Refusal =
      if status == .policyFailure {
        .policyForbids
      } else if status == .invalidCertificate || status == .badSignature {
        .certificateInvalid
      } else {
        .sourceDeclined
      }
    return MigrationFailure(refusal, "\(what): \(error)")
  }
}

extension MigrationFailure {
  /// A refusal of the rules that source and target check.
  public init(_ error: PolicyRefusal) {
    let refusal: Refusal =
      switch error.kind {
      case .certificate: .certificateInvalid
      case .encryptedState: .encryptedStateNotSendable
      case .policy: .policyForbids
      }
    self.init(refusal, "\(error)")
  }
}

/// What a host's own SEV platform shows.
struct OwnPlatform {
  let pdh: [UInt8]
  let oca: [UInt8]
  let api: APIVersion
  let apiBuild: UInt8
  let hasEncryptedState: Bool
  /// The device has SEND_UPDATE_VMSA and RECEIVE_UPDATE_VMSA, which no kernel does.
  let movesRegisters: Bool
  /// With the kernel without AMD's own, which come from AMD's server.
  let certificates: TargetCertificates

  init(_ session: inout SEVSession, _ firmware: borrowing OwnedDescriptor) throws(SEVError) {
    let status = try session.platformStatus(firmware)
    api = APIVersion(major: status.major, minor: status.minor)
    apiBuild = status.build
    let description = try session.describeModel()
    hasEncryptedState = description?.hasEncryptedState ?? status.hasEncryptedState
    movesRegisters = description?.hasFirmwareVMSA ?? false
    let one = PlatformBlob.certificateByteCount
    if description == nil {
      let exported = try session.exportPDH(firmware)
      pdh = exported.diffieHellman
      oca = Array(exported.chain[one..<2 * one])
      certificates = TargetCertificates(pdh: pdh, platform: exported.chain, amd: [])
    } else {
      // PDH, PEK, OCA and the signed CEK, then ASK and ARK.
      let all = try session.platformCertificates()
      pdh = Array(all[..<one])
      oca = Array(all[2 * one..<3 * one])
      certificates = TargetCertificates(
        pdh: pdh, platform: Array(all[one..<4 * one]), amd: Array(all[(4 * one)...]))
    }
  }
}
