import Harness
import LinuxOS
import RegistryInterface
import Testing

@Suite("The worked example")
struct ExampleTests {
  @Test("hands its counter from process to process, and the last one ends the guest")
  func chain() throws {
    try Workbench.use { bench in
      _ = try bench.startRegistry()
      var processes: [TestProcess] = []
      for _ in 0..<3 {
        processes.append(
          try bench.start(.example, [bench.handoffSocket, "counter", "2000"]))
        let number = processes.count
        // Each one owns the guest in the next epoch; its predecessor leaves.
        _ = try bench.waitForGuest("counter", "is in epoch \(number)") { $0.epoch == UInt64(number) }
        if number > 1 { #expect(try processes[number - 2].waitForEnd() == .exited(status: 0)) }
      }
      #expect(try processes[2].waitForEnd() == .exited(status: 0))
      let outputs = try processes.map { try TextFile.read($0.log) }
      #expect(outputs[0].contains("\"epochs\":[1],\"released\":true"))
      #expect(outputs[1].contains("\"epochs\":[2],\"released\":true"))
      #expect(outputs[2].contains("\"counter\":2000,\"epochs\":[3],\"released\":false"))
    }
  }
}
