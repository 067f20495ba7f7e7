import Glibc
import MigrationCore
import Testing

/// Files of firmware that somebody else made.
enum RealStores {
  /// What is expected of which file.
  struct Store: Sendable, CustomTestStringConvertible {
    let standing: FirmwareStanding
    let path: String

    var testDescription: String { path }
  }

  private static let names: [String: FirmwareStanding] = [
    "agrees": .agrees, "missing": .variableMissing, "false": .variableFalse,
    "malformed": .variableMalformed,
  ]

  /// The stores that `Tests/Firmware/run` made and named in a list, or OVMF's own files where Debian's package
  /// puts them. Stock OVMF never sets the variable.
  static let all: [Store] = {
    if let list = unsafe getenv("BATON_VARIABLE_STORES") { return lines(unsafe String(cString: list)) }
    let places = ["OVMF_VARS.fd", "OVMF_VARS.ms.fd", "OVMF_VARS_4M.fd", "OVMF_VARS_4M.ms.fd"]
    var there: [String] = []
    for place in places {
      let path = "/usr/share/OVMF/\(place)"
      if unsafe access(path, R_OK) == 0 { there.append(path) }
    }
    if there.isEmpty {
      print("SKIPPED: variable stores of a real OVMF are not read, because package ovmf is not installed")
    }
    return there.map { Store(standing: .variableMissing, path: $0) }
  }()

  /// Lines of an expectation's name, a space, and a path.
  private static func lines(_ path: String) -> [Store] {
    String(decoding: read(path), as: UTF8.self).split(separator: "\n").compactMap { line in
      let parts = line.split(separator: " ", maxSplits: 1)
      guard parts.count == 2, let standing = names[String(parts[0])] else {
        Issue.record("no expectation: \(line)")
        return nil
      }
      return Store(standing: standing, path: String(parts[1]))
    }
  }

  static func read(_ path: String) -> [UInt8] {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return [] }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = unsafe part.withUnsafeMutableBytes {
        unsafe Glibc.read(descriptor, $0.baseAddress, $0.count)
      }
      guard count > 0 else { return bytes }
      bytes += part.prefix(count)
    }
  }
}

@Suite("A variable store of a real OVMF")
struct RealStoreTests {
  @Test("is read, and says what was written into it", arguments: RealStores.all)
  func standing(store: RealStores.Store) throws {
    let file = RealStores.read(store.path)
    #expect(FirmwareStanding(variableStore: file) == store.standing)
    // The stores with Microsoft's keys have deleted records among the valid ones.
    let variables = try UEFIVariableStore(decoding: file).variables
    #expect(store.path.contains(".ms") ? variables.count > 3 : true)
    #expect(variables.allSatisfy { !$0.name.isEmpty })
  }
}
