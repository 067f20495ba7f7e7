import BatonCore
import BatonWire

/// A record on its way to the registry.
struct Record {
  let from: ProcessID
  let message: VMMMessage
  let descriptors: Descriptors
}

/// A record on its way to a VMM.
struct Order {
  let message: RegistryMessage
  let descriptors: Descriptors
}

/// One connection of a VMM to the registry: a queue each way, and which end still listens.
final class Link {
  var toRegistry: [Record] = []
  var toVMM: [Order] = []
  var isOpenAtVMM = true
  var isOpenAtRegistry = true
  /// The first record was handed to the registry's machine, or is held until it has settled.
  var saidHello = false

  var isOpen: Bool { isOpenAtVMM && isOpenAtRegistry }
}
