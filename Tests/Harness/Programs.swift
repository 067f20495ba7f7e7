import LinuxOS

/// Where the programs under test are.
public enum Programs: String, CaseIterable, Sendable {
  case batond, batonctl, sevmodeld
  case vmm = "baton-vmm"
  case example = "example-vmm"

  /// `$BATON_BIN_DIR`, else the directory of the running program.
  public static func directory() throws -> String {
    if let directory = ThisProcess.environment("BATON_BIN_DIR"), !directory.isEmpty { return directory }
    let path = try ThisProcess.programPath()
    return String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)])
  }

  /// The program's path.
  ///
  /// - Throws: ``HarnessFailure`` when it is not there.
  public func path() throws -> String {
    let path = "\(try Self.directory())/\(rawValue)"
    do {
      _ = try Files.open(path, .readOnly)
    } catch {
      throw HarnessFailure("\(rawValue) is not at \(path); build it or set BATON_BIN_DIR: \(error)")
    }
    return path
  }
}
