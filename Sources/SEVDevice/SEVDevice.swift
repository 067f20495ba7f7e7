/// Where SEV commands go: to the kernel, or to a software model of kernel and firmware.
///
/// Both take the same commands in the same structs and fail with the same errno values, so that what is
/// tested against the model is what runs on hardware.
///
/// ```swift
/// var session = try SEVDevice.model(socketPath: "/run/sevmodeld.socket").openSession()
/// let vm = try session.makeMachine()
/// try session.initialize(vm)
/// let token = try session.localSend(vm)
/// ```
public enum SEVDevice: Hashable, Sendable {
  /// The ioctls of a real KVM VM descriptor.
  case kernel
  /// The model that listens at this path.
  case model(socketPath: String)

  /// Opens a way to send commands, for one thread.
  ///
  /// - Throws: ``SEVError`` when nobody listens at the model's path. Never with the kernel.
  public func openSession() throws(SEVError) -> SEVSession {
    switch self {
    case .kernel: SEVSession(place: .kernel)
    case .model(let path): SEVSession(place: .model(try ModelConnection.open(path: path)))
    }
  }
}
