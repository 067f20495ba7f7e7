import LinuxOS
import Testing

@Suite("The units of the two slots")
struct SlotUnitTests {
  private let units = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/units"

  private func text(_ name: String) throws -> String {
    let file = try Files.open("\(units)/\(name)", .readOnly)
    return String(decoding: try file.read(maximum: 65_536), as: UTF8.self)
  }

  @Test("are one text, and only slot a can be enabled")
  func oneText() throws {
    let install = "\n[Install]\nWantedBy=multi-user.target\n"
    let a = try text("baton-vmm-a@.service")
    let b = try text("baton-vmm-b@.service")
    #expect(a == b + install)
    #expect(!b.contains("[Install]"))
  }

  @Test("never come back by themselves, and never bind a guest to the life of the registry")
  func promises() throws {
    let lines = Set(try text("baton-vmm-b@.service").split(separator: "\n").map(String.init))
    for line in [
      "Type=notify", "NotifyAccess=main", "Restart=no", "StartLimitIntervalSec=0", "LimitMEMLOCK=infinity",
      "Slice=baton-guest-%i:.slice", "EnvironmentFile=-/etc/baton/guests/%i.conf",
      "After=baton-registry.target dbus.socket",
    ] {
      #expect(lines.contains(line))
    }
    for key in ["Requires=", "BindsTo=", "PartOf=", "Conflicts=", "PrivateUsers=", "PrivateDevices="] {
      #expect(!lines.contains { $0.hasPrefix(key) })
    }
  }

  @Test("are ordered after the registry through a target, which lets both be restarted at once")
  func order() throws {
    let target = try text("baton-registry.target")
    for line in [
      "Wants=batond.socket batond-handoff.socket batond.service",
      "After=batond.socket batond-handoff.socket batond.service",
    ] {
      #expect(target.contains("\n\(line)\n"))
    }
    #expect(!(try text("baton-vmm-b@.service")).contains("After=batond"))
  }
}
