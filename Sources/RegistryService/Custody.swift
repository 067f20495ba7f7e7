import BatonWire
import LinuxOS

/// Descriptors that travel together and are closed together, shared by custody and by queued records.
final class DescriptorBundle {
  let list: DescriptorList

  init(_ list: consuming DescriptorList) { self.list = list }

  var numbers: [Int32] { list.borrowedNumbers }
  var count: Int { list.count }
}

/// What came with the record that is being processed.
struct IncomingDescriptors {
  enum Shape {
    /// RAM files, state memfd, VM, named descriptors.
    case offer(Manifest)
    /// The sealed state memfd alone.
    case stage
  }

  let shape: Shape
  let ram: DescriptorBundle?
  let state: DescriptorBundle
  let others: DescriptorBundle?

  /// - Precondition: the list has as many descriptors as the shape says.
  init(_ shape: Shape, _ list: consuming DescriptorList) {
    self.shape = shape
    switch shape {
    case .offer(let manifest):
      ram = DescriptorBundle(list.removeFirst(manifest.files.count))
      state = DescriptorBundle(list.removeFirst(1))
      others = DescriptorBundle(list)
    case .stage:
      ram = nil
      state = DescriptorBundle(list)
      others = nil
    }
  }
}

/// The descriptors of one guest that the registry holds while a handoff lasts.
struct Custody {
  private(set) var ram: DescriptorBundle?
  private(set) var state: DescriptorBundle?
  private(set) var others: DescriptorBundle?

  var count: Int { (ram?.count ?? 0) + (state?.count ?? 0) + (others?.count ?? 0) }

  /// Takes over what came; an offer replaces everything, a stage the state only.
  mutating func keep(_ incoming: IncomingDescriptors) {
    state = incoming.state
    switch incoming.shape {
    case .offer:
      ram = incoming.ram
      others = incoming.others
    case .stage: break
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
