import LinuxOS
import ReferenceVMM
import Testing

@Suite("What is written about the settings of a guest")
struct GuestSettingsDocumentsTests {
  private let project = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined()
  private let keys = GuestSettings.Key.allCases.filter { !$0.isForTests }.map(\.rawValue)

  private func text(_ path: String) throws -> String {
    let file = try Files.open("\(project)/\(path)", .readOnly)
    return String(decoding: try file.read(maximum: 65_536), as: UTF8.self)
  }

  @Test("has every key in the manual and none for tests")
  func manual() throws {
    let page = try text("Docs/man/baton-guest.conf.5")
    for key in GuestSettings.Key.allCases {
      #expect(page.contains(".BI \(key.rawValue)= ") != key.isForTests, "\(key.rawValue)")
    }
  }

  @Test("is an example with every key, which can be used as it is when its lines are no comments")
  func example() throws {
    var settings: [String: String] = [:]
    for line in try text("units/guest.conf.example").split(separator: "\n") {
      let line = line.hasPrefix("#BATON_") ? line.dropFirst() : line
      guard line.hasPrefix("BATON_"), let equals = line.firstIndex(of: "=") else { continue }
      settings[String(line[..<equals])] = String(line[line.index(after: equals)...])
    }
    #expect(settings.keys.sorted() == keys.sorted())
    _ = try GuestSettings.read(settings, guest: "vm1")
  }
}
