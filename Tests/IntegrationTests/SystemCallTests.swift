import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite {
  /// Rule 1 of the design, as strace(1) sees it.
  @Suite("Between freeze and run")
  struct SystemCallTests {
    private static let strace = "/usr/bin/strace"

    /// File system access, connections, processes, and sending in any other way than over a connection.
    private static let forbidden: Set<Substring> = [
      "open", "openat", "openat2", "creat", "stat", "lstat", "fstatat", "newfstatat", "statx", "statfs",
      "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getdents64", "truncate", "utimensat",
      "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "link", "linkat",
      "symlink", "symlinkat", "chmod", "fchmodat", "chown", "fchownat",
      "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendmmsg",
      "clone", "clone3", "fork", "vfork", "execve", "execveat", "kill", "pidfd_open", "pidfd_send_signal",
    ]

    /// One line of a trace: `PID SECONDS call(…) = …`.
    private struct Call {
      let pid: Int32
      let seconds: Double
      let text: String
      var name: Substring { text.prefix { $0 != "(" } }
      var result: Int? { text.split(separator: " ").last.flatMap { Int($0) } }
    }

    @Test("there are four records and two model round trips, and no file, connection or process is made")
    func blackout() throws {
      guard (try? Files.open(Self.strace, .readOnly)) != nil else {
        print("SKIPPED: strace is not installed")
        return
      }
      try Workbench.use { bench in
        guard try canTrace(bench) else {
          print("SKIPPED: ptrace is not permitted here")
          return
        }
        let plan = Scene.plan(.model)
        let registry = try bench.startRegistry(["--quiet"])
        try bench.startModel()
        let source = try bench.startGuest(plan)
        let client = try bench.client()
        try client.beginUpgrade(plan.name)
        let successor = try bench.startVMM(plan, stopAt: "successorOffered")
        try Wait.until("the successor's standstill") { successor.process.isStopped ? () : nil }
        // Attached, so that a trace that is ended lets the process go on and end with this one.
        let tracers = [
          try attach(bench, "batond", registry), try attach(bench, "source", source.process),
          try attach(bench, "successor", successor.process),
        ]
        successor.process.signal(18)
        let (handoff, _) = try client.finishUpgrade()
        #expect(handoff.outcome == .committed)
        let running = try successor.wait(for: "running")
        let staged = try source.wait(for: "staged")
        try source.process.waitForEnd()
        for tracer in tracers { tracer.stop() }
        let first = Double(try #require(staged.lastInstruction)) / 1e9
        let last = Double(try #require(running.firstInstruction)) / 1e9
        // The traces have the clock of the day, the stamps the monotonic one.
        let offset = Double(MonotonicClock.wallTime()) / 1e9 - Double(MonotonicClock.now()) / 1e9
        let window = (first + offset - 0.000_2)...(last + offset)
        for name in ["batond", "source", "successor"] {
          let calls = try trace("\(bench.directory)/\(name).trace").filter { window.contains($0.seconds) }
          for call in calls where Self.forbidden.contains(call.name) {
            // fstatat of an empty path is fstat(2): it looks at a descriptor, not at the file system.
            if call.name == "newfstatat", call.text.contains("AT_EMPTY_PATH") { continue }
            Issue.record("\(name) calls \(call.text)")
          }
          let sent = calls.filter { $0.name == "sendmsg" && !$0.text.contains("= -1") }
          // A message to the service manager, or to any log, names its receiver.
          for call in sent where !call.text.contains("msg_name=NULL") {
            Issue.record("\(name) calls \(call.text)")
          }
          // An operator is told on the operator's own connection, when the blackout takes so long that notes are
          // held back no longer, as it does on a busy machine under strace.
          for call in calls where call.name == "sendto" && !call.text.contains("NULL, 0)") {
            Issue.record("\(name) calls \(call.text)")
          }
          let received = calls.filter { $0.name == "recvmsg" && ($0.result ?? 0) > 0 }
          if name == "batond" {
            // stage and received come in; claim and run go out, and perhaps release already.
            #expect(received.count == 2, "\(received.map(\.text))")
            #expect((2...3).contains(sent.count), "\(sent.map(\.text))")
          } else {
            // One request to the model, LOCAL_SEND or LOCAL_RECEIVE, and one record, stage or received.
            #expect(sent.count == 2, "\(name): \(sent.map(\.text))")
          }
        }
      }
    }

    private func attach(_ bench: Workbench, _ name: String, _ process: TestProcess) throws -> TestProcess {
      let tracer = try TestProcess(
        name: "strace-\(name)", log: "\(bench.directory)/strace-\(name).log",
        arguments: [
          Self.strace, "-f", "-ttt", "-s", "0", "-o", "\(bench.directory)/\(name).trace", "-p",
          "\(process.pid)",
        ])
      try Wait.until("strace of \(name)") {
        try TextFile.lines(ofProcess: process.pid, "status").contains {
          $0.hasPrefix("TracerPid:") && !$0.hasSuffix("\t0")
        }
          ? () : nil
      }
      return tracer
    }

    private func canTrace(_ bench: Workbench) throws -> Bool {
      let probe = try TestProcess(
        name: "probe", log: "\(bench.directory)/probe.log",
        arguments: [Self.strace, "-o", "/dev/null", "/bin/true"])
      return try probe.waitForEnd() == .exited(status: 0)
    }

    private func trace(_ path: String) throws -> [Call] {
      try TextFile.read(path).split(separator: "\n").compactMap { line in
        let fields = line.split(separator: " ", maxSplits: 2)
        guard fields.count == 3, let pid = Int32(fields[0]), let seconds = Double(fields[1]) else {
          return nil
        }
        return Call(pid: pid, seconds: seconds, text: String(fields[2].drop { $0 == " " }))
      }
    }
  }
}
