/// How much is measured.
struct BenchPlan {
  /// Handoffs of a guest with so much RAM.
  struct Size: Hashable {
    let ramMebibytes: Int
    let handoffs: Int
    /// In how many blocks; those of the C program and ours take turns, so that noise meets both.
    let blocks: Int
  }

  var sizes: [Size]
  /// Real vCPUs: each handoff is slow where instructions are emulated.
  let kvm: Size
  let rollingGuests: Int
  let rollingParallel: Int
  let registeredGuests: Int
  let modelRoundTrips: Int
  let modelPages: Int

  static let full = BenchPlan(
    sizes: [
      Size(ramMebibytes: 256, handoffs: 200, blocks: 8),
      Size(ramMebibytes: 1024, handoffs: 200, blocks: 8),
      Size(ramMebibytes: 4096, handoffs: 200, blocks: 4),
      Size(ramMebibytes: 16384, handoffs: 50, blocks: 2),
    ],
    kvm: Size(ramMebibytes: 256, handoffs: 20, blocks: 1),
    rollingGuests: 100, rollingParallel: 8, registeredGuests: 1000, modelRoundTrips: 5000, modelPages: 50_000)

  static let quick = BenchPlan(
    sizes: [
      Size(ramMebibytes: 64, handoffs: 10, blocks: 2), Size(ramMebibytes: 256, handoffs: 10, blocks: 2),
    ],
    kvm: Size(ramMebibytes: 64, handoffs: 3, blocks: 1),
    rollingGuests: 8, rollingParallel: 4, registeredGuests: 50, modelRoundTrips: 500, modelPages: 5000)

  mutating func restrict(toSizes wanted: [Int], handoffs: Int?) {
    if !wanted.isEmpty {
      let known = sizes
      sizes = wanted.map { mebibytes in
        known.first { $0.ramMebibytes == mebibytes }
          ?? Size(ramMebibytes: mebibytes, handoffs: 50, blocks: 2)
      }
    }
    if let handoffs {
      sizes = sizes.map {
        Size(ramMebibytes: $0.ramMebibytes, handoffs: handoffs, blocks: min($0.blocks, handoffs))
      }
    }
  }
}
