import LinuxOS
import SEVDevice

/// A VM of the SEV model, and for a guest with encrypted register state its vCPUs.
struct SEVMachine: ~Copyable {
  let vm: OwnedDescriptor
  private let vcpus: DescriptorList

  /// - Parameters:
  ///   - isInitialized: Whether it gets an address-space identifier of its own, which LOCAL_RECEIVE needs and a
  ///     move forbids.
  ///   - encryptedVCPUs: How many vCPUs with encrypted state, 0 if it is not encrypted. Their numbers and their
  ///     order are the same in every VM of the guest: a move pairs them by order, LOCAL_RECEIVE by number.
  init(
    _ session: inout SEVSession, isInitialized: Bool, encryptedVCPUs: Int
  ) throws(SEVError) {
    let vm = try session.makeMachine()
    if isInitialized { try session.initialize(vm, encryptedState: encryptedVCPUs > 0) }
    var vcpus = DescriptorList()
    for number in 0..<encryptedVCPUs { vcpus.append(try session.makeVCPU(UInt32(number), on: vm)) }
    self.vm = vm
    self.vcpus = vcpus
  }
}
