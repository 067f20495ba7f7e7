import FoundationEssentials
import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite {
  @Suite("batonctl and the operators' socket")
  struct OperatorTests {
    @Test("batonctl lists, shows, checks and hands over, with exit statuses and JSON that parses")
    func commands() throws {
      try Workbench.use { bench in
        let plan = Scene.plan()
        try bench.startRegistry(["--quiet"])
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console)
        for command in [["list"], ["show", "vm1"], ["preflight", "vm1"], ["metrics"]] {
          #expect(try bench.batonctl(command).status == 0, "\(command)")
          let json = try bench.batonctl(command + ["--json"])
          #expect(json.status == 0)
          let lines = json.output.split(separator: "\n")
          #expect(!lines.isEmpty)
          for line in lines { #expect(throws: Never.self) { try parse(String(line)) } }
        }
        #expect(try bench.batonctl(["show", "nobody"]).status == CommandStatus.unknownGuest.rawValue)
        #expect(try bench.batonctl(["abort", "vm1"]).status == CommandStatus.nothingToAbort.rawValue)
        #expect(try bench.batonctl(["upgrade"]).status == CommandStatus.usage.rawValue)

        let events = try bench.detachedEvents("detached.events")
        // What batonctl starts outlives it, so it gets an end of its own.
        let successor =
          ["timeout", "--foreground", "-s", "KILL", "120", try Programs.vmm.path()]
          + bench.vmmArguments(plan, events: events.path)
        let upgraded = try bench.batonctl(["upgrade", "vm1", "--json", "--exec"] + successor)
        #expect(upgraded.status == 0, "\(upgraded.output)")
        for line in upgraded.output.split(separator: "\n") {
          #expect(throws: Never.self) { try parse(String(line)) }
        }
        #expect(try source.process.waitForEnd() == .exited(status: 0))
        let all = try bench.batonctl(["upgrade", "--all", "--exec"] + successor)
        #expect(all.status == 0, "\(all.output)")
        #expect(console.advances())
        #expect(console.fault == nil)
        #expect(try bench.guest("vm1").epoch == 3)
        let failed = try bench.batonctl(["upgrade", "vm1", "--exec", "/bin/false"])
        #expect(failed.status == CommandStatus.guestAtSource.rawValue, "\(failed.output)")
        try #require(bench.registry).kill()
        #expect(try bench.batonctl(["list"]).status == CommandStatus.registryUnreachable.rawValue)
      }
    }

    private func parse(_ line: String) throws {
      struct Anything: Decodable { init(from decoder: any Decoder) throws {} }
      _ = try JSONDecoder().decode(Anything.self, from: Data(line.utf8))
    }

    @Test("batonctl abort ends a handoff whose successor stands still, and the source goes on")
    func abort() throws {
      try Workbench.use { bench in
        let plan = Scene.plan()
        try bench.startRegistry(["--quiet"])
        let source = try bench.startGuest(plan)
        let slow = try bench.startVMM(plan, stopAt: "successorOffered")
        try Wait.until("the successor's standstill") { slow.process.isStopped ? () : nil }
        #expect(try bench.batonctl(["abort", "vm1"]).status == 0)
        try bench.waitForGuest("vm1", "runs on") { $0.state == .running && $0.handoff == nil }
        #expect(try Scene.runner(of: [source, slow]) === source)
      }
    }

    /// What a stranger may write to the Varlink socket.
    private static let garbage: [(what: String, bytes: [UInt8])] = [
      ("no JSON", Array("hello\0".utf8)),
      ("zero bytes", [0, 0, 0, 0]),
      ("deep JSON", Array((String(repeating: "[", count: 100_000) + "\0").utf8)),
      (
        "deep parameters",
        Array(
          (#"{"method":"io.baton.Registry.List","parameters":"# + String(repeating: #"{"a":"#, count: 50_000)
            + "\0").utf8)
      ),
      ("20 MiB", [UInt8](repeating: 0x20, count: 20 << 20)),
      ("invalid UTF-8", [0x7B, 0x22, 0xFF, 0xFE, 0x22, 0x7D, 0]),
    ]

    @Test("garbage ends its own connection only", arguments: 0..<6)
    func garbage(_ index: Int) throws {
      try Workbench.use { bench in
        try bench.startRegistry(["--quiet"])
        let vmm = try bench.startGuest(Scene.plan())
        let socket = try StreamSocket.connect(path: bench.varlinkSocket)
        let bytes = Self.garbage[index].bytes
        var sent = 0
        let isCut = Wait.holds(seconds: 20) {
          do {
            while sent < bytes.count {
              let count = try socket.send(bytes[sent...])
              if count == 0 { break }
              sent += count
            }
            return try socket.receive() == []
          } catch {
            return true
          }
        }
        #expect(isCut, "\(Self.garbage[index].what) did not end the connection")
        #expect(try #require(bench.registry).isAlive)
        #expect(try bench.client().guests().count == 1)
        #expect(try vmm.isGuestRunning())
      }
    }

    @Test("a reader may not change anything")
    func reader() throws {
      guard ThisProcess.effectiveUser == 0 else {
        print("SKIPPED: only root can start a process of another user")
        return
      }
      try Workbench.use { bench in
        try Files.changeMode(of: bench.directory, to: 0o711)
        try bench.startRegistry(["--quiet", "--group", "65534"])
        let vmm = try bench.startGuest(Scene.plan())
        let copy = "\(bench.directory)/batonctl-copy"
        let file = try Files.open(copy, .createReadWrite)
        try file.write(try TextFile.bytes(try Programs.batonctl.path()), at: 0)
        _ = consume file
        try Files.changeMode(of: copy, to: 0o755)
        func run(_ arguments: [String]) throws -> DetachedProcess.End {
          try TestProcess(
            name: "reader", log: "\(bench.directory)/reader.log",
            arguments: [copy] + arguments + ["--socket", bench.varlinkSocket], user: 65_534
          ).waitForEnd()
        }
        #expect(try run(["list"]) == .exited(status: 0))
        #expect(
          try run(["upgrade", "vm1", "--no-start"]) == .exited(status: CommandStatus.notAllowed.rawValue))
        #expect(try run(["abort", "vm1"]) == .exited(status: CommandStatus.notAllowed.rawValue))
        #expect(try vmm.isGuestRunning())
      }
    }
  }
}
