import BatonCore
import BatonWire
import LinuxOS
import Systemd

/// Custody in the service manager's descriptor store, so that it outlives the registry as well.
final class CustodyStore {
  private let store: DescriptorStore
  private let loop: EventLoop
  /// What the manager was seen to hold, by guest.
  private var held: [GuestName: Set<String>]
  /// What is to be taken out soon.
  private var doomed: Set<String> = []
  private var removal: LoopTimer?

  /// Removing waits this long, in nanoseconds: a handoff ends while the guest is about to run again, and the
  /// service manager must not compete with it for a processor.
  private static let removalDelay: UInt64 = 20_000_000

  init(store: DescriptorStore, loop: EventLoop, held: [GuestName: Set<String>]) {
    self.store = store
    self.loop = loop
    self.held = held
    store.outdated = { [unowned self] in takeDoomed() }
  }

  var capacity: Int { store.capacity }
  var free: Int { store.free + doomed.count }

  /// Puts what is not there yet into the store.
  ///
  /// - Parameter completion: Called on the loop's thread, maybe before this returns; nil when all of it is there.
  func keep(
    _ incoming: IncomingDescriptors, of attempt: StoredAttempt,
    completion: @escaping (DescriptorStore.Failure?) -> Void
  ) {
    let all = incoming.storedParts.map { (name: StoredName($0.kind, attempt).text, number: $0.number) }
    let present = held[attempt.guest] ?? []
    let items = all.filter { !present.contains($0.name) }
      .map { DescriptorStore.Item(name: $0.name, number: $0.number) }
    guard !items.isEmpty else {
      completion(nil)
      return
    }
    store.put(items) { [unowned self] failure in
      if failure == nil { held[attempt.guest, default: []].formUnion(items.map(\.name)) }
      // The descriptors stay open until here.
      withExtendedLifetime(incoming) { completion(failure) }
    }
  }

  /// Takes out what `incoming` had brought.
  func drop(_ incoming: IncomingDescriptors, of attempt: StoredAttempt) {
    doom(incoming.storedParts.map { StoredName($0.kind, attempt).text }, of: attempt.guest)
  }

  /// Takes out everything of a guest.
  func empty(_ guest: GuestName) {
    if let names = held[guest] { doom(Array(names), of: guest) }
  }

  private func doom(_ names: [String], of guest: GuestName) {
    let present = held[guest] ?? []
    let rest = present.subtracting(names)
    held[guest] = rest.isEmpty ? nil : rest
    doomed.formUnion(present.intersection(names))
    guard !doomed.isEmpty, removal == nil else { return }
    removal = loop.schedule(after: Self.removalDelay) { [unowned self] in
      store.remove(takeDoomed())
    }
  }

  private func takeDoomed() -> [String] {
    removal?.cancel()
    removal = nil
    defer { doomed = [] }
    return doomed.sorted()
  }
}

extension IncomingDescriptors {
  /// What of it goes into the store, and as what. A claimant that brings the baton back brings what the
  /// store has already: the VMs among that are there under the names with which they came first.
  var storedParts: [(kind: StoredName.Kind, number: Int32)] {
    var parts: [(kind: StoredName.Kind, number: Int32)] = []
    func add(_ bundle: DescriptorBundle?, _ kind: (Int) -> StoredName.Kind) {
      for (index, number) in (bundle?.numbers ?? []).enumerated() { parts.append((kind(index), number)) }
    }
    switch shape {
    case .offer, .returned:
      if let facts { parts.append((.facts, facts.memfd.number)) }
      add(ram) { .ram($0) }
      add(state) { _ in .state }
      add(vm) { _ in .vm }
      add(named) { .named($0) }
      if case .offer = shape { add(contextVMs) { .takeBackVM($0) } }
    case .stage: add(state) { _ in .state }
    case .successorVM(let process): add(contextVMs) { .successorVM(process, $0) }
    }
    return parts
  }
}
