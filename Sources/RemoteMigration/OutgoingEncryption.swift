public import EncryptionStatus
import LinuxOS
public import MigrationCore
public import SEVABI
public import SEVCertificates

/// What the source of a migration asks of the device that has the guest's keys.
///
/// A VMM with a RAM loop of its own calls these and leaves ``OutgoingMigration`` alone. The duties are those of
/// QEMU's `ConfidentialGuestMemoryEncryptionOps`:
///
/// | QEMU | here |
/// | --- | --- |
/// | `save_setup` | ``saveSetup(for:)`` |
/// | `save_outgoing_page` | ``saveOutgoingPage(at:into:)`` |
/// | `is_gfn_in_shared_region` | ``isShared(_:)`` |
/// | `save_outgoing_shared_regions_list` | ``savedRegions()`` |
/// | (vCPU state of SEV-ES) | ``saveRegisters(ofVCPU:)`` |
/// | (SEND_FINISH, SEND_CANCEL) | ``finish()``, ``cancel()`` |
public protocol OutgoingEncryption: AnyObject {
  /// What the guest's owner demands, as the firmware has it.
  var policy: GuestPolicy { get }
  var hasEncryptedState: Bool { get }

  /// Checks that this guest may go to that platform, before anything is made for it.
  func check(_ target: MigrationTarget, showing certificates: TargetCertificates) throws(MigrationFailure)

  /// Makes the transport keys for a platform that was verified: SEND_START. The guest runs on.
  func saveSetup(
    for certificates: TargetCertificates
  ) throws(MigrationFailure) -> MigrationCore.SendSession

  /// Encrypts a page for the transport: appends the packet's header (52 bytes) and its data (4096 bytes).
  ///
  /// - Parameter address: Of the page in this process.
  func saveOutgoingPage(
    at address: UInt64, into packet: inout OutputSpan<UInt8>
  ) throws(MigrationFailure)

  /// Whether a frame is shared with the host, and so goes as it is.
  func isShared(_ frame: UInt64) -> Bool

  /// Looks anew which frames are shared: at the begin of a round, and when the guest stands still.
  ///
  /// - Returns: Ranges of frames that may have changed their kind, and so have to be sent again.
  func refreshRegions() -> [Range<UInt64>]

  /// Frames that are shared, for the target. Taken when the guest stands still.
  func savedRegions() -> SharedRegions

  /// The encrypted registers of a vCPU (SEV-ES), when the guest stands still.
  func saveRegisters(ofVCPU number: UInt32) throws(MigrationFailure) -> SaveAreaPacket

  /// SEND_FINISH: the guest never runs here again. Only with the registry's permission.
  ///
  /// - Throws: When it is certain that the guest was not given up.
  func finish() throws(MigrationFailure) -> SendingEnd

  /// SEND_CANCEL: the guest stays and may run; what was sent is worth nothing.
  func cancel() throws(MigrationFailure)
}

/// What the target of a migration asks of the device that will have the guest's keys; see ``OutgoingEncryption``.
///
/// | QEMU | here |
/// | --- | --- |
/// | `load_incoming_page` (setup) | ``loadSetup(_:)`` |
/// | `load_incoming_page` | ``loadIncomingPage(header:data:at:)`` |
/// | `load_incoming_shared_regions_list` | ``loadRegions(_:)`` |
public protocol IncomingEncryption: AnyObject {
  /// What this platform says of itself, with its certificates.
  func facts() throws(MigrationFailure) -> TargetFacts

  /// Checks that a guest of that policy may come here.
  func check(policy: UInt32) throws(MigrationFailure)

  /// Makes the guest for what is to come: RECEIVE_START.
  func loadSetup(_ session: MigrationCore.SendSession) throws(MigrationFailure)

  /// Decrypts a packet into guest memory.
  ///
  /// - Parameter address: Of the page in this process.
  func loadIncomingPage(
    header: Span<UInt8>, data: Span<UInt8>, at address: UInt64
  ) throws(MigrationFailure)

  func loadRegions(_ regions: SharedRegions) throws(MigrationFailure)

  func loadRegisters(_ packet: SaveAreaPacket) throws(MigrationFailure)

  /// RECEIVE_FINISH: the guest may run, as soon as the registry says so.
  func finish() throws(MigrationFailure)
}
