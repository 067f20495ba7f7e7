public import BatonWire
public import EncryptionStatus
public import LinuxOS
public import MigrationCore
import SEVABI
import SEVCertificates
public import SEVDevice

extension TargetFacts {
  /// A host that receives guests whose memory it reads.
  public static func withoutEncryption(checks: [PreflightCheck] = []) -> TargetFacts {
    TargetFacts(
      api: APIVersion(major: 0, minor: 0), apiBuild: 0, hasEncryptedState: false, canReceiveSaveAreas: false,
      certificates: nil, checks: checks)
  }
}

/// ``IncomingEncryption`` by the RECEIVE commands, of the kernel or of the model.
///
/// It has a session of its own and a second descriptor of the VM. Used by one thread at a time.
public final class SEVIncomingMemory: IncomingEncryption {
  private var session: SEVSession
  private let vm: OwnedDescriptor
  private let firmware: Int32
  private let ownPlatform: OwnPlatform
  private let vendor: VendorCertificates
  private let takeRegions: (SharedRegions) throws(MigrationFailure) -> Void

  /// - Parameters:
  ///   - vm: Initialised for SEV or SEV-ES, with its vCPUs, with nothing launched in it.
  ///   - firmware: The number of the open firmware device, which the VM keeps.
  ///   - vendor: What AMD's server has for this host's processor, and the firmware has not.
  ///   - takeRegions: Gets the frames that the guest shares with its host.
  public init(
    _ session: consuming SEVSession, vm: consuming OwnedDescriptor, firmware: Int32,
    vendor: VendorCertificates = VendorCertificates(),
    takeRegions: @escaping (SharedRegions) throws(MigrationFailure) -> Void
  ) throws(MigrationFailure) {
    do throws(SEVError) {
      let device = try session.openFirmware(forWriting: true)
      ownPlatform = try OwnPlatform(&session, device)
    } catch {
      throw MigrationFailure(.noRoom, "asking the target's SEV device: \(error)")
    }
    self.session = session
    self.vm = vm
    self.firmware = firmware
    self.vendor = vendor
    self.takeRegions = takeRegions
  }

  public func facts() throws(MigrationFailure) -> TargetFacts {
    let certificates: TargetCertificates
    do throws(CertificateError) { certificates = try vendor.completing(ownPlatform.certificates) } catch {
      throw MigrationFailure(
        .certificateInvalid,
        "AMD's certificates that the target's VMM was given do not fit its host: \(error)")
    }
    return TargetFacts(
      api: ownPlatform.api, apiBuild: ownPlatform.apiBuild, hasEncryptedState: ownPlatform.hasEncryptedState,
      canReceiveSaveAreas: ownPlatform.movesRegisters, certificates: certificates, checks: [])
  }

  public func check(policy: UInt32) throws(MigrationFailure) {
    let target = MigrationTarget(
      api: ownPlatform.api, hasEncryptedState: ownPlatform.hasEncryptedState,
      canReceiveRegisters: ownPlatform.movesRegisters)
    do throws(PolicyRefusal) {
      try MigrationPolicy.checkBeforeReceiving(GuestPolicy(rawValue: policy), on: target)
    } catch {
      throw MigrationFailure(error)
    }
  }

  public func loadSetup(_ made: MigrationCore.SendSession) throws(MigrationFailure) {
    let device = OwnedDescriptor(adopting: firmware)
    let failure: SEVError?
    do throws(SEVError) {
      _ = try session.receiveStart(
        vm, policy: GuestPolicy(rawValue: made.policy), diffieHellman: made.pdh, session: made.session,
        firmware: device)
      failure = nil
    } catch {
      failure = error
    }
    // It stays open as long as the process lives.
    _ = device.release()
    if let failure { throw Self.failure("the target's device does not take the transport keys", failure) }
  }

  public func loadIncomingPage(
    header: Span<UInt8>, data: Span<UInt8>, at address: UInt64
  ) throws(MigrationFailure) {
    do throws(SEVError) {
      try session.receiveUpdateData(
        vm, SendPacket(header: [UInt8](copying: header), payload: [UInt8](copying: data)), address: address)
    } catch {
      throw Self.failure("the target's device does not take a page", error)
    }
  }

  public func loadRegions(_ regions: SharedRegions) throws(MigrationFailure) { try takeRegions(regions) }

  public func loadRegisters(_ packet: SaveAreaPacket) throws(MigrationFailure) {
    do throws(SEVError) {
      try session.receiveUpdateVMSA(
        vm, SendPacket(header: packet.header, payload: packet.data), vcpu: packet.vcpu)
    } catch {
      throw MigrationFailure(
        .encryptedStateNotSendable, "the registers of vCPU \(packet.vcpu) cannot be received: \(error)")
    }
  }

  public func finish() throws(MigrationFailure) {
    do throws(SEVError) { try session.receiveFinish(vm) } catch {
      throw Self.failure("the target's device does not finish the guest (RECEIVE_FINISH)", error)
    }
  }

  private static func failure(_ what: String, _ error: SEVError) -> MigrationFailure {
    let status = error.firmware
    let refusal: Refusal =
      if status == .policyFailure {
        .policyForbids
      } else if status == .badMeasurement {
        .streamDamaged
      } else {
        .successorDeclined
      }
    return MigrationFailure(refusal, "\(what): \(error)")
  }
}
