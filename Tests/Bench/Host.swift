import LinuxOS

/// What is told of the machine beside its figures.
enum Host {
  /// Whether real vCPUs can be made here.
  static var opensKVM: Bool { (try? Files.open("/dev/kvm", .readWrite)) != nil }

  /// The first number of /proc/loadavg: how many threads wanted to run in the last minute.
  static func load() throws -> String {
    String(try read("/proc/loadavg").prefix { $0 != " " })
  }

  static func kernel() throws -> String {
    String(try read("/proc/sys/kernel/osrelease").prefix { $0 != "\n" })
  }

  static func processor() throws -> (name: String, count: Int) {
    let lines = try read("/proc/cpuinfo").split(separator: "\n")
    let names = lines.filter { $0.hasPrefix("model name") }
    let name = names.first.flatMap { line in line.firstIndex(of: ":").map { line[line.index(after: $0)...] } }
    return (String((name ?? " unknown").dropFirst()), max(names.count, 1))
  }

  static func read(_ path: String) throws -> String {
    let file = try Files.open(path, .readOnly)
    return String(decoding: try file.read(count: 1 << 17, at: 0), as: UTF8.self)
  }
}
