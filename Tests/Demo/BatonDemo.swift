import ArgumentParser
import Harness
import LinuxOS

@main
struct BatonDemo: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "baton-demo",
    abstract: "Hand a running guest from one VMM process to the next, and show what happened.",
    discussion: """
      Starts a registry, a SEV model and VMMs of its own in a private directory, and leaves nothing behind. \
      Exit status: 0 when everything was as it should be, 1 otherwise.
      """,
    subcommands: [ShowHandoffs.self, SayClaiming.self], defaultSubcommand: ShowHandoffs.self)
}

/// The demo itself.
struct ShowHandoffs: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Run the demo (the default).")

  @Flag(help: "Write JSON lines instead of text.")
  var json = false

  @Option(help: "How many handoffs.")
  var handoffs = 5

  @Option(help: "Guest RAM, such as 256M or 1G.")
  var memory = ByteCount(text: "1G", bytes: 1 << 30)

  @Option(help: "Real vCPUs of /dev/kvm (kvm), software ones (software), or whichever there is (auto).")
  var vcpu = "auto"

  @Option(help: "How the SEV guest is handed on: by token, by moving its context, or by both in turn.")
  var handoff = DemoWay.token

  @Flag(help: "Encrypt the guest's register state too (SEV-ES).")
  var sevEs = false

  @Option(help: "Columns of the output; those of the terminal if not given.")
  var width: Int?

  func validate() throws {
    if handoffs < 1 { throw ValidationError("--handoffs is at least 1") }
    if !["auto", "kvm", "software"].contains(vcpu) {
      throw ValidationError("--vcpu is auto, kvm or software")
    }
  }

  func run() throws {
    ThisProcess.ignoreBrokenPipes()
    let isTerminal = Terminal.isTerminal(1)
    let wantsNoColor = !(ThisProcess.environment("NO_COLOR") ?? "").isEmpty
    let output = DemoOutput(
      isJSON: json, width: width ?? Terminal.columns(1) ?? 100, color: isTerminal && !wantsNoColor)
    let good: Bool
    do {
      good = try Workbench.use { bench in
        try DemoScenario(
          bench: bench, output: output, handoffs: handoffs, memory: memory, vcpu: vcpu, way: handoff,
          encryptsState: sevEs
        ).run()
      }
    } catch {
      output.failure("\(error)")
      throw ExitCode(1)
    }
    if !good { throw ExitCode(1) }
  }
}

enum DemoWay: String, CaseIterable, ExpressibleByArgument {
  case token, move, alternate

  /// How the VMM hands on that is the owner after so many handoffs.
  func after(_ handoffs: Int) -> String {
    switch self {
    case .token, .move: rawValue
    case .alternate: handoffs % 2 == 0 ? "token" : "move"
    }
  }
}

/// A process that says to the registry that it has a baton, and tells what the registry answers.
struct SayClaiming: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "claim", abstract: "Say to a registry that this process has a baton.", shouldDisplay: false)

  @Option var registry: String
  @Option var guest: String
  @Option var handoff: UInt64

  func run() throws {
    let (name, sentence) = try RecordPeer.claim(registry: registry, guest: guest, handoff: handoff)
    StandardStream.output.write("\(name)\n\(sentence)\n")
  }
}

/// A size in bytes with an optional suffix K, M or G (powers of 1024), as baton-vmm takes it.
struct ByteCount: ExpressibleByArgument {
  let text: String
  let bytes: UInt64

  init(text: String, bytes: UInt64) {
    self.text = text
    self.bytes = bytes
  }

  init?(argument: String) {
    let shifts: [Character: UInt64] = ["K": 10, "M": 20, "G": 30]
    let shift = argument.last.flatMap { shifts[$0] }
    guard let number = UInt64(shift == nil ? argument[...] : argument.dropLast()), (1...1 << 30) ~= number
    else { return nil }
    self.init(text: argument, bytes: number << (shift ?? 0))
  }

  var defaultValueDescription: String { text }
}
