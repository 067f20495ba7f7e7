import SEVModel
import Testing

@testable import ModelService

@Suite("The locks of VMs")
struct MachineLocksTests {
  /// VMs to lock; only a model makes their names.
  private func machines(_ count: Int) -> [VirtualMachineID] {
    var host = ModelHost()
    return (0..<count).map { _ in host.makeMachine(creator: AddressSpaceID(rawValue: 1)) }
  }

  @Test("are taken together or not at all, in the order of arrival")
  func order() {
    let all = machines(3)
    var locks = MachineLocks<String>()
    let first = locks.take([all[0]])
    #expect(first)
    let pair = locks.take([all[0], all[1]])
    #expect(!pair)
    locks.wait("pair", for: [all[0], all[1]])
    // The second VM is free, but somebody came before.
    let passing = locks.take([all[1]])
    #expect(!passing)
    locks.wait("second", for: [all[1]])
    let third = locks.take([all[2]])
    #expect(third)
    let next1 = locks.next()
    #expect(next1 == nil)
    locks.release([all[0]])
    let next2 = locks.next()
    #expect(next2 == "pair")
    let next3 = locks.next()
    #expect(next3 == nil)
    locks.release([all[0], all[1]])
    let next4 = locks.next()
    #expect(next4 == "second")
    locks.release([all[1], all[2]])
    #expect(locks.isEmpty)
  }

  @Test("are not kept from anybody by a waiter who went away")
  func removal() {
    let all = machines(2)
    var locks = MachineLocks<String>()
    let first = locks.take([all[0]])
    #expect(first)
    locks.wait("gone", for: [all[0], all[1]])
    locks.wait("here", for: [all[1]])
    let next5 = locks.next()
    #expect(next5 == nil)
    locks.removeWaiters { $0 == "gone" }
    let next6 = locks.next()
    #expect(next6 == "here")
  }

  @Test("come to everybody in the end, and never to two at a time", arguments: 1...50 as ClosedRange<UInt64>)
  func chance(seed: UInt64) {
    let all = machines(4)
    var generator = SeededGenerator(seed: seed)
    var locks = MachineLocks<Int>()
    var wanted: [[VirtualMachineID]] = []
    var running: Set<Int> = []
    var finished = 0
    while finished < 400 {
      if wanted.count < 400, Bool.random(using: &generator) {
        let number = wanted.count
        wanted.append(Array(all.shuffled(using: &generator).prefix(Int.random(in: 1...2, using: &generator))))
        if locks.take(wanted[number]) {
          running.insert(number)
        } else {
          locks.wait(number, for: wanted[number])
        }
      } else if let number = running.randomElement(using: &generator) {
        running.remove(number)
        locks.release(wanted[number])
        finished += 1
        while let next = locks.next() { running.insert(next) }
      } else if wanted.count == 400 {
        Issue.record("\(400 - finished) wait and nobody works")
        return
      }
      let busy = running.flatMap { wanted[$0] }
      guard Set(busy).count == busy.count else {
        Issue.record("two have one VM")
        return
      }
    }
    #expect(locks.isEmpty)
  }
}
