import FoundationEssentials
import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite {
  /// Rolling runs without a service manager: what successors are told by their names makes some fail.
  @Suite("A rolling upgrade")
  struct RollingUpgradeTests {
    /// What `upgrade --json` says at last.
    private struct Report: Decodable {
      struct Guest: Decodable {
        let guest: String
        let end: String
        let exitStatus: Int32
        let reason: String?
        let epoch: UInt64?
        let owner: VMMProcess?
      }
      let type: String
      let exitStatus: Int32
      let guests: [Guest]

      var ends: [String: String] {
        Dictionary(guests.map { ($0.guest, $0.end) }) { first, _ in first }
      }
    }

    /// A busy machine may take longer for a blackout than the registry's own deadlines allow. The guest is taken back then,
    /// which is no matter of these tests.
    private static let patience = ["--freeze-ms", "10000", "--claim-ms", "10000"]

    /// Starts a guest of each name.
    private func start(_ names: [String], _ bench: Workbench) throws -> [String: VMM] {
      try bench.startRegistry(["--quiet"] + Self.patience)
      var result: [String: VMM] = [:]
      for name in names {
        var plan = Scene.plan()
        plan.name = name
        result[name] = try bench.startGuest(plan)
      }
      return result
    }

    /// Arguments of a run in which the successor of each guest is a VMM, after a shell has done something for
    /// some of them.
    ///
    /// - Parameter script: `$1` is the guest's name.
    private func arguments(_ bench: Workbench, _ names: [String], options: [String], script: String) throws
      -> [String]
    {
      for name in names { _ = try bench.detachedEvents("next-\(name).events") }
      var plan = Scene.plan()
      plan.name = "{guest}"
      let vmm = bench.vmmArguments(plan, events: "\(bench.directory)/next-{guest}.events")
      return ["upgrade", "--all", "--json"] + options + [
        "--exec", "/bin/sh", "-c", "\(script)\nshift; exec timeout --foreground -s KILL 120 \"$@\"", "sh",
        "{guest}", try Programs.vmm.path(),
      ] + vmm
    }

    private func report(_ output: String) throws -> Report {
      let line = try #require(output.split(separator: "\n").last)
      let report = try JSONDecoder().decode(Report.self, from: Data(line.utf8))
      #expect(report.type == "report")
      return report
    }

    @Test("stops at its failure limit, and its report names every guest's end")
    func limit() throws {
      try Workbench.use { bench in
        let vmms = try start(["a", "b", "c"], bench)
        let run = try bench.batonctl(
          try arguments(bench, ["a", "b", "c"], options: [], script: "[ $1 != b ] || exit 7"))
        let report = try report(run.output)
        #expect(run.status == CommandStatus.guestAtSource.rawValue)
        #expect(report.exitStatus == run.status)
        #expect(report.guests.map(\.guest) == ["a", "b", "c"])
        #expect(report.guests.map(\.end) == ["upgraded", "stayed", "notTried"])
        #expect(report.guests[1].reason?.contains("exited with status 7") == true)
        #expect(report.guests[0].epoch == 2)
        for name in ["b", "c"] {
          let vmm = try #require(vmms[name])
          #expect(try bench.guest(name).owner?.processId == vmm.pid)
          #expect(try vmm.isGuestRunning())
        }
        // The limit can be higher, and then every guest is tried.
        let more = try bench.batonctl(
          try arguments(
            bench, ["a", "b", "c"], options: ["--max-failures", "2", "--max-parallel", "2"],
            script: "[ $1 != b ] || exit 7"))
        #expect(
          try self.report(more.output).ends == ["a": "upgraded", "b": "stayed", "c": "upgraded"],
          "\(more.output)")
        #expect(more.status == CommandStatus.guestAtSource.rawValue)
      }
    }

    @Test("goes on when a guest is killed in the middle, and tells it from those that stayed")
    func killed() throws {
      try Workbench.use { bench in
        let vmms = try start(["a", "b", "c"], bench)
        let victim = try #require(vmms["b"]).pid
        let run = try bench.batonctl(
          try arguments(
            bench, ["a", "b", "c"], options: ["--keep-going"],
            script: "[ $1 != b ] || { kill -9 \(victim); exit 1; }"))
        let report = try report(run.output)
        #expect(report.ends == ["a": "upgraded", "b": "ended", "c": "upgraded"])
        #expect(run.status == CommandStatus.guestEnded.rawValue)
        #expect(try bench.guest("b").state == .ended)
        #expect(report.guests[1].owner == nil)
        #expect(report.guests[2].owner?.processId == (try bench.guest("c").owner?.processId))
      }
    }

    @Test("outlives a registry that is killed meanwhile, and its report is what the next one says")
    func registryKilled() throws {
      try Workbench.use { bench in
        _ = try start(["a", "b", "c"], bench)
        let registry = try #require(bench.registry)
        let path = "\(bench.directory)/report"
        let file = try Files.open(path, .createReadWrite)
        let words = try arguments(
          bench, ["a", "b", "c"], options: ["--keep-going", "--socket", bench.varlinkSocket],
          script: "[ $1 != b ] || kill -9 \(registry.pid)")
        let run = try bench.start(.batonctl, words, output: file.number)
        _ = try registry.waitForEnd()
        try bench.startRegistry(["--quiet"] + Self.patience)
        let end = try run.waitForEnd(seconds: 60)
        let lines = try TextFile.read(path)
        let report = try report(lines)
        #expect(end == .exited(status: report.exitStatus))
        #expect(report.ends["a"] == "upgraded", "\(lines)")
        // Whether the others came over depends on when it was killed; that the report tells it does not.
        for guest in report.guests {
          let known = try bench.guest(guest.guest)
          #expect(known.state == .running)
          #expect(known.epoch == guest.epoch)
          #expect(known.owner == guest.owner)
          #expect(["upgraded", "stayed"].contains(guest.end), "\(guest.guest): \(guest.end)")
          #expect((guest.end == "upgraded") == (known.epoch == 2), "\(guest.guest): \(guest.end)")
        }
      }
    }

    @Test("without a system bus says why it does nothing, and list does without")
    func noBus() throws {
      try Workbench.use { bench in
        let vmms = try start(["a"], bench)
        let nowhere = ["DBUS_SYSTEM_BUS_ADDRESS": "unix:path=\(bench.directory)/none"]
        let run = try bench.start(
          .batonctl, ["upgrade", "a", "--socket", bench.varlinkSocket], environment: nowhere)
        #expect(try run.waitForEnd() == .exited(status: CommandStatus.failure.rawValue))
        #expect(run.logTail().contains("the system bus cannot be reached"))
        let list = try bench.start(
          .batonctl, ["list", "--socket", bench.varlinkSocket], environment: nowhere)
        #expect(try list.waitForEnd() == .exited(status: 0))
        #expect(try #require(vmms["a"]).isGuestRunning())
        #expect(try bench.guest("a").handoff == nil)
      }
    }
  }

  @Suite("What batonctl writes for programs")
  struct MachineOutputTests {
    @Test(
      "has metrics for Prometheus, as a file that is replaced in one step and goes when the registry does")
    func metricsFile() throws {
      try Workbench.use { bench in
        let path = "\(bench.directory)/baton.prom"
        try bench.startRegistry(["--quiet"])
        _ = try bench.startGuest(Scene.plan())
        #expect(try bench.batonctl(["metrics", "--output", path]).status == 0)
        let first = try TextFile.read(path)
        #expect(first.contains("\nbaton_guests{state=\"running\"} 1\n"))
        #expect(first.contains("\nbaton_build_info{build_id=\""))
        let shown = try bench.batonctl(["metrics", "--prometheus"])
        #expect(shown.output.contains("# TYPE baton_guests gauge\n"))
        try #require(bench.registry).kill()
        #expect(
          try bench.batonctl(["metrics", "--output", path]).status
            == CommandStatus.registryUnreachable.rawValue)
        #expect(throws: (any Error).self) { try TextFile.read(path) }
      }
    }

    @Test("has the owner's build id and whether it is outdated, where that is known")
    func program() throws {
      struct Line: Decodable {
        struct Program: Decodable {
          let buildId: String?
          let outdated: Bool?
          let detail: String?
        }
        let name: String
        let program: Program
      }
      try Workbench.use { bench in
        try bench.startRegistry(["--quiet"])
        _ = try bench.startGuest(Scene.plan())
        let listed = try bench.batonctl(["list", "--json"])
        let line = try JSONDecoder().decode(Line.self, from: Data(listed.output.utf8))
        #expect(line.name == "vm1")
        #expect(line.program.buildId == (try BuildID.read(path: try Programs.vmm.path())))
        // Outside of the slots' units nothing is known to compare it with.
        if line.program.outdated == nil { #expect(line.program.detail != nil) }
        #expect(try bench.batonctl(["list", "--outdated"]).status == 0)
      }
    }
  }
}
