import Harness
import LinuxOS

/// What `openssl speed` says that a core can do.
enum OpenSSL {
  /// Bytes a second in pieces of a page; nil when the program is not there or says nothing that can be read.
  static func speed(_ algorithm: [String], _ workspace: Workspace) -> Double? {
    let output = workspace.path("openssl.out")
    guard (try? Files.remove(output)) != nil,
      let program = try? RunningProgram(
        "/usr/bin/openssl", ["speed", "-mr", "-seconds", "2", "-bytes", "4096"] + algorithm, output: output,
        log: workspace.path("openssl.log")),
      (try? program.wait(seconds: 60)) == 0, let text = try? TextFile.read(output)
    else { return nil }
    // With -mr the result is a line of fields: +F, a number, the algorithm, bytes a second.
    return text.split(separator: "\n").last { $0.hasPrefix("+F:") }
      .flatMap { $0.split(separator: ":").last }.flatMap { Double($0) }
  }
}
