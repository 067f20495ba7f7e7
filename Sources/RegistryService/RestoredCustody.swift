import BatonCore
import BatonWire
import LinuxOS
import RegistryInterface

/// What the descriptor store had kept of one guest in handoff.
struct RestoredCustody {
  let custody: Custody
  let facts: StoredFacts
  /// Whose guest it is.
  let user: UInt32
  /// Where its owner lived.
  let slot: Slot?
  /// What its machine goes on with.
  let held: GuestMachine.Held
  /// The names in the store.
  let names: Set<String>

  /// What came back when the registry was started, sorted out.
  struct Collection {
    var guests: [GuestName: RestoredCustody] = [:]
    /// Guests whose descriptors are of no use, and why.
    var useless: [(guest: GuestName, reason: String)] = []
    /// Names in the store of handoffs that are over.
    var leftovers: [String] = []
    /// Names that are not ours.
    var strays: [String] = []
  }

  /// Takes out everything that was passed but the sockets.
  ///
  /// - Parameter records: What the journal says. Only what belongs to a handoff under way is of use: everything
  ///   else was about to be removed.
  static func collect(
    _ passed: inout PassedDescriptors, _ records: [GuestRecord]
  ) -> Collection {
    var collection = Collection()
    let known = passed.names.map { (text: $0, name: StoredName($0)) }
    for record in records where record.isInHandoff {
      let attempt = StoredAttempt(guest: record.name, epoch: record.epoch, handoff: record.handoff)
      let names = known.compactMap(\.name).filter { $0.attempt == attempt }
      // Nothing of it was put there, or the service was stopped in between.
      guard !names.isEmpty else { continue }
      do throws(Problem) {
        collection.guests[record.name] = try assemble(names, attempt, record, &passed)
      } catch {
        collection.useless.append((record.name, error.reason))
      }
    }
    let used = collection.guests.values.reduce(into: Set<String>()) { $0.formUnion($1.names) }
    for (text, name) in known where !used.contains(text) {
      if name == nil { collection.strays.append(text) } else { collection.leftovers.append(text) }
    }
    while let name = passed.names.first { _ = passed.take(named: name) }
    return collection
  }

  private struct Problem: Error { let reason: String }

  private static func assemble(
    _ names: [StoredName], _ attempt: StoredAttempt, _ record: GuestRecord, _ passed: inout PassedDescriptors
  ) throws(Problem) -> RestoredCustody {
    guard Set(names).count == names.count else { throw Problem(reason: "a name is there twice") }
    guard let memfd = passed.take(named: StoredName(.facts, attempt).text),
      let (facts, contents) = StoredFacts.open(memfd), contents.handoff == attempt.handoff
    else { throw Problem(reason: "what belongs to it cannot be read") }
    guard let stage = contents.stage else { throw Problem(reason: "it was not staged") }
    let manifest = contents.manifest
    guard manifest.way == record.way else { throw Problem(reason: "it was to move in another way") }
    var used = [StoredName(.facts, attempt)]
    func take(_ kinds: [StoredName.Kind], _ passed: inout PassedDescriptors) throws(Problem) -> DescriptorList
    {
      var list = DescriptorList()
      for kind in kinds {
        let name = StoredName(kind, attempt)
        guard let descriptor = passed.take(named: name.text) else {
          throw Problem(reason: "\(name.text) is missing")
        }
        list.append(descriptor)
        used.append(name)
      }
      return list
    }
    let ram = try take(manifest.files.indices.map { .ram($0) }, &passed)
    let state = try take([.state], &passed)
    do throws(DescriptorFault) {
      try DescriptorCheck.checkRAM(manifest, ram)
      try DescriptorCheck.checkState(stage, state, at: 0)
    } catch { throw Problem(reason: error.detail) }
    let vm = manifest.hasVM ? DescriptorBundle(try take([.vm], &passed)) : nil
    let named = DescriptorBundle(try take(manifest.names.indices.map { .named($0) }, &passed))
    let takeBackKinds = names.map(\.kind).filter(\.isTakeBackVM).sorted { $0.text < $1.text }
    let takeBackVM =
      takeBackKinds.isEmpty ? nil : DescriptorBundle(try take(takeBackKinds, &passed))
    var successorVMs: [ProcessID: DescriptorBundle] = [:]
    for process in Set(names.compactMap(\.kind.successor)).sorted() {
      let kinds = names.map(\.kind).filter { $0.successor == process }.sorted { $0.text < $1.text }
      successorVMs[process] = DescriptorBundle(try take(kinds, &passed))
    }
    var custody = GuestMachine.Custody()
    custody.hasRAM = true
    custody.hasState = true
    custody.hasVM = vm != nil
    custody.hasTakeBackVM = takeBackVM != nil
    custody.successors = Set(successorVMs.keys)
    return RestoredCustody(
      custody: Custody(
        ram: DescriptorBundle(ram), state: DescriptorBundle(state), vm: vm, named: named,
        takeBackVM: takeBackVM, successorVMs: successorVMs),
      facts: facts, user: contents.user, slot: contents.slot,
      held: GuestMachine.Held(custody: custody, manifest: manifest, stage: stage),
      names: Set(used.map(\.text)))
  }
}

extension GuestRecord {
  /// Whether the guest waits between two owners.
  fileprivate var isInHandoff: Bool {
    switch phase {
    case .staged, .claimed, .rollback: true
    case .idle, .lost, .ended, .departing, .departed, .arriving: false
    }
  }
}

extension StoredName.Kind {
  fileprivate var isTakeBackVM: Bool {
    if case .takeBackVM = self { return true }
    return false
  }

  fileprivate var successor: ProcessID? {
    if case .successorVM(let process, _) = self { return process }
    return nil
  }
}
