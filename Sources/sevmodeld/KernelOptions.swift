import ArgumentParser
import SEVModel

/// Options about the kernel that the model plays.
struct KernelOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The kernel.",
      discussion: """
        rfc: commands 22 and 23 are LOCAL_SEND and LOCAL_RECEIVE (patches of June 2021), and contexts can be moved \
        too. mainline-5.16: contexts can be moved, nothing is behind 22. mainline-6.11: machine types, and 22 is \
        INIT2; for the kernel's selftests. v10-shared-pages: the kernel keeps the list of shared pages (series \
        of 2021, never merged).
        """, valueName: "kernel"),
    transform: profile(named:))
  var profile: KernelProfile = .rfc

  private static func profile(named name: String) throws -> KernelProfile {
    guard let profile = KernelProfile(rawValue: name) else {
      let names = KernelProfile.allCases.map(\.rawValue).joined(separator: ", ")
      throw ValidationError("'\(name)' is none of \(names)")
    }
    return profile
  }

  @Flag(help: "Leave out KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM, as in a kernel before 5.16.")
  var noMove = false

  @Flag(
    help: "Leave out the last of the three local-migration patches: LOCAL_SEND refuses SEV-ES guests.")
  var withoutThirdPatch = false

  @Flag(
    help: """
      An extension that no kernel has: SEND_UPDATE_VMSA and RECEIVE_UPDATE_VMSA, so that SEV-ES guests can be \
      sent to another machine.
      """)
  var firmwareVmsa = false

  @Flag(help: "A machine whose KVM has SEV turned off: every SEV request fails with ENOTTY.")
  var disabled = false
}

/// Options about the machine that the model plays.
struct MachineOptions: ParsableArguments {
  @Option(help: "How many SEV guests can have an address-space identifier at a time (1 to 65535).")
  var asids: UInt32 = 500

  @Option(help: "How many more identifiers, the lowest ones, are for SEV-ES guests; 0 turns SEV-ES off.")
  var esAsids: UInt32 = 0

  @Flag(
    help: """
      Really encrypt private guest memory, tweaked by each page's place. For VMMs with software vCPUs: real ones \
      cannot execute it.
      """)
  var ciphertext = false

  @Flag(
    help: """
      Mind no caller's memlock limit, as if each had CAP_IPC_LOCK: for users whose limit is smaller than a guest. \
      A kernel would refuse.
      """)
  var noMemlock = false

  @Flag(help: "A machine without a Secure Processor: no firmware device, and INIT fails with ENODEV.")
  var withoutProcessor = false

  @Option(
    help: ArgumentHelp(
      "The firmware's API version, to which guests' policies compare theirs.",
      valueName: "major.minor"),
    transform: version(text:))
  var firmwareApi: FirmwareVersion = ModelConfiguration().firmwareVersion

  @Option(
    help: ArgumentHelp(
      """
      The API version of the firmware that made the platform's keys, as it is in their certificates: older than \
      --firmware-api after an update without PEK_GEN. Without it the same.
      """, valueName: "major.minor"),
    transform: version(text:))
  var platformApi: FirmwareVersion?

  private static func version(text: String) throws -> FirmwareVersion {
    let numbers = text.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
    guard numbers.count == 2, let major = numbers[0], let minor = numbers[1] else {
      throw ValidationError("'\(text)' is no version such as 1.55")
    }
    return FirmwareVersion(major: major, minor: minor, build: ModelConfiguration().firmwareVersion.build)
  }

  @Option(
    help: ArgumentHelp(
      """
      Let the Secure Processor answer so many commands of the firmware and then hang: the next one fails with \
      ETIMEDOUT, all later ones with EBUSY.
      """, valueName: "count"))
  var processorStopsAfter: UInt64?

  @Option(
    help: ArgumentHelp(
      """
      How many pages the Secure Processor sends or receives in a second, as SEND_UPDATE_DATA and RECEIVE_UPDATE_DATA \
      do; real ones manage 350 to 450. Without it as many as this machine can.
      """, valueName: "count"))
  var pagesPerSecond: UInt64?

  var processor: ProcessorHealth {
    if withoutProcessor { return .absent }
    return processorStopsAfter.map { .stops(after: $0) } ?? .healthy
  }

  @Option(help: "The most VMs and vCPUs; further ones are refused with ENFILE.")
  var maximumVms: Int = 8192

  @Option(help: "The most connections, one for each thread of a caller; further ones are closed at once.")
  var maximumConnections: Int = 8192

  func validate() throws {
    guard !withoutProcessor || processorStopsAfter == nil else {
      throw ValidationError("--without-processor and --processor-stops-after exclude each other")
    }
    if let pagesPerSecond, !(1...1_000_000).contains(pagesPerSecond) {
      throw ValidationError("--pages-per-second must be from 1 to 1000000")
    }
    guard (1...65535).contains(asids) else { throw ValidationError("--asids must be from 1 to 65535") }
    guard esAsids <= 65535 else { throw ValidationError("--es-asids must be at most 65535") }
    guard (1...1_000_000).contains(maximumVms), (1...1_000_000).contains(maximumConnections) else {
      throw ValidationError("--maximum-vms and --maximum-connections must be from 1 to 1000000")
    }
  }
}
