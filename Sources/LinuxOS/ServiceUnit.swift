/// The systemd unit that a process belongs to.
public enum ServiceUnit {
  /// The service or scope in whose control group the process is, or nil when there is none.
  ///
  /// A process number may be given again: hold a pidfd and see that it is still alive after this call.
  public static func of(pid: Int32) -> String? {
    guard let file = try? Files.open("/proc/\(pid)/cgroup", .readOnly),
      let bytes = try? file.read(maximum: 16_384)
    else { return nil }
    return name(in: String(decoding: bytes, as: UTF8.self))
  }

  /// What a file as in cgroups(7) `/proc/PID/cgroup` says: slices first, then the unit, then what the unit
  /// divides itself into.
  static func name(in text: String) -> String? {
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3, fields[1].isEmpty || fields[1] == "name=systemd" else { continue }
      let group = fields[2].split(separator: "/").first { !$0.hasSuffix(".slice") }
      guard let group, group.hasSuffix(".service") || group.hasSuffix(".scope") else { continue }
      return String(group)
    }
    return nil
  }
}
