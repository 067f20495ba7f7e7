public import ArgumentParser
import LinuxOS
public import ReferenceVMM

extension VMMOptions.SEVChoice: ExpressibleByArgument {}
extension HandoffChoice: ExpressibleByArgument {}
extension VMMOptions.Misbehaviour: ExpressibleByArgument {}
extension MachineKindChoice: ExpressibleByArgument {}
extension HugePages: ExpressibleByArgument {}
extension SEVPolicyBits: ExpressibleByArgument {
  public init?(argument: String) { self.init(text: argument) }
}
extension ByteCount: ExpressibleByArgument {
  public init?(argument: String) { self.init(text: argument) }
}

@main
struct BatonVMM: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "baton-vmm",
    abstract: "Run a guest, or take it over from the VMM that runs it.",
    discussion: """
      The same command line starts a fresh guest and becomes the successor of a running one; the \
      registry decides. SIGTERM ends the guest properly, or, in a unit that is restarted, leaves it in the \
      registry's custody for the next VMM; SIGUSR1 writes the guest's report to --events.

      Exit status: 0 the guest went to its successor or into custody, or ended; 1 something failed, stderr says \
      what and where the guest is; 64 usage or settings. A refusal ends with the status that batonctl has for it: \
      3 the guest is safe where it was, 4 it is lost, 7 not allowed, 10 another owner or successor is there, \
      11 ask batonctl where it stands, 12 it has ended, 1 nothing was tried.
      """,
    version: ProgramVersion.text)

  @Option(help: "The guest's name: a letter or digit, then up to 62 of letters, digits, _ . -")
  var vm: String

  @Flag(
    help: "Read the settings from BATON_… variables, as baton-guest.conf(5) has them; options go before them."
  )
  var settingsFromEnvironment = false

  @Option(help: "Guest RAM, such as 256M or 1G. (default: 1G)")
  var memory: ByteCount?

  @Option(help: "How many vCPUs. (default: 2)")
  var vcpus: Int?

  @Option(help: "Real vCPUs of /dev/kvm, software ones, or whichever there is. (default: auto)")
  var vcpu: MachineKindChoice?

  @Option(help: "Make the guest a SEV guest of the software model. (default: none)")
  var sev: VMMOptions.SEVChoice?

  @Flag(help: "Encrypt the guest's register state too (SEV-ES); a successor learns it from its source.")
  var sevEs = false

  @Option(
    help: """
      How a SEV guest is handed on: by LOCAL_SEND's token, by moving its context, or as the host can. \
      (default: auto)
      """)
  var handoff: HandoffChoice?

  @Option(help: "Socket of sevmodeld. (default: /run/baton/sevmodeld)")
  var modelSocket: String?

  @Option(help: "Socket of the registry, batond. (default: /run/baton/handoff)")
  var registry: String?

  @Option(help: "Huge pages for guest RAM. (default: none)")
  var hugepages: HugePages?

  @Option(help: "Disk image; opened by the first owner only, its lock travels.")
  var disk: String?

  @Option(name: .customLong("fd"), help: "An inherited descriptor that travels with the guest: NAME=NUMBER.")
  var named: [NamedDescriptor] = []

  @Option(help: "Where console lines go: a path, or fd:N.")
  var console: String?

  @Option(help: "Where events go as JSON lines: a path, or fd:N.")
  var events: String?

  @Option(help: "How much of the time each software vCPU works, in percent. (default: 100)")
  var duty: Int?

  @Option(
    help: ArgumentHelp(
      "Software vCPUs write only so much of the guest's RAM again and again, the rest once, and check all of it.",
      valueName: "size"))
  var workingSet: ByteCount?

  @Option(help: "How long to wait for the registry and its decisions, in milliseconds. (default: 60000)")
  var patience: UInt64?

  @Option(help: "What the registry shows as this binary's build. (default: version and build id)")
  var build: String?

  @Option(help: "Write device state in this older format.")
  var stateFormat: UInt16?

  @Flag(help: "Keep VM descriptors out of the registry's custody: a staged guest may die with its VMM.")
  var noCustody = false

  @Flag(help: "Insist on being the first owner.")
  var fresh = false

  @Flag(
    help: """
      Wait for the guest to come from another host (batonctl migrate there); then own it like any other VMM.
      """)
  var incoming = false

  @Option(
    help: "Socket of the sidecar to other hosts, baton-remote. (default: /run/baton/remote.sock)")
  var remoteSocket: String?

  @Option(help: "How long a VMM on another host may be silent, in milliseconds. (default: 10000)")
  var linkTimeout: UInt64?

  @Flag(
    inversion: .prefixedNo,
    help: """
      Send a guest of the SEV model to a platform whose certificates end in the model's test root. (default: \
      --trust-model-root, since the model's guests have no other)
      """)
  var trustModelRoot: Bool?

  @Option(
    help: ArgumentHelp(
      "This host's processor certificate (CEK) as AMD signed it, for guests that come from another host.",
      valueName: "file"))
  var signedCek: String?

  @Option(
    help: ArgumentHelp(
      "AMD's own certificates for this host's generation of processors: ASK, then ARK.", valueName: "file"))
  var amdChain: String?

  @Option(
    help: ArgumentHelp(
      "Policy of a fresh SEV guest, in hexadecimal: NODBG 1, NOKS 2, NOSEND 8, DOMAIN 10, SEV 20.",
      valueName: "bits"))
  var sevPolicy: SEVPolicyBits?

  @Flag(help: "Do not tell a fresh SEV guest that it may be migrated (CPUID), so that it cannot be.")
  var noMigrationFeature = false

  @Option(
    help: ArgumentHelp(
      "UEFI variable store that a fresh SEV guest boots with, a file of OVMF: its firmware has to agree to a migration.",
      valueName: "file"))
  var uefiVariables: String?

  @Flag(help: .hidden)
  var guestNotReady = false

  @Option(help: .hidden)
  var misbehave: VMMOptions.Misbehaviour?

  func validate() throws {
    if sevEs, sev == VMMOptions.SEVChoice.none || sev == nil && !settingsFromEnvironment {
      throw ValidationError("--sev-es needs a SEV guest: --sev model")
    }
    if incoming, fresh { throw ValidationError("--incoming and --fresh exclude each other") }
    if let linkTimeout, linkTimeout == 0 { throw ValidationError("--link-timeout must not be 0") }
  }

  func run() throws {
    let status: Int32
    do throws(GuestSettings.Problems) {
      status = ReferenceVMM.run(try options())
    } catch {
      status = ReferenceVMM.refuse(error, guest: vm)
    }
    if status != 0 { throw ExitCode(status) }
  }

  /// What the environment says, if it is asked, and then what the command line says.
  private func options() throws(GuestSettings.Problems) -> VMMOptions {
    var options =
      settingsFromEnvironment
      ? try GuestSettings.read(
        ThisProcess.environment(beginningWith: GuestSettings.prefix), guest: vm)
      : VMMOptions(guest: vm, configuration: MachineConfiguration(ramBytes: 1 << 30, vcpuCount: 2))
    options.configuration.ramBytes = memory?.bytes ?? options.configuration.ramBytes
    options.configuration.vcpuCount = vcpus ?? options.configuration.vcpuCount
    options.configuration.dutyPercent = duty ?? options.configuration.dutyPercent
    options.configuration.workingSetBytes = workingSet?.bytes
    options.pages = hugepages?.pages ?? options.pages
    options.kind = vcpu ?? options.kind
    options.sev = sev ?? options.sev
    options.handoff = handoff ?? options.handoff
    options.encryptsState = sevEs || options.encryptsState
    options.modelSocket = modelSocket ?? options.modelSocket
    options.registry = registry ?? options.registry
    options.diskPath = disk ?? options.diskPath
    options.console = console ?? options.console
    options.events = events ?? options.events
    options.named = named.map { ($0.name, $0.number) }
    options.givesCustody = !noCustody && options.givesCustody
    options.isFresh = fresh
    options.build = build ?? options.build
    options.patienceMilliseconds = patience ?? options.patienceMilliseconds
    options.stateFormat = stateFormat ?? options.stateFormat
    options.misbehaviour = misbehave ?? options.misbehaviour
    options.isIncoming = incoming
    options.signedCEK = signedCek ?? options.signedCEK
    options.amdChain = amdChain ?? options.amdChain
    options.remoteSocket = remoteSocket ?? options.remoteSocket
    options.linkTimeoutMilliseconds = linkTimeout ?? options.linkTimeoutMilliseconds
    options.trustsModelRoot = trustModelRoot ?? options.trustsModelRoot
    options.policy = sevPolicy ?? options.policy
    options.offersMigration = !noMigrationFeature && options.offersMigration
    options.uefiVariables = uefiVariables ?? options.uefiVariables
    options.guestAgrees = !guestNotReady
    return options
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
