import SEVABI
import SEVModel
import Testing

@Suite("A request with bad memory")
struct BadAddressTests {
  /// Where the pointers of a request go, each to the first pages of an area of its own.
  static func base(_ pointer: Int) -> UInt64 { 0x1000_0000 + UInt64(pointer) * 0x10_0000 }

  static let page = BadAddressMemory.pageByteCount

  /// Bytes of the pages that hold what a pointer points at, from its base on.
  private static func size(_ pointer: BadAddressPointer) -> UInt64 {
    (offset + pointer.byteCount + page - 1) / page * page
  }

  /// Where on its first page a pointer points.
  private static let offset: UInt64 = 0x100

  /// What a fault at a pointer leads to.
  private struct Expectation {
    var ending: Ending
    /// Whether the state is that after the request, or that before it.
    var isDone: Bool
    /// The block is not in memory to be read.
    var hidesFirmware = false
  }

  private static func expectation(
    _ scenario: BadAddressScenario, _ pointer: BadAddressPointer, _ fault: BadAddressFault
  ) -> Expectation {
    let untouched = Expectation(ending: .quiet(.badAddress), isDone: false)
    let done = Expectation(ending: scenario.ending, isDone: true)
    var late = done
    late.ending.error = .badAddress
    switch pointer.use {
    case .input: return fault.isReadable ? done : untouched
    case .output: return late
    case .both:
      var expectation = fault.isReadable ? late : untouched
      expectation.hidesFirmware = pointer.name == "block"
      return expectation
    case .unwound:
      guard fault.isReadable else { return untouched }
      late.isDone = false
      return late
    case .pinnedForReading:
      return fault.isReadable ? done : Expectation(ending: .quiet(.outOfMemory), isDone: false)
    case .pinnedForWriting: return Expectation(ending: .quiet(.outOfMemory), isDone: false)
    }
  }

  /// A world in which the request can be made, with memory for all its pointers.
  static func prepare(
    _ scenario: BadAddressScenario
  ) -> (world: BadAddressWorld, addresses: [UInt64]) {
    var world = BadAddressWorld(scenario.profile)
    scenario.prepare(&world)
    for (number, pointer) in scenario.pointers.enumerated() {
      world.memory.map(base(number), count: size(pointer))
    }
    return (world, scenario.pointers.indices.map { base($0) + offset })
  }

  /// Spoils the memory of one pointer.
  ///
  /// - Returns: The pointer's address.
  private static func spoil(
    _ world: inout BadAddressWorld, _ number: Int, _ pointer: BadAddressPointer, _ fault: BadAddressFault
  ) -> UInt64 {
    let base = base(number)
    // About half of it on either page; memory that the firmware works on must be aligned to 16.
    let size = size(pointer)
    let half = pointer.byteCount / 2
    let crossing = base + size - (pointer.byteCount > 16 ? (half + 15) / 16 * 16 : half)
    switch fault {
    case .unmapped:
      world.memory.unmap(base, count: size)
      return base + offset
    case .kernelHalf: return 0xFFFF_8000_0000_0000
    case .readOnly:
      world.memory.protect(base, count: size, .readOnly)
      return base + offset
    case .endsUnmapped: return crossing
    case .endsReadOnly:
      world.memory.map(base + size, count: size, .readOnly)
      return crossing
    }
  }

  /// The state that a request left, and how it ends when it is made again with good memory.
  private static func aftermath(
    _ world: inout BadAddressWorld, _ scenario: BadAddressScenario, _ addresses: [UInt64]
  ) -> (state: [UInt64], again: Ending) {
    for (number, pointer) in scenario.pointers.enumerated() {
      world.memory.unmap(base(number), count: 2 * size(pointer))
      world.memory.map(base(number), count: size(pointer))
    }
    return (world.fingerprint(), scenario.issue(&world, addresses))
  }

  @Test("ends as expected when all its memory is good", arguments: BadAddressScenario.all)
  func good(scenario: BadAddressScenario) {
    var (world, addresses) = Self.prepare(scenario)
    #expect(scenario.issue(&world, addresses) == scenario.ending)
  }

  @Test(
    "fails with the errno of the pointer that is bad, and is done or undone as the kernel leaves it",
    arguments: BadAddressScenario.all)
  func eachPointer(scenario: BadAddressScenario) {
    var (before, addresses) = Self.prepare(scenario)
    var after = before
    let first = Self.aftermath(&before, scenario, addresses)
    _ = scenario.issue(&after, addresses)
    let second = Self.aftermath(&after, scenario, addresses)
    for (number, pointer) in scenario.pointers.enumerated() {
      for fault in BadAddressFault.allCases where pointer.canCross || !fault.crosses {
        let what = "\(scenario.name), \(pointer.name) \(fault)"
        let expectation = Self.expectation(scenario, pointer, fault)
        var (world, spoiled) = Self.prepare(scenario)
        spoiled[number] = Self.spoil(&world, number, pointer, fault)
        let ending = scenario.issue(&world, spoiled)
        #expect(ending.error == expectation.ending.error, "\(what)")
        if !expectation.hidesFirmware {
          #expect(ending.firmware == expectation.ending.firmware, "\(what)")
        }
        let (state, again) = Self.aftermath(&world, scenario, addresses)
        #expect(state == (expectation.isDone ? second.state : first.state), "\(what)")
        #expect(again == (expectation.isDone ? second.again : first.again), "\(what), made again")
      }
    }
  }
}
