/// How much is measured.
struct BenchPlan {
  /// Handoffs of a guest with so much RAM.
  struct Size: Hashable {
    var way = ContextWay.token
    let ramMebibytes: Int
    let handoffs: Int
    /// In how many blocks; those of the C program and ours take turns, so that noise meets both.
    let blocks: Int

    /// For people.
    var name: String { way.name(ramMebibytes) }
  }

  /// Under the installed units.
  struct Units {
    /// Upgrades by starting the other slot; blocks of bare processes and of units take turns.
    var sideBySide: [Size]
    /// Restarts in place.
    var inPlace: [Size]
    /// Starts of batond by the first call.
    let starts: Int
  }

  /// Streams through sidecars.
  struct Remote {
    let rounds: Int
    /// Of each stream.
    let mebibytes: Int
    /// Of the last one, after which memory is looked at.
    let largeMebibytes: Int
  }

  /// Whole migrations there and back.
  struct Migration {
    /// A plain guest.
    struct Size {
      let ramMebibytes: Int
      let migrations: Int
      /// Of other programs' streams, in turns with the migrations; 0 for none.
      let streamMebibytes: Int
      /// How much of the time its vCPUs work while it is moved.
      var dutyPercent = 1
      /// What they write again and again then, in MiB; nil for some pages here and there. Rounds have to find a quiet
      /// moment of it.
      var busyMebibytes: Int?

      /// As tables call it.
      var name: String { "\(ramMebibytes) MiB" + (busyMebibytes.map { ", \($0) busy" } ?? "") }
    }

    /// A SEV guest of the model.
    struct Encrypted {
      let ramMebibytes: Int
      let migrations: Int
      /// Through the model's cryptography alone, before each migration.
      let pages: Int
    }

    /// A SEV guest on a device as slow as real ones.
    struct Throttled {
      let ramMebibytes: Int
      let migrations: Int
      let pagesPerSecond: Int
    }

    var plain: [Size]
    /// nil to leave it out.
    var encrypted: Encrypted?
    var throttled: Throttled?
  }

  /// Both ways in which a context goes.
  var sizes: [Size]
  /// Real vCPUs: each handoff is slow where instructions are emulated.
  let kvm: Size
  let rollingGuests: Int
  let rollingParallel: Int
  let registeredGuests: Int
  let modelRoundTrips: Int
  let modelPages: Int
  /// Through two sidecars.
  var remote = Remote(rounds: 12, mebibytes: 1024, largeMebibytes: 4096)
  /// Between two hosts on this machine.
  var migration = Migration(
    plain: [
      Migration.Size(ramMebibytes: 1024, migrations: 12, streamMebibytes: 1024),
      Migration.Size(ramMebibytes: 4096, migrations: 8, streamMebibytes: 0),
      Migration.Size(
        ramMebibytes: 1024, migrations: 12, streamMebibytes: 0, dutyPercent: 25, busyMebibytes: 64),
    ],
    encrypted: Migration.Encrypted(ramMebibytes: 128, migrations: 12, pages: 10_000),
    throttled: Migration.Throttled(ramMebibytes: 32, migrations: 3, pagesPerSecond: 400))
  /// Of a plain guest, in C and in Swift each.
  var library = Size(ramMebibytes: 256, handoffs: 200, blocks: 8)
  var units: Units

  static let full = BenchPlan(
    sizes: [
      Size(ramMebibytes: 256, handoffs: 200, blocks: 8),
      Size(ramMebibytes: 1024, handoffs: 200, blocks: 8),
      Size(ramMebibytes: 4096, handoffs: 200, blocks: 4),
      Size(ramMebibytes: 16384, handoffs: 50, blocks: 2),
      Size(way: .move, ramMebibytes: 256, handoffs: 200, blocks: 8),
      Size(way: .move, ramMebibytes: 1024, handoffs: 200, blocks: 8),
    ],
    kvm: Size(ramMebibytes: 256, handoffs: 20, blocks: 1),
    rollingGuests: 100, rollingParallel: 8, registeredGuests: 1000, modelRoundTrips: 5000, modelPages: 50_000,
    units: Units(
      sideBySide: [
        Size(ramMebibytes: 256, handoffs: 100, blocks: 4), Size(ramMebibytes: 1024, handoffs: 100, blocks: 4),
      ],
      inPlace: [
        Size(ramMebibytes: 256, handoffs: 50, blocks: 1), Size(ramMebibytes: 1024, handoffs: 50, blocks: 1),
        Size(ramMebibytes: 4096, handoffs: 30, blocks: 1),
      ],
      starts: 50))

  static let quick = BenchPlan(
    sizes: [
      Size(ramMebibytes: 64, handoffs: 10, blocks: 2), Size(ramMebibytes: 256, handoffs: 10, blocks: 2),
      Size(way: .move, ramMebibytes: 64, handoffs: 10, blocks: 2),
    ],
    kvm: Size(ramMebibytes: 64, handoffs: 3, blocks: 1),
    rollingGuests: 8, rollingParallel: 4, registeredGuests: 50, modelRoundTrips: 500, modelPages: 5000,
    remote: Remote(rounds: 2, mebibytes: 256, largeMebibytes: 1024),
    migration: Migration(
      plain: [Migration.Size(ramMebibytes: 64, migrations: 4, streamMebibytes: 64)],
      encrypted: Migration.Encrypted(ramMebibytes: 16, migrations: 2, pages: 1000),
      throttled: Migration.Throttled(ramMebibytes: 16, migrations: 1, pagesPerSecond: 400)),
    library: Size(ramMebibytes: 64, handoffs: 10, blocks: 2),
    units: Units(
      sideBySide: [Size(ramMebibytes: 64, handoffs: 6, blocks: 2)],
      inPlace: [Size(ramMebibytes: 64, handoffs: 3, blocks: 1)], starts: 5))

  /// - Parameter sizes: In MiB; empty means those of the plan.
  mutating func restrict(toSizes wanted: [Int], handoffs: Int?) {
    sizes = ContextWay.allCases.flatMap { way in
      Self.restrict(sizes.filter { $0.way == way }, way, wanted, handoffs)
    }
    if let handoffs {
      library = Size(
        ramMebibytes: library.ramMebibytes, handoffs: handoffs, blocks: min(library.blocks, handoffs))
    }
    if !wanted.isEmpty {
      migration.plain.removeAll { !wanted.contains($0.ramMebibytes) }
      if let guest = migration.encrypted, !wanted.contains(guest.ramMebibytes) { migration.encrypted = nil }
      if let guest = migration.throttled, !wanted.contains(guest.ramMebibytes) { migration.throttled = nil }
    }
    units.sideBySide = Self.restrict(units.sideBySide, .token, wanted, handoffs)
    units.inPlace = Self.restrict(units.inPlace, .token, wanted, handoffs)
  }

  private static func restrict(
    _ known: [Size], _ way: ContextWay, _ wanted: [Int], _ handoffs: Int?
  ) -> [Size] {
    let chosen =
      wanted.isEmpty
      ? known
      : wanted.map { mebibytes in
        known.first { $0.ramMebibytes == mebibytes }
          ?? Size(way: way, ramMebibytes: mebibytes, handoffs: 50, blocks: 2)
      }
    guard let handoffs else { return chosen }
    return chosen.map {
      Size(
        way: $0.way, ramMebibytes: $0.ramMebibytes, handoffs: handoffs, blocks: min($0.blocks, handoffs))
    }
  }
}
