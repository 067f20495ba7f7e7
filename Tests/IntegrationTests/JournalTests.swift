import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite {
  @Suite("The journal of a registry that was killed")
  struct JournalTests {
    @Test("with any byte flipped either is refused or says the same, and never another owner")
    func flipped() throws {
      try Workbench.use { bench in
        try bench.startRegistry(["--quiet"])
        let vmm = try bench.startGuest(Scene.plan())
        try #require(bench.registry).kill()
        let good = try TextFile.bytes(bench.journal)
        let committed = good[16..<20].enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
        for offset in 0..<committed {
          var bad = good
          bad[offset] ^= 0x55
          try Files.open(bench.journal, .readWrite).write(bad, at: 0)
          let process = try bench.start(.batond, ["--runtime-directory", bench.runtime, "--quiet"])
          #expect(try process.waitForEnd() == .exited(status: 3), "byte \(offset) of \(committed)")
          #expect(process.logTail().contains("damaged"))
        }
        try Files.open(bench.journal, .readWrite).write(good, at: 0)
        try bench.startRegistry(["--quiet"])
        try bench.waitForGuest("vm1", "is with its owner") { $0.owner?.processId == vmm.pid }
        #expect(try vmm.isGuestRunning())
      }
    }

    @Test("cut short anywhere is refused and left as it is, and guests run on")
    func cut() throws {
      try Workbench.use { bench in
        try bench.startRegistry(["--quiet"])
        let vmm = try bench.startGuest(Scene.plan())
        try #require(bench.registry).kill()
        let good = try TextFile.bytes(bench.journal)
        let committed = good[16..<20].enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
        for length in 0..<committed {
          try Files.remove(bench.journal)
          try Files.open(bench.journal, .createNew).write(Array(good[..<length]), at: 0)
          let process = try bench.start(.batond, ["--runtime-directory", bench.runtime, "--quiet"])
          #expect(try process.waitForEnd() == .exited(status: 3), "\(length) of \(committed) bytes")
          #expect(process.logTail().contains("damaged"))
          #expect(try TextFile.bytes(bench.journal) == Array(good[..<length]))
        }
        try Files.remove(bench.journal)
        try Files.open(bench.journal, .createNew).write(good, at: 0)
        try bench.startRegistry(["--quiet"])
        try bench.waitForGuest("vm1", "is with its owner") { $0.owner?.processId == vmm.pid }
        #expect(try vmm.isGuestRunning())
      }
    }

    @Test("may be deleted: guests run on, and are known again when their VMMs come back")
    func deleted() throws {
      try Workbench.use { bench in
        try bench.startRegistry(["--quiet"])
        let console = try ConsoleReader()
        let vmm = try bench.startGuest(Scene.plan(), console: console)
        try #require(bench.registry).kill()
        try Files.remove(bench.journal)
        #expect(console.advances())
        try bench.startRegistry(["--quiet"])
        try bench.waitForGuest("vm1", "is known again") {
          $0.state == .running && $0.owner?.processId == vmm.pid
        }
        let (next, handoff) = try bench.handOver(Scene.plan())
        #expect(handoff.outcome == .committed)
        try Scene.expectWhole(next, console)
      }
    }
  }
}
