import GuestImage
import LinuxOS
import SEVABI
import SEVDevice

/// The SEV side of a guest in this process: its VM, a spare VM to take back into, and the session
/// through which commands go. Used by the control thread.
final class SEVContext {
  private var session: SEVSession
  private var vm: OwnedDescriptor
  private var spare: OwnedDescriptor?
  private var firmware: OwnedDescriptor?

  private init(session: consuming SEVSession, vm: consuming OwnedDescriptor) {
    self.session = session
    self.vm = vm
  }

  /// Launches a guest whose image is in `memory`: key, measurement, policy.
  static func launching(
    _ memory: SharedMapping, model: String
  ) throws(SEVError) -> SEVContext {
    let context = try target(model: model)
    let firmware = try context.session.openFirmware()
    try context.session.register(
      EncryptedRegion(address: UInt64(memory.address), size: UInt64(memory.byteCount)),
      on: context.vm)
    _ = try context.session.launchStart(context.vm, policy: [], firmware: firmware)
    let image = (GuestImage.bytes.count + 15) & ~15
    try context.session.launchUpdateData(
      context.vm, address: UInt64(memory.address) + UInt64(GuestABI.imageOffset),
      byteCount: UInt32(image))
    _ = try context.session.launchMeasure(context.vm)
    try context.session.launchFinish(context.vm)
    context.firmware = consume firmware
    return context
  }

  /// A VM that is ready to receive a guest; it needs an address-space identifier of its own.
  static func target(model: String) throws(SEVError) -> SEVContext {
    var session = try SEVDevice.model(socketPath: model).openSession()
    let vm = try session.makeMachine()
    try session.initialize(vm)
    return SEVContext(session: session, vm: vm)
  }

  /// The VM's descriptor, to be given into custody.
  var vmNumber: Int32 { vm.number }

  /// Makes the VM into which this process can take the guest back, outside of the blackout.
  func makeSpare() throws(SEVError) {
    let made = try session.makeMachine()
    try session.initialize(made)
    spare = consume made
  }

  func dropSpare() { spare = nil }

  /// LOCAL_SEND.
  func send() throws(SEVError) -> InfoToken { try session.localSend(vm) }

  /// LOCAL_RECEIVE into this process's VM.
  func receive(_ token: borrowing InfoToken) throws(SEVError) {
    _ = try session.localReceive(vm, token: token)
  }

  /// LOCAL_RECEIVE into the spare VM, which then is this process's VM.
  func takeBack(_ token: borrowing InfoToken) throws(SEVError) {
    guard var target = spare.take() else { return }
    do throws(SEVError) {
      _ = try session.localReceive(target, token: token)
    } catch {
      spare = consume target
      throw error
    }
    swap(&vm, &target)
  }

  /// Whether one more VM could be made now: a free address-space identifier for the successor.
  func probeFreeIdentifier() throws(SEVError) {
    let made = try session.makeMachine()
    try session.initialize(made)
  }
}
