public import ArgumentParser
import LinuxOS
public import ReferenceVMM

extension VMMOptions.SEVChoice: ExpressibleByArgument {}
extension HandoffChoice: ExpressibleByArgument {}
extension VMMOptions.Misbehaviour: ExpressibleByArgument {}
extension MachineKindChoice: ExpressibleByArgument {}

@main
struct BatonVMM: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "baton-vmm",
    abstract: "Run a guest, or take it over from the VMM that runs it.",
    discussion: """
      The same command line starts a fresh guest and becomes the successor of a running one; the \
      registry decides. SIGTERM ends the guest properly, SIGUSR1 writes the guest's report to --events.

      Exit status: 0 the guest went to its successor or ended; 1 something failed, stderr says what \
      and where the guest is; 64 usage. A refusal ends with the status that batonctl has for it: 3 the \
      guest is safe where it was, 4 it is lost, 7 not allowed, 10 another owner or successor is there, \
      11 ask batonctl where it stands, 12 it has ended, 1 nothing was tried.
      """,
    version: ProgramVersion.text)

  @Option(help: "The guest's name: a letter or digit, then up to 62 of letters, digits, _ . -")
  var vm: String

  @Option(help: "Guest RAM, such as 256M or 1G.")
  var memory = ByteCount(bytes: 1 << 30)

  @Option(help: "How many vCPUs.")
  var vcpus = 2

  @Option(help: "Real vCPUs of /dev/kvm, software ones, or whichever there is.")
  var vcpu = MachineKindChoice.auto

  @Option(help: "Make the guest a SEV guest of the software model.")
  var sev = VMMOptions.SEVChoice.none

  @Flag(help: "Encrypt the guest's register state too (SEV-ES); a successor learns it from its source.")
  var sevEs = false

  @Option(
    help: "How a SEV guest is handed on: by LOCAL_SEND's token, by moving its context, or as the host can.")
  var handoff = HandoffChoice.auto

  @Option(help: "Socket of sevmodeld.")
  var modelSocket = "/run/baton/sevmodeld"

  @Option(help: "Socket of the registry, batond.")
  var registry = "/run/baton/handoff"

  @Option(help: "Huge pages for guest RAM: none, 2M or 1G.")
  var hugepages = HugePages.none

  @Option(help: "Disk image; opened by the first owner only, its lock travels.")
  var disk: String?

  @Option(name: .customLong("fd"), help: "An inherited descriptor that travels with the guest: NAME=NUMBER.")
  var named: [NamedDescriptor] = []

  @Option(help: "Where console lines go: a path, or fd:N.")
  var console: String?

  @Option(help: "Where events go as JSON lines: a path, or fd:N.")
  var events: String?

  @Option(help: "How much of the time each software vCPU works, in percent.")
  var duty = 100

  @Option(help: "How long to wait for the registry and its decisions, in milliseconds.")
  var patience: UInt64 = 60_000

  @Option(help: "What the registry shows as this binary's build.")
  var build = "baton-vmm \(ProgramVersion.text)"

  @Option(help: "Write device state in this older format.")
  var stateFormat: UInt16 = MachineStateFormat.current

  @Flag(help: "Keep VM descriptors out of the registry's custody: a staged guest may die with its VMM.")
  var noCustody = false

  @Flag(help: "Insist on being the first owner.")
  var fresh = false

  @Option(help: .hidden)
  var misbehave: VMMOptions.Misbehaviour?

  func validate() throws {
    if sevEs, sev == .none { throw ValidationError("--sev-es needs a SEV guest: --sev model") }
  }

  func run() throws {
    var options = VMMOptions(
      guest: vm,
      configuration: MachineConfiguration(
        ramBytes: memory.bytes, vcpuCount: vcpus, dutyPercent: duty))
    options.pages = hugepages.pages
    options.kind = vcpu
    options.sev = sev
    options.handoff = handoff
    options.encryptsState = sevEs
    options.modelSocket = modelSocket
    options.registry = registry
    options.diskPath = disk
    options.console = console
    options.events = events
    options.named = named.map { ($0.name, $0.number) }
    options.givesCustody = !noCustody
    options.isFresh = fresh
    options.build = build
    options.patienceMilliseconds = patience
    options.stateFormat = stateFormat
    options.misbehaviour = misbehave
    let status = ReferenceVMM.run(options)
    if status != 0 { throw ExitCode(status) }
  }
}

/// A size in bytes with an optional suffix K, M or G (powers of 1024).
struct ByteCount: ExpressibleByArgument {
  let bytes: Int

  init(bytes: Int) { self.bytes = bytes }

  init?(argument: String) {
    let shifts: [Character: Int] = ["K": 10, "M": 20, "G": 30]
    let shift = argument.last.flatMap { shifts[Character($0.uppercased())] }
    let digits = shift == nil ? argument[...] : argument.dropLast()
    guard let number = Int(digits), number > 0, number <= Int.max >> (shift ?? 0) else { return nil }
    bytes = number << (shift ?? 0)
  }

  var defaultValueDescription: String { "\(bytes >> 20)M" }
}

enum HugePages: String, ExpressibleByArgument, CaseIterable {
  case none
  case twoMebibytes = "2M"
  case oneGibibyte = "1G"

  var pages: PageSize {
    switch self {
    case .none: .base
    case .twoMebibytes: .twoMebibytes
    case .oneGibibyte: .oneGibibyte
    }
  }
}

/// NAME=NUMBER.
struct NamedDescriptor: ExpressibleByArgument {
  let name: String
  let number: Int32

  init?(argument: String) {
    guard let equals = argument.lastIndex(of: "="),
      let number = Int32(argument[argument.index(after: equals)...]), number >= 0
    else { return nil }
    name = String(argument[..<equals])
    self.number = number
    guard !name.isEmpty else { return nil }
  }
}
