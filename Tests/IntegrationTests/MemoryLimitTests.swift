import Harness
import LinuxOS
import Testing

extension IntegrationSuite {
  /// A SEV guest's RAM is pinned, and who is not root may pin little.
  @Suite("A VMM with a small memlock limit")
  struct MemoryLimitTests {
    /// The user and group `nobody`.
    private static let nobody: UInt32 = 65_534

    @Test("cannot start a SEV guest, unless the model is told not to mind", arguments: [false, true])
    func limit(_ isIgnored: Bool) throws {
      guard ThisProcess.effectiveUser == 0 else {
        print("SKIPPED: only root can start a process of another user")
        return
      }
      guard try softLimit().map({ $0 < 16 << 20 }) ?? false else {
        print("SKIPPED: the memlock limit of this process is no limit for a guest of 16 MiB")
        return
      }
      try Workbench.use { bench in
        try Files.changeMode(of: bench.directory, to: 0o711)
        try bench.startRegistry(["--quiet", "--group", "\(Self.nobody)"])
        try bench.startModel(["--socket-mode", "666"] + (isIgnored ? ["--no-memlock"] : []))
        // The build may lie in a directory that others cannot enter.
        let copy = "\(bench.directory)/baton-vmm-copy"
        do {
          let file = try Files.open(copy, .createReadWrite)
          try file.write(try TextFile.bytes(try Programs.vmm.path()), at: 0)
        }
        try Files.changeMode(of: copy, to: 0o755)
        let events = try EventFile(path: "\(bench.directory)/limited.events")
        try Files.changeMode(of: events.path, to: 0o666)
        let vmm = try TestProcess(
          name: "limited", log: "\(bench.directory)/limited.log",
          arguments: [copy] + bench.vmmArguments(Scene.plan(.model), events: events.path), user: Self.nobody)
        if isIgnored {
          try Wait.until("the guest") { try events.all().contains { $0.event == "running" } ? () : nil }
          #expect(vmm.isAlive)
          vmm.stop()
        } else {
          #expect(try vmm.waitForEnd() == .exited(status: 1))
          #expect(vmm.logTail().contains("memlock limit"))
        }
      }
    }

    /// The limit that a process without CAP_IPC_LOCK has from this one, in bytes; nil without a limit.
    private func softLimit() throws -> UInt64? {
      let line = try TextFile.lines(ofProcess: ThisProcess.pid, "limits").first {
        $0.hasPrefix("Max locked memory")
      }
      return line.flatMap { UInt64($0.dropFirst("Max locked memory".count).split(separator: " ")[0]) }
    }
  }
}
