import EncryptionStatus
import LinuxOS
import MigrationCore
import RemoteMigration
import SEVABI
import SEVDevice

/// A guest that goes to another host, or comes from one.
extension SEVContext {
  /// A VM in which a guest is to be received whose memory this will be.
  static func incoming(
    _ memory: SharedMapping, hasEncryptedState: Bool, _ options: VMMOptions
  ) throws -> SEVContext {
    let region = EncryptedRegion(address: UInt64(memory.address), size: UInt64(memory.byteCount))
    let context = try make(
      SEVGuestFacts(hasEncryptedState: hasEncryptedState, region: region), isInitialized: true, options)
    try context.registerMemory()
    return context
  }

  /// What sends the guest's pages, over a session of its own.
  func outgoingMemory(
    _ options: VMMOptions, status: @escaping () -> MemoryEncryptionStatus
  ) throws -> SEVOutgoingMemory {
    try SEVOutgoingMemory(
      device, vm: duplicateVM(), trustsModelRoot: options.trustsModelRoot, status: status)
  }

  /// What receives the guest's pages, over a session of its own.
  func incomingMemory(
    _ vendor: VendorCertificates,
    takeRegions: @escaping (SharedRegions) throws(MigrationFailure) -> Void
  ) throws -> SEVIncomingMemory {
    try SEVIncomingMemory(
      device.openSession(), vm: duplicateVM(), firmware: Self.firmwareNumber, vendor: vendor,
      takeRegions: takeRegions)
  }

  private func duplicateVM() throws(SystemError) -> OwnedDescriptor {
    var duplicates = try DescriptorList(duplicating: [vmNumber])
    guard let vm = duplicates.popFirst() else { preconditionFailure("one was duplicated") }
    return vm
  }
}
