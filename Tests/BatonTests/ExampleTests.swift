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

  @Test("leaves its counter in custody when it asks to be parked, and the next process counts on")
  func restartInPlace() throws {
    try Workbench.use { bench in
      _ = try bench.startRegistry()
      let first = try bench.start(.example, [bench.handoffSocket, "counter", "800", "300"])
      #expect(try first.waitForEnd() == .exited(status: 0))
      let waiting = try bench.waitForGuest("counter", "waits in custody") { $0.state == .waiting }
      #expect(waiting.epoch == 1)
      let second = try bench.start(.example, [bench.handoffSocket, "counter", "800"])
      #expect(try second.waitForEnd() == .exited(status: 0))
      let outputs = try [first, second].map { try TextFile.read($0.log) }
      #expect(outputs[0].contains("\"epochs\":[1],\"released\":true"))
      #expect(outputs[1].contains("\"counter\":800,\"epochs\":[2],\"released\":false"))
    }
  }

  @Test("asks again by itself when batond is restarted before it was parked")
  func restartOfRegistry() throws {
    try Workbench.use { bench in
      let registry = try bench.startRegistry(crashAt: "afterPrepareSent")
      let first = try bench.start(.example, [bench.handoffSocket, "counter", "800", "300"])
      #expect(try registry.waitForEnd() == .signalled(9))
      _ = try bench.startRegistry()
      #expect(try first.waitForEnd() == .exited(status: 0))
      let second = try bench.start(.example, [bench.handoffSocket, "counter", "800"])
      #expect(try second.waitForEnd() == .exited(status: 0))
      #expect(try TextFile.read(second.log).contains("\"counter\":800,\"epochs\":[2],\"released\":false"))
    }
  }
}
