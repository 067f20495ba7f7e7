import BatonCore
import BatonWire
import LinuxOS

/// What came with the record that is being processed.
struct IncomingDescriptors {
  enum Shape {
    /// RAM files, state memfd, VM, named descriptors; with way `move` the source's take-back VM.
    case offer(Manifest)
    /// What a claimant brings back: like an offer, with every VM that it had got at the end.
    case returned(Manifest)
    /// The sealed state memfd alone.
    case stage
    /// A successor's own VM (way `move`).
    case successorVM(ProcessID)
  }

  let shape: Shape
  let ram: DescriptorBundle?
  let state: DescriptorBundle?
  let vm: DescriptorBundle?
  let named: DescriptorBundle?
  /// VMs of way `move` beyond the manifest's.
  let contextVMs: DescriptorBundle?
  /// What went into the descriptor store along with them.
  var facts: StoredFacts?

  /// - Precondition: the list has at least as many descriptors as the shape says.
  init(_ shape: Shape, _ list: consuming DescriptorList) {
    self.shape = shape
    switch shape {
    case .offer(let manifest), .returned(let manifest):
      ram = DescriptorBundle(list.removeFirst(manifest.files.count))
      state = DescriptorBundle(list.removeFirst(1))
      vm = manifest.hasVM ? DescriptorBundle(list.removeFirst(1)) : nil
      named = DescriptorBundle(list.removeFirst(manifest.names.count))
      contextVMs = list.isEmpty ? nil : DescriptorBundle(list)
    case .stage:
      ram = nil
      state = DescriptorBundle(list)
      vm = nil
      named = nil
      contextVMs = nil
    case .successorVM:
      ram = nil
      state = nil
      vm = nil
      named = nil
      contextVMs = DescriptorBundle(list)
    }
  }

  /// A successor's own VM, if one came.
  static func successorVM(
    of process: ProcessID, _ list: consuming DescriptorList
  ) -> IncomingDescriptors? {
    list.isEmpty ? nil : IncomingDescriptors(.successorVM(process), list)
  }

  var bringsVM: Bool { contextVMs != nil }
}
