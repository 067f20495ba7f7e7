import SEVABI
import SEVModel
import Testing

/// Address 0 is not just one more bad address: some commands take it for "none", some look for it first.
@Suite("A request with a null pointer")
struct BadAddressNullTests {
  private static func expectation(_ scenario: BadAddressScenario, _ pointer: String) -> Ending {
    switch (scenario.name, pointer) {
    case ("LAUNCH_START with a session", "certificate"): .ok
    case ("LAUNCH_START with a session", "session"), ("LAUNCH_MEASURE", _),
      ("GET_ATTESTATION_REPORT", _), ("PEK_CSR", _), ("GET_ID2", _), ("PDH_CERT_EXPORT", _):
      .refused(.invalidLength)
    case ("GET_SHARED_PAGES_LIST", _), ("SET_SHARED_PAGES_LIST", "count"): .quiet(.badAddress)
    // An empty list.
    case ("SET_SHARED_PAGES_LIST", _): .quiet(nil)
    case ("LAUNCH_UPDATE_DATA", _), ("LAUNCH_SECRET", "guest memory"), ("DBG_DECRYPT", "source"),
      ("DBG_ENCRYPT", "source"), ("REG_REGION", _):
      .quiet(.outOfMemory)
    default: .quiet(.invalidArgument)
    }
  }

  @Test("has the errno of that pointer and leaves everything as it was", arguments: BadAddressScenario.all)
  func eachPointer(scenario: BadAddressScenario) {
    for (number, pointer) in scenario.pointers.enumerated() {
      var (world, addresses) = BadAddressTests.prepare(scenario)
      let before = world.fingerprint()
      addresses[number] = 0
      let ending = scenario.issue(&world, addresses)
      switch pointer.name {
      case "block":
        // Of a VM that asks whether there is SEV at all; the device has no such question.
        let isDevice = pointer.byteCount == 16
        #expect(ending.error == (isDevice ? .badAddress : nil), "\(scenario.name)")
      case "struct": #expect(ending.error == .badAddress, "\(scenario.name)")
      default:
        let expectation = Self.expectation(scenario, pointer.name)
        #expect(ending == expectation, "\(scenario.name), \(pointer.name)")
        guard expectation.error != nil else { continue }
      }
      #expect(world.fingerprint() == before, "\(scenario.name), \(pointer.name)")
    }
  }

  @Test(
    "of the debugging commands on their second page fails there, with the first page done",
    arguments: [17, 18])
  func debugHalfDone(id: UInt32) {
    for missing in 0...1 {
      var world = BadAddressWorld()
      world.makeRunning()
      let page = BadAddressTests.page
      let source = BadAddressTests.base(0) + page - 32
      let destination = BadAddressTests.base(1) + page - 32
      for pointer in 0...1 {
        world.memory.map(BadAddressTests.base(pointer), count: pointer == missing ? page : 2 * page)
      }
      world.memory.store([UInt8](repeating: 7, count: 64), at: source)
      world.memory.map(BadAddressTests.base(2), count: page)
      let ending = world.issue(
        id, world.machine, block: BadAddressTests.base(2), structure: BadAddressTests.base(2) + 64,
        DebugParameters(sourceAddress: source, destinationAddress: destination, length: 64).bytes)
      #expect(ending == Ending(error: .outOfMemory, firmware: .success))
      #expect(
        world.memory.load(64, at: destination)
          == [UInt8](repeating: 7, count: 32) + [UInt8](repeating: 0, count: 32))
    }
  }
}
