import FoundationEssentials

/// Everything that was measured in one run.
struct Results: Codable {
  var host: HostFacts
  /// Both ways in which a context goes.
  var comparisons: [Comparison] = []
  var realVCPUs: RealVCPUs?
  var rolling: Rolling?
  var memory: Memory?
  var model: Model?
  var library: Library?
  var remote: Remote?
  var migration: Migration?
  var systemd: Systemd?
  /// What could not be measured, and why.
  var failures: [String] = []
  /// Filled in by ``encoded()``.
  var targets: [Target] = []

  init(host: HostFacts) { self.host = host }

  /// The machine, and how busy it was.
  struct HostFacts: Codable {
    var processor: String
    var processors: Int
    var kernel: String
    var loadBefore: String
    var loadAfter: String

    static func now() throws -> HostFacts {
      let processor = try Host.processor()
      let load = try Host.load()
      return HostFacts(
        processor: processor.name, processors: processor.count, kernel: try Host.kernel(),
        loadBefore: load, loadAfter: load)
    }
  }

  /// One RAM size: the C program and the registry.
  struct Comparison: Codable {
    let way: ContextWay
    let ramMebibytes: Int
    let floor: Figures
    let ours: Figures
    /// Parts of the blackout, in order.
    let floorPhases: [Phase]
    let ourPhases: [Phase]

    var ratio: Double { Double(ours.p50Nanoseconds) / Double(floor.p50Nanoseconds) }

    /// For people.
    var name: String { way.name(ramMebibytes) }
  }

  struct Phase: Codable {
    let name: String
    let figures: Figures
  }

  struct RealVCPUs: Codable {
    /// Why there are no figures.
    let reason: String?
    let figures: Figures?
  }

  struct Rolling: Codable {
    let guests: Int
    let parallel: Int
    let totalNanoseconds: UInt64
    let blackout: Figures?
  }

  struct Memory: Codable {
    let guests: Int
    /// With no guest at all.
    let emptyByteCount: UInt64
    let residentByteCount: UInt64
  }

  /// The software model by itself.
  struct Model: Codable {
    let localSend: Figures?
    let localReceive: Figures?
    /// SEND_UPDATE_DATA and RECEIVE_UPDATE_DATA of one page each, inside one process.
    let inside: Pages
    /// The same by a caller over the socket.
    let socket: Pages
    /// `openssl speed` of AES-128-CTR and HMAC-SHA256 in pieces of a page; nil where there is no openssl.
    let cipherBytesPerSecond: Double?
    let codeBytesPerSecond: Double?

    /// Pages a second that both together could be.
    var possiblePagesPerSecond: Double? {
      guard let cipherBytesPerSecond, let codeBytesPerSecond else { return nil }
      return 1 / (1 / cipherBytesPerSecond + 1 / codeBytesPerSecond) / 4096
    }
  }

  /// The installed units, in a container.
  struct Systemd: Codable {
    /// Why there are no figures.
    let reason: String?
    let units: Units?
  }

  struct Units: Codable {
    var sideBySide: [SideBySide] = []
    var inPlace: [InPlace] = []
    /// From the connection to batond's socket to its answer, while batond does not run yet.
    var firstAnswer: Figures?
    /// What could not be measured, and why.
    var failures: [String] = []
  }

  /// Upgrades by starting the other slot, and by starting processes without a manager.
  struct SideBySide: Codable {
    let ramMebibytes: Int
    let bare: Figures
    let units: Figures
    /// Parts of the blackout, in order.
    let barePhases: [Phase]
    let unitPhases: [Phase]

    var ratio: Double { Double(units.p50Nanoseconds) / Double(bare.p50Nanoseconds) }
  }

  /// Restarts in place.
  struct InPlace: Codable {
    let ramMebibytes: Int
    let blackout: Figures
    /// Its parts in the order of time: stop, start, map, claim.
    let parts: [Phase]
  }

  struct Pages: Codable {
    let count: Int
    let sendNanoseconds: UInt64
    let receiveNanoseconds: UInt64

    var sentPerSecond: Double { Double(count) * 1e9 / Double(sendNanoseconds) }
    var receivedPerSecond: Double { Double(count) * 1e9 / Double(receiveNanoseconds) }
  }

  /// A figure that was to be reached.
  struct Target: Codable {
    let name: String
    let measured: Double
    let limit: Double
    /// Whether the limit is the least, not the most.
    let isFloor: Bool
    let isReached: Bool
  }

  /// The targets that this run can say something about.
  var evaluatedTargets: [Target] {
    var targets: [Target] = []
    func add(_ name: String, _ measured: Double, atMost limit: Double) {
      targets.append(
        Target(name: name, measured: measured, limit: limit, isFloor: false, isReached: measured <= limit))
    }
    for comparison in comparisons {
      add("blackout p50 at \(comparison.name) / C program's", comparison.ratio, atMost: 4)
    }
    for comparison in comparisons {
      add(
        "blackout p99 at \(comparison.name), ms",
        Double(comparison.ours.p99Nanoseconds) / 1e6, atMost: 2)
    }
    if let small = comparisons.first(where: { $0.way == .token && $0.ramMebibytes == 256 }),
      let large = comparisons.first(where: { $0.way == .token && $0.ramMebibytes == 16384 })
    {
      add(
        "blackout p50 at 16 GiB / 256 MiB",
        Double(large.ours.p50Nanoseconds) / Double(small.ours.p50Nanoseconds), atMost: 1.25)
    }
    if let memory {
      add(
        "registry with \(memory.guests) guests, MiB", Double(memory.residentByteCount) / 1_048_576, atMost: 32
      )
    }
    if let model {
      for (name, figures) in [("LOCAL_SEND", model.localSend), ("LOCAL_RECEIVE", model.localReceive)] {
        guard let figures else { continue }
        add("\(name) round trip p50, us", Double(figures.p50Nanoseconds) / 1000, atMost: 60)
      }
      if let possible = model.possiblePagesPerSecond {
        for (name, rate) in [
          ("SEND_UPDATE_DATA", model.inside.sentPerSecond),
          ("RECEIVE_UPDATE_DATA", model.inside.receivedPerSecond),
        ] {
          let share = rate / possible
          targets.append(
            Target(
              name: "\(name) pages a second / openssl's", measured: share, limit: 0.5, isFloor: true,
              isReached: share >= 0.5))
        }
      }
    }
    if let ratio = library?.ratio { add("blackout p50, libbaton / Swift", ratio, atMost: 1.1) }
    targets += remoteTargets
    targets += migrationTargets
    if let units = systemd?.units {
      for size in units.sideBySide {
        add("side by side p50 at \(size.ramMebibytes) MiB, units / bare processes", size.ratio, atMost: 1.3)
      }
      if let size = units.inPlace.first(where: { $0.ramMebibytes == 1024 }) {
        add("restart in place p50 at 1 GiB, ms", Double(size.blackout.p50Nanoseconds) / 1e6, atMost: 100)
      }
      if let answer = units.firstAnswer {
        add("batond's first answer p50, ms", Double(answer.p50Nanoseconds) / 1e6, atMost: 50)
      }
    }
    return targets
  }

  /// As JSON, pretty and with sorted keys.
  func encoded() throws -> [UInt8] {
    var complete = self
    complete.targets = evaluatedTargets
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    return Array(try encoder.encode(complete)) + [UInt8(ascii: "\n")]
  }
}
