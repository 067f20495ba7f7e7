import SEVABI

/// KVM's address-space identifiers (ASIDs): who may have which, and which must be flushed before reuse.
///
/// SEV-ES guests have the lowest numbers, other SEV guests those above. A freed ASID is not handed out again
/// before a flush of caches and data fabric, and that is done only when nothing else is left.
struct ASIDPool: Sendable {
  let encryptedStateCount: UInt32
  let count: UInt32
  private var used: Set<UInt32> = []
  private var freed: Set<UInt32> = []

  init(encryptedStateCount: UInt32, count: UInt32) {
    self.encryptedStateCount = encryptedStateCount
    self.count = count
  }

  var maximum: UInt32 { encryptedStateCount + count }
  var smallestWithoutEncryptedState: UInt32 { encryptedStateCount + 1 }

  private func numbers(encryptedState: Bool) -> Range<UInt32> {
    encryptedState ? 1..<(encryptedStateCount + 1) : smallestWithoutEncryptedState..<(maximum + 1)
  }

  /// Takes the lowest unused ASID of the kind.
  ///
  /// - Parameter flush: Called when freed ASIDs, of both kinds, have to be made usable again; says whether they
  ///   are.
  mutating func allocate(
    encryptedState: Bool, flush: () -> Bool
  ) throws(KernelError) -> UInt32 {
    let numbers = numbers(encryptedState: encryptedState)
    guard !numbers.isEmpty else { throw .notSupported }
    if let asid = numbers.first(where: { !used.contains($0) }) {
      used.insert(asid)
      return asid
    }
    guard freed.contains(where: numbers.contains), flush() else { throw .busy }
    used.subtract(freed)
    freed = []
    guard let asid = numbers.first(where: { !used.contains($0) }) else { throw .busy }
    used.insert(asid)
    return asid
  }

  /// Gives an ASID back; it is usable after the next flush.
  mutating func free(_ asid: UInt32) {
    freed.insert(asid)
  }

  /// Takes back an ASID that was freed but not yet flushed for somebody else; false if it is gone.
  mutating func reclaim(_ asid: UInt32) -> Bool {
    freed.remove(asid) != nil
  }

  /// How many guests of the kind could still be made.
  func freeCount(encryptedState: Bool) -> Int {
    numbers(encryptedState: encryptedState).count { !used.contains($0) || freed.contains($0) }
  }
}
