import GuestImage

/// The settings of a guest as an environment has them: what `/etc/baton/guests/NAME.conf` says, see
/// baton-guest.conf(5).
public enum GuestSettings {
  /// The variables that are settings. Everything else that begins with `BATON_` is a mistake.
  public enum Key: String, Sendable, CaseIterable {
    case memory = "BATON_MEMORY"
    case vcpus = "BATON_VCPUS"
    case vcpu = "BATON_VCPU"
    case sev = "BATON_SEV"
    case sevES = "BATON_SEV_ES"
    case handoff = "BATON_HANDOFF"
    case hugePages = "BATON_HUGEPAGES"
    case disk = "BATON_DISK"
    case console = "BATON_CONSOLE"
    case events = "BATON_EVENTS"
    case duty = "BATON_DUTY"
    case registry = "BATON_REGISTRY"
    case modelSocket = "BATON_MODEL_SOCKET"
    case custody = "BATON_CUSTODY"
    case incoming = "BATON_INCOMING"
    case remoteSocket = "BATON_REMOTE_SOCKET"
    case linkTimeout = "BATON_LINK_TIMEOUT"
    case migration = "BATON_MIGRATION"
    case sevPolicy = "BATON_SEV_POLICY"
    case uefiVariables = "BATON_UEFI_VARIABLES"
    case trustModelRoot = "BATON_TRUST_MODEL_ROOT"
    case signedCEK = "BATON_SIGNED_CEK"
    case amdChain = "BATON_AMD_CHAIN"
    // For tests.
    case crashAt = "BATON_CRASH_AT"
    case stopAt = "BATON_STOP_AT"
    case misbehave = "BATON_MISBEHAVE"
    case stateFormat = "BATON_STATE_FORMAT"

    /// Whether it is for tests of this program, and so in no manual.
    public var isForTests: Bool {
      switch self {
      case .crashAt, .stopAt, .misbehave, .stateFormat: true
      case .memory, .vcpus, .vcpu, .sev, .sevES, .handoff, .hugePages, .disk, .console, .events, .duty,
        .registry, .modelSocket, .custody, .incoming, .remoteSocket, .linkTimeout, .migration, .sevPolicy,
        .uefiVariables, .trustModelRoot, .signedCEK, .amdChain:
        false
      }
    }
  }

  public static let prefix = "BATON_"

  /// Everything that is wrong with the settings of a guest, one sentence for each key.
  public struct Problems: Error, Hashable, Sendable {
    public let sentences: [String]
  }

  /// Reads the settings of a guest.
  ///
  /// - Parameters:
  ///   - environment: The variables that begin with ``prefix``.
  /// - Throws: every problem at once.
  public static func read(
    _ environment: [String: String], guest: String
  ) throws(Problems) -> VMMOptions {
    var reader = Reader(environment)
    let memory = reader.memory()
    let vcpus = reader.number(.vcpus, 1...GuestABI.maximumVCPUs)
    let duty = reader.number(.duty, 1...100)
    var configuration = MachineConfiguration(ramBytes: memory ?? 0, vcpuCount: vcpus ?? 2)
    configuration.dutyPercent = duty ?? configuration.dutyPercent
    var options = VMMOptions(guest: guest, configuration: configuration)
    options.kind = reader.choice(.vcpu) ?? options.kind
    options.sev = reader.choice(.sev) ?? options.sev
    options.encryptsState = reader.yesOrNo(.sevES) ?? options.encryptsState
    options.handoff = reader.choice(.handoff) ?? options.handoff
    let hugePages = reader.choice(.hugePages) ?? HugePages.none
    options.pages = hugePages.pages
    options.diskPath = reader.text(.disk)
    options.console = reader.text(.console)
    options.events = reader.text(.events)
    options.registry = reader.text(.registry) ?? options.registry
    options.modelSocket = reader.text(.modelSocket) ?? options.modelSocket
    options.givesCustody = reader.yesOrNo(.custody) ?? options.givesCustody
    options.waitsIfAbsent = reader.yesOrNo(.incoming) ?? options.waitsIfAbsent
    options.remoteSocket = reader.text(.remoteSocket) ?? options.remoteSocket
    options.linkTimeoutMilliseconds =
      reader.number(.linkTimeout, 1...3_600_000).map(UInt64.init) ?? options.linkTimeoutMilliseconds
    options.offersMigration = reader.yesOrNo(.migration) ?? options.offersMigration
    options.policy = reader.policy() ?? options.policy
    options.uefiVariables = reader.text(.uefiVariables)
    options.trustsModelRoot = reader.yesOrNo(.trustModelRoot) ?? options.trustsModelRoot
    options.signedCEK = reader.text(.signedCEK)
    options.amdChain = reader.text(.amdChain)
    options.misbehaviour = reader.choice(.misbehave)
    options.stateFormat =
      reader.number(.stateFormat, Int(MachineStateFormat.oldest)...Int(MachineStateFormat.current))
      .map(UInt16.init) ?? options.stateFormat
    let _: CrashPoint? = reader.choice(.crashAt)
    let _: CrashPoint? = reader.choice(.stopAt)
    if options.encryptsState, options.sev == .none {
      reader.problems.append("BATON_SEV_ES=yes needs a SEV guest: BATON_SEV=model")
    }
    if let memory, memory % hugePages.byteCount != 0 {
      reader.problems.append(
        "BATON_MEMORY=\(ByteCount(bytes: memory)) is no multiple of BATON_HUGEPAGES=\(hugePages.rawValue)")
    }
    reader.findUnknown()
    guard reader.problems.isEmpty else { throw Problems(sentences: reader.problems) }
    return options
  }

  private struct Reader {
    let environment: [String: String]
    var problems: [String] = []

    init(_ environment: [String: String]) { self.environment = environment }

    mutating func findUnknown() {
      let known = Set(Key.allCases.map(\.rawValue))
      for key in environment.keys.sorted() where !known.contains(key) {
        problems.append(
          "\(key) is no setting; there are "
            + Key.allCases.filter { !$0.isForTests }.map(\.rawValue).joined(separator: ", "))
      }
    }

    private mutating func refuse<Value>(_ key: Key, _ value: String, _ wanted: String) -> Value? {
      problems.append("\(key.rawValue)=\(value) is wrong: it is to be \(wanted)")
      return nil
    }

    mutating func memory() -> Int? {
      guard let value = environment[Key.memory.rawValue] else {
        problems.append("BATON_MEMORY is missing: say how much RAM the guest has, such as BATON_MEMORY=256M")
        return nil
      }
      let least = MachineConfiguration.minimumRAMBytes
      let most = MachineConfiguration.maximumRAMBytes
      guard let size = ByteCount(text: value), (least...most).contains(size.bytes),
        size.bytes % MachineConfiguration.ramGranuleBytes == 0
      else {
        return refuse(
          .memory, value, "a multiple of 2M from \(ByteCount(bytes: least)) to \(most >> 30)G, such as 256M")
      }
      return size.bytes
    }

    mutating func number(_ key: Key, _ range: ClosedRange<Int>) -> Int? {
      guard let value = environment[key.rawValue] else { return nil }
      guard let number = Int(value), range.contains(number) else {
        return refuse(key, value, "a number from \(range.lowerBound) to \(range.upperBound)")
      }
      return number
    }

    mutating func policy() -> SEVPolicyBits? {
      guard let value = environment[Key.sevPolicy.rawValue] else { return nil }
      guard let policy = SEVPolicyBits(text: value) else {
        return refuse(.sevPolicy, value, "the policy's bits in hexadecimal, up to 8 digits, such as 21")
      }
      return policy
    }

    mutating func choice<Choice: RawRepresentable<String> & CaseIterable>(_ key: Key) -> Choice? {
      guard let value = environment[key.rawValue] else { return nil }
      guard let choice = Choice(rawValue: value) else {
        return refuse(key, value, Self.list(Choice.allCases.map(\.rawValue)))
      }
      return choice
    }

    mutating func yesOrNo(_ key: Key) -> Bool? {
      guard let value = environment[key.rawValue] else { return nil }
      switch value {
      case "yes": return true
      case "no": return false
      case _: return refuse(key, value, "yes or no")
      }
    }

    mutating func text(_ key: Key) -> String? {
      guard let value = environment[key.rawValue] else { return nil }
      guard !value.isEmpty else { return refuse(key, value, "a path; leave the line out for none") }
      return value
    }

    private static func list(_ words: [String]) -> String {
      guard let last = words.last, words.count > 1 else { return words.first ?? "" }
      return words.dropLast().joined(separator: ", ") + " or " + last
    }
  }
}
