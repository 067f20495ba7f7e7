import FoundationEssentials
import Harness
import LinuxOS

/// What other programs make of the same machine.
struct RemoteTools {
  let workspace: Workspace
  /// For their own connections.
  let port: Int

  private static let openSSLPath = "/usr/bin/openssl"
  private static let socatPath = "/usr/bin/socat"
  private static let iperf3Path = "/usr/bin/iperf3"

  /// Makes a certificate of `localhost` that is its own CA.
  func makeCertificate() throws {
    let program = try RunningProgram(
      Self.openSSLPath,
      [
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj",
        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", workspace.path("remote.key"),
        "-out",
        workspace.path("remote.pem"),
      ], log: workspace.path("openssl.log"))
    try program.waitForSuccess(seconds: 30)
  }

  /// One stream from `openssl s_client` to `openssl s_server`, TLS 1.3 with AES-128-GCM, in nanoseconds with its
  /// handshake.
  func openSSL(mebibytes: Int) throws -> UInt64? {
    guard (try? Files.open(Self.openSSLPath, .readOnly)) != nil else { return nil }
    // A server whose standard input ends, ends.
    let serverInput = try Pipe()
    let zeros = try Pipe()
    let server = try ChildProcess(
      arguments: [
        Self.openSSLPath, "s_server", "-quiet", "-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256", "-cert",
        workspace.path("remote.pem"), "-key", workspace.path("remote.key"), "-accept", "\(port)", "-naccept",
        "1",
      ], descriptors: [serverInput.readEnd.number, -1, -1])
    try waitForListener()
    let start = MonotonicClock.now()
    let client = try ChildProcess(
      arguments: [
        Self.openSSLPath, "s_client", "-quiet", "-no_ign_eof", "-tls1_3", "-connect", "127.0.0.1:\(port)",
      ], descriptors: [zeros.readEnd.number, -1, -1])
    let source = try ChildProcess(
      arguments: ["/usr/bin/head", "-c", "\(mebibytes << 20)", "/dev/zero"],
      descriptors: [-1, zeros.writeEnd.number, -1])
    // Only the programs hold the pipe now, so that it ends.
    _ = zeros.closingWriteEnd()
    try wait(client)
    try wait(server)
    let end = MonotonicClock.now()
    try wait(source)
    withExtendedLifetime(serverInput) {}
    return end - start
  }

  /// One stream from `socat` to `socat` by the same library and cipher, in blocks of 256 KiB where `openssl`'s programs
  /// take 16, in nanoseconds with its handshake.
  func socat(mebibytes: Int) throws -> UInt64? {
    guard (try? Files.open(Self.socatPath, .readOnly)) != nil else { return nil }
    let configuration = workspace.path("openssl.cnf")
    let lines = [
      "openssl_conf = all", "[all]", "ssl_conf = modules", "[modules]", "system_default = tls", "[tls]",
      "MinProtocol = TLSv1.3", "Ciphersuites = TLS_AES_128_GCM_SHA256", "",
    ]
    try Files.remove(configuration)
    try Files.open(configuration, .createNew).write(Array(lines.joined(separator: "\n").utf8), at: 0)
    func arguments(_ from: String, _ to: String) -> [String] {
      ["OPENSSL_CONF=\(configuration)", Self.socatPath, "-u", "-b", "262144", from, to]
    }
    let server = try RunningProgram(
      "/usr/bin/env",
      arguments(
        "OPENSSL-LISTEN:\(port),bind=127.0.0.1,reuseaddr,verify=0,cert=\(workspace.path("remote.pem"))"
          + ",key=\(workspace.path("remote.key"))", "OPEN:/dev/null,wronly"), log: workspace.path("socat.log")
    )
    defer { server.kill() }
    try waitForListener()
    let start = MonotonicClock.now()
    let client = try RunningProgram(
      "/usr/bin/env",
      arguments("OPEN:/dev/zero,readbytes=\(mebibytes << 20)", "OPENSSL:127.0.0.1:\(port),verify=0"),
      log: workspace.path("socat.log"))
    try client.waitForSuccess(seconds: 120)
    try server.waitForSuccess(seconds: 120)
    return MonotonicClock.now() - start
  }

  private struct Report: Decodable {
    struct End: Decodable {
      struct Sum: Decodable {
        let seconds: Double
      }
      let sum_received: Sum
    }
    let end: End
  }

  /// One stream of plain TCP by iperf3, in nanoseconds.
  func iperf3(mebibytes: Int) throws -> UInt64? {
    guard (try? Files.open(Self.iperf3Path, .readOnly)) != nil else { return nil }
    let output = workspace.path("iperf3.out")
    try Files.remove(output)
    let server = try RunningProgram(
      Self.iperf3Path, ["-s", "-1", "-p", "\(port)"], log: workspace.path("iperf3.log"))
    try waitForListener()
    let client = try RunningProgram(
      Self.iperf3Path, ["-c", "127.0.0.1", "-p", "\(port)", "-n", "\(mebibytes << 20)", "-J"], output: output,
      log: workspace.path("iperf3.log"))
    try client.waitForSuccess(seconds: 120)
    server.kill()
    let report = try JSONDecoder().decode(Report.self, from: Data(TextFile.read(output).utf8))
    return UInt64(report.end.sum_received.seconds * 1e9)
  }

  /// Waits until somebody listens on the port. Connecting to see would be the one connection that a server takes.
  private func waitForListener() throws {
    let ending = ":" + String(repeating: "0", count: max(0, 4 - hexPort.count)) + hexPort
    for _ in 0..<500 {
      for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        guard let bytes = try? Files.open(table, .readOnly).read(maximum: 65_536) else { continue }
        let text = String(decoding: bytes, as: UTF8.self)
        // Who listens comes first. The second field is the local address, the fourth the state: 0A is LISTEN (proc(5)).
        let isThere = text.split(separator: "\n").contains { line in
          let fields = line.split(separator: " ")
          return fields.count > 3 && fields[1].hasSuffix(ending) && fields[3] == "0A"
        }
        if isThere { return }
      }
      Wait.pause(milliseconds: 10)
    }
    throw BenchError("nobody listens on port \(port) for the comparison")
  }

  private var hexPort: String { String(port, radix: 16, uppercase: true) }

  private func wait(_ child: borrowing ChildProcess) throws {
    guard try Poller.waitReadable(child.pidfd.descriptor.number, timeoutNanoseconds: 120_000_000_000) else {
      throw BenchError("a program of the comparison did not end within two minutes")
    }
    _ = try child.reap()
  }
}
