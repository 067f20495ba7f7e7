import SEVModel

/// Which VMs are being worked on, and who waits for them, in the order of arrival.
///
/// A waiter takes all of its VMs together or none, and passes nobody who came before and wants one of them. So
/// the first in line waits only for requests that are under way, which wait for no VM: there is no deadlock,
/// and nobody waits for ever.
struct MachineLocks<Waiter> {
  private struct Place {
    let machines: [VirtualMachineID]
    let waiter: Waiter
  }

  private var held: Set<VirtualMachineID> = []
  private var line: [Place] = []

  var isEmpty: Bool { held.isEmpty && line.isEmpty }

  /// Takes the VMs if that is possible at once.
  mutating func take(_ machines: [VirtualMachineID]) -> Bool {
    guard isFree(machines, before: line.endIndex) else { return false }
    held.formUnion(machines)
    return true
  }

  /// Puts somebody at the end of the line.
  mutating func wait(_ waiter: Waiter, for machines: [VirtualMachineID]) {
    line.append(Place(machines: machines, waiter: waiter))
  }

  mutating func release(_ machines: [VirtualMachineID]) {
    held.subtract(machines)
  }

  /// Takes the first one out of the line whose VMs are free, and takes these for it.
  mutating func next() -> Waiter? {
    guard
      let index = line.indices.first(where: { isFree(line[$0].machines, before: $0) })
    else { return nil }
    let place = line.remove(at: index)
    held.formUnion(place.machines)
    return place.waiter
  }

  /// Takes everybody out of the line who no longer wants anything.
  mutating func removeWaiters(where isGone: (Waiter) -> Bool) {
    line.removeAll { isGone($0.waiter) }
  }

  /// Whether nobody has one of the VMs or waits for it in front of `end`.
  private func isFree(_ machines: [VirtualMachineID], before end: Int) -> Bool {
    guard held.isDisjoint(with: machines) else { return false }
    return !line[..<end].contains { place in place.machines.contains(where: machines.contains) }
  }
}
