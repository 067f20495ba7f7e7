import LinuxOS
import SEVABI
import SEVDevice
import SEVModel

/// An ioctl that was received and is not finished.
final class PendingRequest {
  let kind: ModelWire.Request
  let target: Target
  let caller: Caller
  /// The ioctl's argument and the command's own struct, with what was read there.
  let argument: Window
  let parameters: Window
  /// What is to be written to the windows when the request is finished.
  var argumentBytes: [UInt8]?
  var parameterBytes: [UInt8]?
  /// What the caller said is behind one of its descriptor numbers, ahead of the question.
  let attached: Attached?
  /// The VMs that nobody else works on until the request is finished.
  var locked: [VirtualMachineID] = []
  /// The VMs that live at least until the request is finished.
  private(set) var machines: [VirtualMachineID]
  /// Held until the request is finished, so that the VMs live as long, as they do during an ioctl.
  private var descriptors: [DescriptorHolder]

  /// What the ioctl is made on.
  enum Target {
    case machine(VirtualMachineID)
    case firmware(isWritable: Bool)
  }

  struct Attached {
    let number: Int32
    /// Nil if it is open and no VM of the model.
    let machine: VirtualMachineID?
  }

  /// Descriptors cannot be copied, so that an array of lists needs boxes.
  private final class DescriptorHolder {
    let list: DescriptorList
    init(_ list: consuming DescriptorList) { self.list = list }
  }

  /// A place in the caller's memory that was read and tried for writing ahead of the request.
  struct Window {
    let address: UInt64
    let count: Int
    /// Nil if it could not be read ahead; then a read is a question.
    let bytes: [UInt8]?
    /// Whether it could be written when the request was sent; else a write is a question.
    let isWritable: Bool

    func matches(address: UInt64, count: Int) -> Bool {
      self.count > 0 && self.address == address && self.count == count
    }
  }

  init(
    kind: ModelWire.Request, target: Target, caller: Caller, argument: Window, parameters: Window,
    attached: Attached?, holding descriptors: consuming DescriptorList
  ) {
    self.kind = kind
    self.target = target
    self.caller = caller
    self.argument = argument
    self.parameters = parameters
    self.attached = attached
    self.descriptors = [DescriptorHolder(descriptors)]
    machines =
      switch target {
      case .machine(let id): [id]
      case .firmware: []
      }
    if let other = attached?.machine, !machines.contains(other) { machines.append(other) }
  }

  /// Keeps another VM alive until the request is finished.
  func hold(_ descriptors: consuming DescriptorList, of machine: VirtualMachineID) {
    self.descriptors.append(DescriptorHolder(descriptors))
    if !machines.contains(machine) { machines.append(machine) }
  }

  func releaseDescriptors() {
    descriptors = []
  }

  /// What was read ahead for exactly this copy from the caller's memory; nothing if it must be asked for.
  func readAhead(address: UInt64, count: Int) -> [UInt8]? {
    if argument.matches(address: address, count: count) { return argument.bytes }
    if parameters.matches(address: address, count: count) { return parameters.bytes }
    return nil
  }

  /// Keeps what is to be copied to a window until the request is finished.
  ///
  /// - Returns: Whether it is kept; else the copy is a question.
  func deliverLater(_ bytes: [UInt8], at address: UInt64) -> Bool {
    if argument.isWritable, argument.matches(address: address, count: bytes.count) {
      argumentBytes = bytes
      return true
    }
    if parameters.isWritable, parameters.matches(address: address, count: bytes.count) {
      parameterBytes = bytes
      return true
    }
    return false
  }
}
