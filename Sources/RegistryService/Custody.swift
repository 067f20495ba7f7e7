import BatonCore
import BatonWire
import LinuxOS

/// Descriptors that travel together and are closed together, shared by custody and by queued records.
final class DescriptorBundle {
  let list: DescriptorList

  init(_ list: consuming DescriptorList) { self.list = list }

  var numbers: [Int32] { list.borrowedNumbers }
  var count: Int { list.count }
}

/// The descriptors of one guest that the registry holds while a handoff lasts.
struct Custody {
  private(set) var ram: DescriptorBundle?
  private(set) var state: DescriptorBundle?
  /// The source's VM; with way `move` the baton.
  private(set) var vm: DescriptorBundle?
  private(set) var named: DescriptorBundle?
  private var takeBackVM: DescriptorBundle?
  private var returnedVMs: [DescriptorBundle] = []
  private(set) var successorVMs: [ProcessID: DescriptorBundle] = [:]

  init() {}

  /// What the service manager's store had kept.
  init(
    ram: DescriptorBundle, state: DescriptorBundle, vm: DescriptorBundle?, named: DescriptorBundle,
    takeBackVM: DescriptorBundle?, successorVMs: [ProcessID: DescriptorBundle]
  ) {
    self.ram = ram
    self.state = state
    self.vm = vm
    self.named = named
    self.takeBackVM = takeBackVM
    self.successorVMs = successorVMs
  }

  private var bundles: [DescriptorBundle] {
    [ram, state, vm, named, takeBackVM].compactMap { $0 } + returnedVMs + successorVMs.values
  }

  var count: Int { bundles.reduce(0) { $0 + $1.count } }

  /// Takes over what came. An offer replaces what another one brought, a stage the state only.
  mutating func keep(_ incoming: IncomingDescriptors) {
    switch incoming.shape {
    case .offer:
      ram = incoming.ram
      state = incoming.state
      vm = incoming.vm
      named = incoming.named
      takeBackVM = incoming.contextVMs
    case .returned(let manifest):
      ram = incoming.ram
      state = incoming.state
      named = incoming.named
      switch manifest.way {
      case .token, .none: vm = incoming.vm
      // All that it had got, so also what another one had brought back before.
      case .move: returnedVMs = [incoming.vm, incoming.contextVMs].compactMap { $0 }
      }
    case .stage: state = incoming.state
    case .successorVM(let process): successorVMs[process] = incoming.contextVMs
    }
  }

  /// The VMs that the machine grants, at most as many as a message can carry.
  func vms(of grant: VMGrant) -> [DescriptorBundle] {
    let granted: [DescriptorBundle?] =
      (grant.staged ? [vm] : []) + (grant.takeBack ? [takeBackVM] : [])
      + grant.successors.reversed().map { successorVMs[$0] } + (grant.returned ? returnedVMs : [])
    var room = ContextVMs.maximum
    return granted.compactMap { $0 }.filter { bundle in
      guard bundle.count <= room else { return false }
      room -= bundle.count
      return true
    }
  }

  mutating func empty() { self = Custody() }
}

/// What of a record's descriptors is wrong.
struct DescriptorFault: Error {
  let refusal: Refusal
  let detail: String
}

/// Checks of descriptors before they are used (design rule 8).
enum DescriptorCheck {
  /// Guest RAM of an offer: memfds of the manifest's identity and size that can never shrink.
  static func checkRAM(_ manifest: Manifest, _ list: borrowing DescriptorList) throws(DescriptorFault) {
    for (index, file) in manifest.files.enumerated() {
      let what = "RAM file \(index)"
      let identity = try identity(list, index, what)
      let seals = try seals(list, index, what, identity)
      guard seals.isSuperset(of: .ram) else {
        throw DescriptorFault(
          refusal: .sealsMissing, detail: "\(what) is not sealed against shrinking, growing and new seals")
      }
      guard !seals.contains(.write) else {
        throw DescriptorFault(refusal: .badManifest, detail: "\(what) is sealed against writing")
      }
      guard identity.device == file.device, identity.inode == file.inode else {
        throw DescriptorFault(
          refusal: .foreignMemory, detail: "\(what) is another memfd than the manifest says")
      }
      guard identity.byteCount >= file.byteCount else {
        throw DescriptorFault(
          refusal: .memoryTooShort,
          detail: "\(what) has \(identity.byteCount) bytes, the manifest says \(file.byteCount)")
      }
      guard identity.byteCount == file.byteCount else {
        throw DescriptorFault(
          refusal: .badManifest,
          detail: "\(what) has \(identity.byteCount) bytes, the manifest says \(file.byteCount)")
      }
    }
  }

  /// The state memfd of an offer: any memfd.
  static func checkEmptyState(_ list: borrowing DescriptorList, at index: Int) throws(DescriptorFault) {
    let identity = try identity(list, index, "the state memfd")
    _ = try seals(list, index, "the state memfd", identity)
  }

  /// A staged state memfd: it can never change, and has the size that was said.
  static func checkState(
    _ stage: Stage, _ list: borrowing DescriptorList, at index: Int
  ) throws(DescriptorFault) {
    let identity = try identity(list, index, "the state memfd")
    guard try seals(list, index, "the state memfd", identity).isSuperset(of: .state) else {
      throw DescriptorFault(
        refusal: .sealsMissing, detail: "the state memfd is not sealed against every change")
    }
    guard identity.byteCount == stage.envelopeByteCount else {
      throw DescriptorFault(
        refusal: .memoryTooShort,
        detail: "the state memfd has \(identity.byteCount) bytes, the stage says \(stage.envelopeByteCount)")
    }
  }

  private static func identity(
    _ list: borrowing DescriptorList, _ index: Int, _ what: String
  ) throws(DescriptorFault) -> FileIdentity {
    do throws(SystemError) { return try list.identity(at: index) } catch {
      throw DescriptorFault(refusal: .descriptorMismatch, detail: "\(what): \(error)")
    }
  }

  private static func seals(
    _ list: borrowing DescriptorList, _ index: Int, _ what: String, _ identity: FileIdentity
  ) throws(DescriptorFault) -> Seals {
    let seals = try? list.seals(at: index)
    guard identity.isRegularFile, let seals else {
      throw DescriptorFault(refusal: .notAMemfd, detail: "\(what) is not a memfd")
    }
    return seals
  }
}
