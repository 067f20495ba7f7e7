import Harness
import LinuxOS
import Testing

extension IntegrationSuite {
  /// A VMM that finds the model's socket reads them next.
  @Suite("The certificates that the model writes")
  struct ModelCertificatesTests {
    @Test("are those of its keys as soon as anybody can connect, also where those of an earlier model lie")
    func order() throws {
      try Workbench.use { bench in
        let options = ["--certificates", bench.directory]
        try bench.startModel(options).kill()
        let earlier = try Self.files(bench)
        for _ in 0..<5 {
          let model = try bench.start(.sevmodeld, ["--socket", bench.modelSocket, "--no-memlock"] + options)
          // Without a pause, so that it is the very first moment.
          let deadline = MonotonicClock.now() + 20_000_000_000
          while (try? SeqpacketSocket.connect(path: bench.modelSocket)) == nil {
            try #require(MonotonicClock.now() < deadline && model.isAlive, "the model does not answer")
          }
          let now = try Self.files(bench)
          #expect(now.map(\.count) == [2084, 1664])
          #expect(now[0] != earlier[0])
          model.kill()
          #expect(try Self.files(bench) == now)
        }
      }
    }

    private static func files(_ bench: Workbench) throws -> [[UInt8]] {
      try ["cek.cert", "ask_ark.cert"].map { try TextFile.bytes("\(bench.directory)/\($0)") }
    }
  }
}
