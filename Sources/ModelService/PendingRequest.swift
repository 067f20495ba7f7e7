import LinuxOS
import SEVABI
import SEVModel

/// A request on a VM that was received and is not finished.
final class PendingRequest {
  let kind: Kind
  let machine: VirtualMachineID
  let caller: Caller
  /// The ioctl's argument and the command's own struct, with what was read there.
  let argument: Window
  let parameters: Window
  /// What is to be written to the windows when the request is finished.
  var argumentBytes: [UInt8]?
  var parameterBytes: [UInt8]?
  /// Held until the request is finished, so that the VM lives as long, as it does during an ioctl.
  private var descriptors: DescriptorList

  enum Kind {
    case memoryEncryptOperation, registerRegion, unregisterRegion
  }

  /// A place in the caller's memory that was read and tried for writing ahead of the request.
  struct Window {
    let address: UInt64
    let count: Int
    /// Nil if it cannot be read.
    var bytes: [UInt8]?
    let isWritable: Bool

    func matches(address: UInt64, count: Int) -> Bool {
      self.count > 0 && self.address == address && self.count == count
    }
  }

  init(
    kind: Kind, machine: VirtualMachineID, caller: Caller, argument: Window, parameters: Window,
    holding descriptors: consuming DescriptorList
  ) {
    self.kind = kind
    self.machine = machine
    self.caller = caller
    self.argument = argument
    self.parameters = parameters
    self.descriptors = descriptors
  }

  func releaseDescriptors() {
    descriptors = DescriptorList()
  }

  /// The window that a copy from the caller's memory is exactly for.
  func window(address: UInt64, count: Int) -> Window? {
    if argument.matches(address: address, count: count) { return argument }
    if parameters.matches(address: address, count: count) { return parameters }
    return nil
  }

  /// Keeps what is to be copied to a window until the request is finished.
  ///
  /// - Returns: Whether the window can be written; nothing if the copy is not exactly for a window.
  func deliverLater(_ bytes: [UInt8], at address: UInt64) -> Bool? {
    if argument.matches(address: address, count: bytes.count) {
      if argument.isWritable { argumentBytes = bytes }
      return argument.isWritable
    }
    if parameters.matches(address: address, count: bytes.count) {
      if parameters.isWritable { parameterBytes = bytes }
      return parameters.isWritable
    }
    return nil
  }
}
